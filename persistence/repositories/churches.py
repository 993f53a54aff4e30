"""Churches, by name in pages."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.pagination import KeysetOrder, Page, PageRequest, read_page
from persistence.records import ChurchRecord
from persistence.tables import church, church_alias, tournament

BY_NAME = KeysetOrder(columns=(church.c.name, church.c.id))


async def page(
    connection: AsyncConnection, *, search: str, wanted: PageRequest
) -> Page[ChurchRecord]:
    """Churches with a live team, by name, whose normalised name holds `search` (normalised too)."""
    statement = matching(
        select(church.c.id, church.c.name, church.c.taken, tournament.c.teams_per_church), search
    )
    return await read_page(connection, statement, BY_NAME, wanted, _record)


async def count(connection: AsyncConnection, *, search: str) -> int:
    statement = matching(select(func.count()).select_from(church), search)
    return int((await connection.execute(statement)).scalar_one())


async def find_named(
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


def matching(statement: Select[Any], search: str) -> Select[Any]:
    """A statement over the churches with a live team in the active tournament, which it joins."""
    joined = statement.join(
        tournament, (tournament.c.id == church.c.tournament_id) & tournament.c.is_active
    ).where(church.c.taken > 0)
    if not search:
        return joined
    return joined.where(church.c.normalized_name.contains(search, autoescape=True))
