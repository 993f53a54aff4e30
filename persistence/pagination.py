"""Pages of a list by keyset: what is inserted meanwhile is neither repeated nor skipped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, literal_column, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

R = TypeVar("R")
S = TypeVar("S")

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """The first `size` entries between two keys, or the last when it is read backward."""

    size: int
    after: Key | ColumnElement[Any] | None = None
    before: Key | ColumnElement[Any] | None = None
    is_backward: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[R]):
    """`keys` say where each row stands, in the same order."""

    rows: tuple[R, ...]
    keys: tuple[Key, ...]
    has_next: bool
    has_previous: bool

    def with_rows(self, rows: Sequence[S]) -> "Page[S]":
        """The same page with something else in the place of each row."""
        return Page(
            rows=tuple(rows),
            keys=self.keys,
            has_next=self.has_next,
            has_previous=self.has_previous,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysetOrder:
    """Columns that together are unique. Descending goes for all of them."""

    columns: tuple[ColumnElement[Any], ...]
    is_descending: bool = False


async def read_page(
    connection: AsyncConnection,
    statement: Select[Any],
    order: KeysetOrder,
    request: PageRequest,
    to_record: Callable[[Any], R],
) -> Page[R]:
    """One statement; `make` turns a row into a record."""
    found = await connection.execute(apply_keyset(statement, order, request))
    names = key_labels(order)
    rows = [(row, tuple(getattr(row, name) for name in names)) for row in found]
    return build_page(rows, request, to_record)


def key_labels(order: KeysetOrder) -> list[str]:
    """What the columns of a key are called among those of a row."""
    return [f"key_{number}" for number in range(len(order.columns))]


def apply_keyset(statement: Select[Any], order: KeysetOrder, request: PageRequest) -> Select[Any]:
    """One row more than is wanted, each with its key."""
    place = tuple_(*order.columns)
    if request.after is not None:
        statement = statement.where(
            place < request.after if order.is_descending else place > request.after
        )
    if request.before is not None:
        statement = statement.where(
            place > request.before if order.is_descending else place < request.before
        )
    labels = zip(order.columns, key_labels(order), strict=True)
    keys = [column.label(name) for column, name in labels]
    is_down = order.is_descending != request.is_backward
    directed = [column.desc() if is_down else column.asc() for column in order.columns]
    # Not a parameter: PostgreSQL plans for a number that it knows, and keeps that plan.
    size: ColumnElement[int] = literal_column(str(request.size + 1))
    return statement.add_columns(*keys).order_by(*directed).limit(size)


def build_page(
    found: Sequence[tuple[Any, Key]], request: PageRequest, to_record: Callable[[Any], R]
) -> Page[R]:
    """The page of what `paged` gave: rows with their keys."""
    is_more = len(found) > request.size
    found = found[: request.size]
    if request.is_backward:
        found = found[::-1]
    return Page(
        rows=tuple(to_record(row) for row, _ in found),
        keys=tuple(key for _, key in found),
        has_next=request.before is not None if request.is_backward else is_more,
        has_previous=is_more if request.is_backward else request.after is not None,
    )
