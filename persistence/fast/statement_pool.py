"""Single statements on connections of their own: they stay prepared, nothing lies in between.

What SQLAlchemy does for a unit of work (checking a connection out, testing and resetting it) takes
several times as long as reading a row by its key.
"""

from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, Protocol

import asyncpg
from sqlalchemy import ColumnElement, Executable, any_, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from persistence.engine.connection_pool import ConnectionPool, LockTimeouts
from persistence.engine.driver import CONNECTION_ERRORS
from persistence.engine.errors import invalidates_connections

_DIALECT: Any = dialect()  # type: ignore[no-untyped-call]


class Row(Protocol):
    """What was read, by the names of columns."""

    def keys(self) -> Iterable[str]: ...

    def items(self) -> Any: ...

    def values(self) -> Any: ...

    def __getitem__(self, name: str, /) -> Any: ...


class CompiledStatement:
    """A statement whose values are `bindparam`s, as text for asyncpg. Made once, kept."""

    def __init__(self, expression: Executable) -> None:
        compiled = expression.compile(dialect=_DIALECT)  # type: ignore[attr-defined]
        self.expression = expression
        self.text = str(compiled)
        self._names: Sequence[str] = compiled.positiontup or ()
        self._constants: Mapping[str, Any] = compiled.params

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """In the order of the text. Raises KeyError for a value that is not given."""
        given = {**self._constants, **values}
        return [given[name] for name in self._names]


def key_in(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """The condition that the column is one of the statement's `keys`."""
    return column == any_(bindparam("keys", type_=ARRAY(column.type)))


class StatementPool:
    """Runs single statements, each its own transaction, on the connections of a pool."""

    def __init__(self, pool: ConnectionPool, timeouts: LockTimeouts | None = None) -> None:
        self._pool = pool
        self._timeouts = timeouts

    @property
    def in_use(self) -> int:
        return self._pool.in_use

    async def fetch(
        self, statement: CompiledStatement, values: Mapping[str, Any], since: float | None = None
    ) -> Sequence[Row]:
        """All rows, for a caller who has waited since then.

        Raises ConnectionError for a connection that is lost, NoFreeConnection when none became
        free in time, and PostgreSQL's own errors.
        """
        began = monotonic() if since is None else since
        try:
            pooled = await self._pool.acquire(began)
        except CONNECTION_ERRORS as error:
            raise _as_lost(error) from error
        is_usable = False
        try:
            if self._timeouts is not None:
                await self._timeouts.apply(pooled, began)
            rows: Sequence[Row] = await pooled.connection.fetch(
                statement.text, *statement.arguments(values)
            )
            is_usable = True
        except CONNECTION_ERRORS as error:
            lost = _as_lost(error)
            is_usable = not (invalidates_connections(lost) or pooled.connection.is_closed())
            if not is_usable:
                self._pool.report_failure(pooled, lost)
            raise lost from (None if lost is error else error)
        finally:
            self._pool.release(pooled, is_usable=is_usable)
        return rows

    def close(self) -> None:
        self._pool.close()


def _as_lost(error: Exception) -> Exception:
    """PostgreSQL's own error itself; ConnectionError for all that does not come from it."""
    return error if isinstance(error, asyncpg.PostgresError) else ConnectionError()
