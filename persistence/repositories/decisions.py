"""The statements of a decision about a team, in the order in which they take their locks.

The team's row, then the church's, then the tournament's, as registrations take the last two. The
status is changed last: a registration that waits for a name or a contact to become free holds
its church by then.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import AuditAction
from domain.documents import DocumentReview
from domain.teams.status import TeamStatus
from persistence.ids import new_id
from persistence.models import document, team
from persistence.repositories.registration import duplicates_as_issues
from persistence.repositories.teams import matches_reference

_FREE_IN_CHURCH = text("UPDATE church SET taken = taken - 1 WHERE id = :church_id")
_FREE_IN_TOURNAMENT = text("UPDATE tournament SET taken = taken - 1 WHERE id = :tournament_id")

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

_RECORD = text("""
    INSERT INTO decision (id, team_id, at, actor, event, reason, items)
    VALUES (:id, :team_id, :at, :actor, :event, :reason, CAST(:items AS jsonb))
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedTeam:
    """A team whose row is locked for a decision.

    `last_change` is an HMAC of the request that made its version; once the team is about to change,
    of the request that changes it.
    """

    id: UUID
    tournament_id: UUID
    church_id: UUID
    code: str
    status: TeamStatus
    version: int
    next_position: int
    last_change: bytes | None = None


async def lock(connection: AsyncConnection, reference: str) -> LockedTeam | None:
    """The team with this id or code."""
    row = (
        await connection.execute(
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


async def release_slots(connection: AsyncConnection, locked: LockedTeam) -> None:
    """What a team that is live no more held is free again."""
    await release_church_slot(connection, locked.church_id)
    await connection.execute(_FREE_IN_TOURNAMENT, {"tournament_id": locked.tournament_id})


async def release_church_slot(connection: AsyncConnection, church_id: UUID) -> None:
    """For a live team that leaves the church and stays in the tournament."""
    await connection.execute(_FREE_IN_CHURCH, {"church_id": church_id})


async def take_church_slot(connection: AsyncConnection, locked: LockedTeam) -> bool:
    """False when the church has none left."""
    row = await connection.execute(_TAKE_IN_CHURCH, {"church_id": locked.church_id})
    return row.first() is not None


async def take_tournament_slot(connection: AsyncConnection, locked: LockedTeam) -> bool:
    """False when the tournament is full."""
    row = await connection.execute(_TAKE_IN_TOURNAMENT, {"tournament_id": locked.tournament_id})
    return row.first() is not None


async def set_status(
    connection: AsyncConnection, locked: LockedTeam, status: TeamStatus, *, now: datetime
) -> None:
    """Raises InvalidForm when a live team has the name, the e-mail or the phone by now."""
    with duplicates_as_issues():
        await connection.execute(
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
    connection: AsyncConnection,
    locked: LockedTeam,
    document_id: UUID,
    *,
    verdict: DocumentReview,
    note: str | None,
) -> bool:
    """False when the team has no such document that counts."""
    result = await connection.execute(
        document.update()
        .where(
            document.c.id == document_id,
            document.c.team_id == locked.id,
            document.c.deleted_at.is_(None),
            document.c.review != DocumentReview.SUPERSEDED,
        )
        .values(review=verdict.value, review_note=note)
    )
    return bool(result.rowcount)


async def add(  # noqa: PLR0913 - one argument for each column
    connection: AsyncConnection,
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
    await connection.execute(_RECORD, values)
