"""Slots of churches and tournaments: counters in their rows, changed by conditional statements.

Rows are locked in this order: the team, its church, the tournament. Registrations lock the last two
in the same order.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import or_, text, update
from sqlmodel import col

from domain.registration.forms import ValidTeam
from persistence.ids import new_id
from persistence.models import Church, Tournament
from persistence.records import ChurchRecord, LockedTeam, TournamentRecord
from persistence.repositories.base import Repository


def take_church_slot_sql(source: str = "") -> str:
    """SQL that takes a slot of the church and adds the church if it is new.

    Without `source` it takes one slot; with a FROM clause, one for each of its rows.
    """
    return f"""
        INSERT INTO church AS c (id, tournament_id, name, normalized_name, taken, created_at)
        SELECT :church_id, :tournament_id, :church_name, coalesce(
            (SELECT canonical.normalized_name
             FROM church_alias a JOIN church canonical ON canonical.id = a.church_id
             WHERE a.tournament_id = :tournament_id AND a.normalized_name = :normalized_church),
            :normalized_church), 1, :now
        {source}
        ON CONFLICT (tournament_id, normalized_name) DO UPDATE SET taken = c.taken + 1
            WHERE CAST(:limit AS integer) IS NULL OR c.taken < :limit
        RETURNING c.id, c.name, c.taken
    """  # noqa: S608 - only a constant is interpolated


# Text, because it is a part of the one statement of a registration too.
_TAKE_BY_CHURCH_NAME = text(take_church_slot_sql())


def church_slot_parameters(
    tournament: TournamentRecord, valid_team: ValidTeam, now: datetime
) -> dict[str, object]:
    """Parameters of `take_church_slot_sql`."""
    return {
        "church_id": new_id(),
        "tournament_id": tournament.id,
        "church_name": valid_team.church_name,
        "normalized_church": valid_team.normalized_church_name,
        "limit": tournament.rules.teams_per_church,
        "now": now,
    }


def build_church(row: Any, tournament: TournamentRecord) -> ChurchRecord:
    """Build from a row with `id`, `name` and `taken`."""
    limit = tournament.rules.teams_per_church
    return ChurchRecord(id=row["id"], name=row["name"], taken=row["taken"], limit=limit)


class SlotRepository(Repository):
    """Slots of churches and tournaments, each of which a live team takes one of."""

    async def take_by_church_name(
        self, tournament: TournamentRecord, valid_team: ValidTeam, *, now: datetime
    ) -> ChurchRecord | None:
        """Take a slot of the church that the form names; add the church if it is new.

        None when no slot is left.
        """
        values = church_slot_parameters(tournament, valid_team, now)
        rows = await self._session.exec(_TAKE_BY_CHURCH_NAME, params=values)  # type: ignore[call-overload]
        row = rows.mappings().first()
        return build_church(row, tournament) if row is not None else None

    async def take_in_church(self, team: LockedTeam) -> bool:
        """Take a slot of the team's church. False when none is left."""
        limit = col(Tournament.teams_per_church)
        result = await self._session.exec(
            update(Church)
            .where(
                col(Church.id) == team.church_id,
                col(Tournament.id) == Church.tournament_id,
                or_(limit.is_(None), col(Church.taken) < limit),
            )
            .values(taken=col(Church.taken) + 1)
        )
        return bool(result.rowcount)

    async def take_in_tournament(self, team: LockedTeam) -> bool:
        """Take a slot of the team's tournament. False when none is left."""
        capacity = col(Tournament.capacity)
        result = await self._session.exec(
            update(Tournament)
            .where(
                col(Tournament.id) == team.tournament_id,
                or_(capacity.is_(None), col(Tournament.taken) < capacity),
            )
            .values(taken=col(Tournament.taken) + 1)
        )
        return bool(result.rowcount)

    async def release(self, team: LockedTeam) -> None:
        """Release the slots of a team that is not live any more, in church and tournament."""
        await self.release_in_church(team.church_id)
        await self._session.exec(
            update(Tournament)
            .where(col(Tournament.id) == team.tournament_id)
            .values(taken=col(Tournament.taken) - 1)
        )

    async def release_in_church(self, church_id: UUID) -> None:
        """Release the slot of a live team that moves to another church."""
        await self._session.exec(
            update(Church).where(col(Church.id) == church_id).values(taken=col(Church.taken) - 1)
        )
