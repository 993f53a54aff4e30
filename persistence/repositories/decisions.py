"""Decisions about a team: its status, slots and documents, under the lock on its row.

Rows are locked in this order: the team, its church, the tournament. Registrations lock the last two
in the same order. The status changes last, since it occupies or frees the team's unique name and
contacts: a registration with the same values waits for that while it holds the lock on its church,
so that locking the church afterwards would deadlock.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from domain.audit import AuditAction
from domain.documents import DocumentReview
from domain.teams.status import TeamStatus
from persistence.ids import new_id
from persistence.models import document, team
from persistence.repositories.base import Repository
from persistence.repositories.registration import duplicates_as_issues
from persistence.repositories.teams import matches_reference

_RELEASE_IN_CHURCH = text("UPDATE church SET taken = taken - 1 WHERE id = :church_id")
_RELEASE_IN_TOURNAMENT = text("UPDATE tournament SET taken = taken - 1 WHERE id = :tournament_id")

_TAKE_IN_CHURCH = text("""
    UPDATE church c SET taken = c.taken + 1 FROM tournament t
    WHERE c.id = :church_id AND t.id = c.tournament_id
      AND (t.teams_per_church IS NULL OR c.taken < t.teams_per_church)
    RETURNING c.taken
""")
_TAKE_IN_TOURNAMENT = text("""
    UPDATE tournament SET taken = taken + 1
    WHERE id = :tournament_id AND (capacity IS NULL OR taken < capacity)
    RETURNING taken
""")

_INSERT = text("""
    INSERT INTO decision (id, team_id, at, actor, event, reason, items)
    VALUES (:id, :team_id, :at, :actor, :event, :reason, CAST(:items AS jsonb))
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedTeam:
    """A team whose row is locked for a decision.

    `last_change` is an HMAC of the request that made the team's version. To change the team, a copy
    of this record with the HMAC of the changing request is passed on.
    """

    id: UUID
    tournament_id: UUID
    church_id: UUID
    code: str
    status: TeamStatus
    version: int
    next_position: int
    last_change: bytes | None = None


class DecisionRepository(Repository):
    """Decisions about a team, and the rows they change under the lock on the team."""

    async def lock(self, reference: str) -> LockedTeam | None:
        """Lock the team with this id or code."""
        row = (
            await self._execute(
                select(
                    team.c.id,
                    team.c.tournament_id,
                    team.c.church_id,
                    team.c.code,
                    team.c.status,
                    team.c.version,
                    team.c.next_position,
                    team.c.last_change,
                )
                .where(matches_reference(reference))
                .with_for_update()
            )
        ).one_or_none()
        if row is None:
            return None
        return LockedTeam(**{**row._asdict(), "status": TeamStatus(row.status)})

    async def release_slots(self, locked: LockedTeam) -> None:
        """Release the slots of a team that is not live any more, in church and tournament."""
        await self.release_church_slot(locked.church_id)
        await self._execute(_RELEASE_IN_TOURNAMENT, {"tournament_id": locked.tournament_id})

    async def release_church_slot(self, church_id: UUID) -> None:
        """Release the church slot of a live team that moves to another church."""
        await self._execute(_RELEASE_IN_CHURCH, {"church_id": church_id})

    async def take_church_slot(self, locked: LockedTeam) -> bool:
        """Take a slot of the team's church. False when none is left."""
        result = await self._execute(_TAKE_IN_CHURCH, {"church_id": locked.church_id})
        return result.first() is not None

    async def take_tournament_slot(self, locked: LockedTeam) -> bool:
        """Take a slot of the tournament. False when none is left."""
        result = await self._execute(_TAKE_IN_TOURNAMENT, {"tournament_id": locked.tournament_id})
        return result.first() is not None

    async def set_status(self, locked: LockedTeam, status: TeamStatus, *, now: datetime) -> None:
        """Raises InvalidForm when a live team has the same name, e-mail or phone."""
        with duplicates_as_issues():
            await self._execute(
                team.update()
                .where(team.c.id == locked.id)
                .values(
                    status=status.value,
                    version=locked.version + 1,
                    last_change=locked.last_change,
                    updated_at=now,
                )
            )

    async def set_review(
        self,
        locked: LockedTeam,
        document_id: UUID,
        *,
        verdict: DocumentReview,
        note: str | None,
    ) -> bool:
        """Store the review of a document. False when the team has no such current document."""
        return bool(
            await self._count_rows(
                document.update()
                .where(
                    document.c.id == document_id,
                    document.c.team_id == locked.id,
                    document.c.deleted_at.is_(None),
                    document.c.review != DocumentReview.SUPERSEDED,
                )
                .values(review=verdict.value, review_note=note)
            )
        )

    async def add(  # noqa: PLR0913 - one argument for each column
        self,
        locked: LockedTeam,
        *,
        at: datetime,
        actor: str,
        action: AuditAction,
        reason: str | None,
        items: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        values = {
            "id": new_id(),
            "team_id": locked.id,
            "at": at,
            "actor": actor,
            "event": action.value,
            "reason": reason,
            "items": json.dumps(list(items)),
        }
        await self._execute(_INSERT, values)
