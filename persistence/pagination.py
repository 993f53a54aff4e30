"""Keyset pagination: rows inserted between two requests are neither repeated nor skipped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, literal_column, tuple_
from sqlmodel.ext.asyncio.session import AsyncSession

R = TypeVar("R")

# Values of the columns of a KeysetOrder.
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """The first `size` rows between two keys, or the last ones if `is_backward`."""

    size: int
    after: Key | ColumnElement[Any] | None = None
    before: Key | ColumnElement[Any] | None = None
    is_backward: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[R]):
    """Rows with their keys, in the same order."""

    rows: tuple[R, ...]
    keys: tuple[Key, ...]
    has_next: bool
    has_previous: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysetOrder:
    """Columns that are unique together. `is_descending` applies to all of them."""

    # Mapped columns too, which have no type in common with ColumnElement.
    columns: tuple[Any, ...]
    is_descending: bool = False


async def read_page(
    session: AsyncSession,
    statement: Select[Any],
    order: KeysetOrder,
    request: PageRequest,
    to_record: Callable[[Any], R],
) -> Page[R]:
    """Read a page with one statement of SQLAlchemy's `select`; `to_record` converts a row."""
    result = await session.exec(apply_keyset(statement, order, request))  # type: ignore[call-overload]
    labels = key_labels(order)
    rows = [(row, tuple(getattr(row, label) for label in labels)) for row in result]
    return build_page(rows, request, to_record)


def key_labels(order: KeysetOrder) -> list[str]:
    """Labels of the key's columns, which `apply_keyset` adds to a statement."""
    return [f"key_{number}" for number in range(len(order.columns))]


def apply_keyset(statement: Select[Any], order: KeysetOrder, request: PageRequest) -> Select[Any]:
    """Add order, limits and key columns. One extra row tells whether there are more."""
    key = tuple_(*order.columns)
    if request.after is not None:
        statement = statement.where(
            key < request.after if order.is_descending else key > request.after
        )
    if request.before is not None:
        statement = statement.where(
            key > request.before if order.is_descending else key < request.before
        )
    labels = zip(order.columns, key_labels(order), strict=True)
    key_columns = [column.label(label) for column, label in labels]
    is_descending = order.is_descending != request.is_backward
    directed = [column.desc() if is_descending else column.asc() for column in order.columns]
    # A literal, not a parameter: PostgreSQL makes a better plan for a number that it knows.
    limit: ColumnElement[int] = literal_column(str(request.size + 1))
    return statement.add_columns(*key_columns).order_by(*directed).limit(limit)


def build_page(
    rows: Sequence[tuple[Any, Key]], request: PageRequest, to_record: Callable[[Any], R]
) -> Page[R]:
    """Build the page from the rows and keys of a statement with `apply_keyset`."""
    has_more = len(rows) > request.size
    rows = rows[: request.size]
    if request.is_backward:
        rows = rows[::-1]
    return Page(
        rows=tuple(to_record(row) for row, _ in rows),
        keys=tuple(key for _, key in rows),
        has_next=request.before is not None if request.is_backward else has_more,
        has_previous=has_more if request.is_backward else request.after is not None,
    )
