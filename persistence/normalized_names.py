"""Renormalise names stored by older versions, which kept invisible characters in them."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Row, text

from domain.characters import IGNORABLE_PATTERN
from domain.registration.names import normalize
from persistence.engine.database import Database
from persistence.models import IS_LIVE
from persistence.unit_of_work import UnitOfWork

BATCH_SIZE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """A table with normalised names.

    `taken` is the SQL condition that another row (`o`) has the new name (`:new`) of a row (`r`).
    """

    name: str
    id: str = "id"
    taken: str = "false"


_IS_TAKEN_BY_CHURCH = (
    "EXISTS (SELECT FROM church o"
    " WHERE o.tournament_id = r.tournament_id AND o.normalized_name = :new)"
    " OR EXISTS (SELECT FROM church_alias o"
    " WHERE o.tournament_id = r.tournament_id AND o.normalized_name = :new)"
)
_IS_TAKEN_BY_TEAM = (
    f"{IS_LIVE} AND EXISTS (SELECT FROM (SELECT * FROM team WHERE {IS_LIVE}) o"  # noqa: S608
    " WHERE o.church_id = r.church_id AND o.normalized_name = :new)"
)
_TABLES = (
    _Table(name="church", taken=_IS_TAKEN_BY_CHURCH),
    _Table(name="church_alias", id="church_id", taken=_IS_TAKEN_BY_CHURCH),
    _Table(name="team", taken=_IS_TAKEN_BY_TEAM),
    _Table(name="player"),
)


async def renormalize(database: Database) -> int:
    """Renormalise all outdated names, in batches. Returns the number of changed names.

    A name whose new form another row has is left as it is. Safe to repeat and to kill at any point.
    """
    return sum([await _renormalize_table(database, table) for table in _TABLES])


async def count_outdated(uow: UnitOfWork) -> dict[str, int]:
    """The number of outdated names by table, without tables that have none."""
    counts = {
        table.name: await uow.session.scalar(
            # One statement for tables of several kinds.
            text(f"SELECT count(*) FROM {table.name} WHERE normalized_name ~ :ignored"),  # noqa: S608
            {"ignored": IGNORABLE_PATTERN},
        )
        for table in _TABLES
    }
    return {name: count for name, count in counts.items() if count}


async def _renormalize_table(database: Database, table: _Table) -> int:
    changed = skipped = 0
    while rows := await database.read(partial(_list_outdated, table=table, skipped=skipped)):
        for row in rows:
            is_changed = await database.run(partial(_renormalize_row, table=table, row=row))
            changed += is_changed
            skipped += not is_changed
    return changed


async def _list_outdated(uow: UnitOfWork, *, table: _Table, skipped: int) -> list[Row[Any]]:
    statement = (
        f"SELECT {table.id} AS id, normalized_name FROM {table.name}"  # noqa: S608
        f" WHERE normalized_name ~ :ignored ORDER BY 1, 2 LIMIT {BATCH_SIZE} OFFSET :skipped"
    )
    connection = await uow.session.connection()
    values = {"ignored": IGNORABLE_PATTERN, "skipped": skipped}
    # One statement for tables of several kinds.
    return [*await connection.execute(text(statement), values)]


async def _renormalize_row(uow: UnitOfWork, *, table: _Table, row: Row[Any]) -> bool:
    statement = (
        f"UPDATE {table.name} r SET normalized_name = :new"  # noqa: S608
        f" WHERE {table.id} = :id AND normalized_name = :old AND NOT ({table.taken})"
    )
    new = normalize(row.normalized_name)
    if new == row.normalized_name:
        return False
    values = {"id": row.id, "old": row.normalized_name, "new": new}
    connection = await uow.session.connection()
    # One statement for tables of several kinds.
    return bool((await connection.execute(text(statement), values)).rowcount)
