"""Two churches become one, in the order in which decisions take their locks."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.engine.errors import constraint
from persistence.models import IS_LIVE
from persistence.records import ChurchRecord
from persistence.tables import church, church_alias, team, tournament

_RECOUNT = text(f"""
    UPDATE church SET taken = (
        SELECT count(*) FROM team WHERE church_id = :church_id AND {IS_LIVE})
    WHERE id = :church_id RETURNING taken
""")  # noqa: S608  # a constant of ours
_LIVE_NAME = "uq_team_live_name"


class SameTeamName(Exception):
    """Both churches have a live team of one name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedChurch:
    id: UUID
    tournament_id: UUID
    name: str
    normalized_name: str


async def lock(
    connection: AsyncConnection, church_ids: tuple[UUID, UUID]
) -> dict[UUID, MergedChurch]:
    """Those of the churches that are there, their teams locked first."""
    await connection.execute(
        select(team.c.id)
        .where(team.c.church_id.in_(church_ids))
        .order_by(team.c.id)
        .with_for_update()
    )
    rows = await connection.execute(
        select(church.c.id, church.c.tournament_id, church.c.name, church.c.normalized_name)
        .where(church.c.id.in_(church_ids))
        .order_by(church.c.id)
        .with_for_update()
    )
    return {row.id: MergedChurch(**row._asdict()) for row in rows}


async def move_teams(
    connection: AsyncConnection, gone: MergedChurch, stays: MergedChurch, *, now: datetime
) -> list[UUID]:
    """Return the ids of all teams that moved, each at a new version. Raises SameTeamName."""
    try:
        rows = await connection.execute(
            update(team)
            .where(team.c.church_id == gone.id)
            .values(church_id=stays.id, version=team.c.version + 1, updated_at=now)
            .returning(team.c.id)
        )
    except IntegrityError as error:
        if constraint(error) == _LIVE_NAME:
            raise SameTeamName from error
        raise
    return sorted(rows.scalars())


async def close(
    connection: AsyncConnection, gone: MergedChurch, stays: MergedChurch
) -> ChurchRecord:
    """The one that stays, known under every name of the other, its teams counted anew."""
    await connection.execute(
        update(church_alias).where(church_alias.c.church_id == gone.id).values(church_id=stays.id)
    )
    await connection.execute(church.delete().where(church.c.id == gone.id))
    await connection.execute(
        church_alias.insert().values(
            tournament_id=gone.tournament_id,
            normalized_name=gone.normalized_name,
            church_id=stays.id,
        )
    )
    taken = await connection.scalar(_RECOUNT, {"church_id": stays.id})
    limit = await connection.scalar(
        select(tournament.c.teams_per_church).where(tournament.c.id == stays.tournament_id)
    )
    return ChurchRecord(id=stays.id, name=stays.name, taken=int(taken or 0), limit=limit)
