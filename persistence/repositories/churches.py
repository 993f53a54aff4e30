"""Churches, by name in pages."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.engine.errors import violated_constraint
from persistence.models import IS_LIVE, church, church_alias, team, tournament
from persistence.pagination import KeysetOrder, Page, PageRequest, read_page
from persistence.records import ChurchRecord

BY_NAME = KeysetOrder(columns=(church.c.name, church.c.id))


async def page(
    connection: AsyncConnection, *, search: str, request: PageRequest
) -> Page[ChurchRecord]:
    """Churches with a live team, by name, whose normalised name holds `search` (normalised too)."""
    statement = filter_churches(
        select(church.c.id, church.c.name, church.c.taken, tournament.c.teams_per_church), search
    )
    return await read_page(connection, statement, BY_NAME, request, _record)


async def count(connection: AsyncConnection, *, search: str) -> int:
    statement = filter_churches(select(func.count()).select_from(church), search)
    return int((await connection.execute(statement)).scalar_one())


async def find_by_name(
    connection: AsyncConnection, tournament_id: UUID, normalized_name: str
) -> UUID | None:
    """The church with this name or alias."""
    alias = select(church_alias.c.church_id).where(
        church_alias.c.tournament_id == tournament_id,
        church_alias.c.normalized_name == normalized_name,
    )
    by_name = select(church.c.id).where(
        church.c.tournament_id == tournament_id, church.c.normalized_name == normalized_name
    )
    found: UUID | None = await connection.scalar(alias.union_all(by_name).limit(1))
    return found


async def rename(connection: AsyncConnection, church_id: UUID, name: str) -> None:
    """Spell the church's name in another way; the normalised name is the same."""
    await connection.execute(church.update().where(church.c.id == church_id).values(name=name))


async def find(connection: AsyncConnection, church_id: UUID) -> ChurchRecord | None:
    """The church of any season."""
    statement = (
        select(church.c.id, church.c.name, church.c.taken, tournament.c.teams_per_church)
        .join(tournament, tournament.c.id == church.c.tournament_id)
        .where(church.c.id == church_id)
    )
    row = (await connection.execute(statement)).one_or_none()
    return _record(row) if row else None


def _record(row: Any) -> ChurchRecord:
    return ChurchRecord(id=row.id, name=row.name, taken=row.taken, limit=row.teams_per_church)


def filter_churches(statement: Select[Any], search: str) -> Select[Any]:
    """A statement over the churches with a live team in the active tournament, which it joins."""
    joined = statement.join(
        tournament, (tournament.c.id == church.c.tournament_id) & tournament.c.is_active
    ).where(church.c.taken > 0)
    if not search:
        return joined
    return joined.where(church.c.normalized_name.contains(search, autoescape=True))


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
        if violated_constraint(error) == _LIVE_NAME:
            raise SameTeamName from error
        raise
    return sorted(rows.scalars())


async def delete_merged(
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
