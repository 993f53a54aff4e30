"""Churches, by name in pages."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.records import ChurchRecord
from persistence.tables import church, tournament


@dataclass(frozen=True, slots=True, kw_only=True)
class ChurchPage:
    rows: tuple[ChurchRecord, ...]
    has_next: bool


async def page(
    connection: AsyncConnection, *, search: str, first: int, after: tuple[str, UUID] | None
) -> ChurchPage:
    """Up to `first` churches by name whose normalised name holds `search` (normalised too)."""
    statement = (
        _matching(
            select(church.c.id, church.c.name, church.c.taken, tournament.c.teams_per_church),
            search,
        )
        .order_by(church.c.name, church.c.id)
        .limit(first + 1)
    )
    if after is not None:
        statement = statement.where(tuple_(church.c.name, church.c.id) > after)
    rows = (await connection.execute(statement)).all()
    return ChurchPage(
        rows=tuple(
            ChurchRecord(id=row.id, name=row.name, taken=row.taken, limit=row.teams_per_church)
            for row in rows[:first]
        ),
        has_next=len(rows) > first,
    )


async def count(connection: AsyncConnection, *, search: str) -> int:
    statement = _matching(select(func.count()).select_from(church), search)
    return int((await connection.execute(statement)).scalar_one())


def _matching(statement: Any, search: str) -> Any:
    joined = statement.join(
        tournament, (tournament.c.id == church.c.tournament_id) & tournament.c.is_active
    )
    if not search:
        return joined
    return joined.where(church.c.normalized_name.contains(search, autoescape=True))
