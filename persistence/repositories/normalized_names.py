"""Normalised names that were stored before characters that show nothing were left out of them."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.characters import IGNORED
from domain.registration.names import normalize
from persistence.engine.database import Database
from persistence.models import IS_LIVE

BATCH_SIZE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """A table with such names, and when another row (`o`) has the new name of a row (`r`)."""

    name: str
    id: str = "id"
    taken: str = "false"


_CHURCH_HAS_IT = (
    "EXISTS (SELECT FROM church o"
    " WHERE o.tournament_id = r.tournament_id AND o.normalized_name = :new)"
    " OR EXISTS (SELECT FROM church_alias o"
    " WHERE o.tournament_id = r.tournament_id AND o.normalized_name = :new)"
)
_TEAM_HAS_IT = (
    f"{IS_LIVE} AND EXISTS (SELECT FROM (SELECT * FROM team WHERE {IS_LIVE}) o"  # noqa: S608
    " WHERE o.church_id = r.church_id AND o.normalized_name = :new)"
)
_TABLES = (
    _Table(name="church", taken=_CHURCH_HAS_IT),
    _Table(name="church_alias", id="church_id", taken=_CHURCH_HAS_IT),
    _Table(name="team", taken=_TEAM_HAS_IT),
    _Table(name="player"),
)


async def renormalize(database: Database) -> int:
    """The number of names that were normalised anew, in batches; a new name that another row has
    leaves the old one. Safe to repeat, and to kill at any point.
    """
    return sum([await _renew_table(database, table) for table in _TABLES])


async def count_outdated(connection: AsyncConnection) -> dict[str, int]:
    """How many rows of each table have an old name, tables without one left out."""
    counts = {
        table.name: await connection.scalar(
            text(f"SELECT count(*) FROM {table.name} WHERE normalized_name ~ :ignored"),  # noqa: S608
            {"ignored": IGNORED},
        )
        for table in _TABLES
    }
    return {name: count for name, count in counts.items() if count}


async def _renew_table(database: Database, table: _Table) -> int:
    renewed = left = 0
    while rows := await database.read(partial(_old, table=table, left=left)):
        for row in rows:
            is_renewed = await database.run(partial(_renew_row, table=table, row=row))
            renewed += is_renewed
            left += not is_renewed
    return renewed


async def _old(connection: AsyncConnection, *, table: _Table, left: int) -> list[Row[Any]]:
    statement = (
        f"SELECT {table.id} AS id, normalized_name FROM {table.name}"  # noqa: S608
        f" WHERE normalized_name ~ :ignored ORDER BY 1, 2 LIMIT {BATCH_SIZE} OFFSET :left"
    )
    return [*await connection.execute(text(statement), {"ignored": IGNORED, "left": left})]


async def _renew_row(connection: AsyncConnection, *, table: _Table, row: Row[Any]) -> bool:
    statement = (
        f"UPDATE {table.name} r SET normalized_name = :new"  # noqa: S608
        f" WHERE {table.id} = :id AND normalized_name = :old AND NOT ({table.taken})"
    )
    new = normalize(row.normalized_name)
    if new == row.normalized_name:
        return False
    values = {"id": row.id, "old": row.normalized_name, "new": new}
    return bool((await connection.execute(text(statement), values)).rowcount)
