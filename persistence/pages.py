"""Pages of a list by keyset: what is inserted meanwhile is neither repeated nor skipped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

R = TypeVar("R")
S = TypeVar("S")

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The first `size` entries between two keys, or the last when it is read backward."""

    size: int
    after: Key | None = None
    before: Key | None = None
    is_backward: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[R]):
    """`keys` say where each row stands, in the same order."""

    rows: tuple[R, ...]
    keys: tuple[Key, ...]
    has_next: bool
    has_previous: bool

    def of(self, rows: Sequence[S]) -> "Page[S]":
        """The same page with something else in the place of each row."""
        return Page(
            rows=tuple(rows),
            keys=self.keys,
            has_next=self.has_next,
            has_previous=self.has_previous,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Columns that together are unique. Descending goes for all of them."""

    columns: tuple[ColumnElement[Any], ...]
    is_descending: bool = False


async def read_page(
    connection: AsyncConnection,
    statement: Select[Any],
    order: Order,
    wanted: Slice,
    make: Callable[[Any], R],
) -> Page[R]:
    """One statement; `make` turns a row into a record."""
    place = tuple_(*order.columns)
    if wanted.after is not None:
        statement = statement.where(
            place < wanted.after if order.is_descending else place > wanted.after
        )
    if wanted.before is not None:
        statement = statement.where(
            place > wanted.before if order.is_descending else place < wanted.before
        )
    names = [f"key_{number}" for number in range(len(order.columns))]
    keys = [column.label(name) for column, name in zip(order.columns, names, strict=True)]
    is_down = order.is_descending != wanted.is_backward
    directed = [column.desc() if is_down else column.asc() for column in order.columns]
    found = await connection.execute(
        statement.add_columns(*keys).order_by(*directed).limit(wanted.size + 1)
    )
    rows = found.all()
    is_more = len(rows) > wanted.size
    rows = rows[: wanted.size]
    if wanted.is_backward:
        rows = rows[::-1]
    return Page(
        rows=tuple(make(row) for row in rows),
        keys=tuple(tuple(getattr(row, name) for name in names) for row in rows),
        has_next=wanted.before is not None if wanted.is_backward else is_more,
        has_previous=is_more if wanted.is_backward else wanted.after is not None,
    )
