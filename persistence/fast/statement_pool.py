"""Single statements on asyncpg connections, prepared once and executed without SQLAlchemy.

SQLAlchemy's work for a connection (checking it out, testing and resetting it) takes several times
as long as reading a row by its key.
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
    """A row: `asyncpg.Record` or SQLAlchemy's `RowMapping`, by column names."""

    def keys(self) -> Iterable[str]: ...

    def items(self) -> Any: ...

    def values(self) -> Any: ...

    def __getitem__(self, name: str, /) -> Any: ...


class CompiledStatement:
    """A statement compiled once to SQL text for asyncpg. Its values are `bindparam`s."""

    def __init__(self, expression: Executable) -> None:
        compiled = expression.compile(dialect=_DIALECT)  # type: ignore[attr-defined]
        self.expression = expression
        self.text = str(compiled)
        self._names: Sequence[str] = compiled.positiontup or ()
        self._constants: Mapping[str, Any] = compiled.params

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """Values in the order of `$1`, `$2`, … Raises KeyError for a missing one."""
        parameters = {**self._constants, **values}
        return [parameters[name] for name in self._names]


def key_in(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """The condition `column = ANY(:keys)`, for statements that are batched by key."""
    return column == any_(bindparam("keys", type_=ARRAY(column.type)))


class StatementPool:
    """Execute single statements, each its own transaction, on the connections of a pool."""

    def __init__(self, pool: ConnectionPool, timeouts: LockTimeouts | None = None) -> None:
        self.pool = pool
        self._timeouts = timeouts

    @property
    def in_use(self) -> int:
        return self.pool.in_use

    async def fetch(
        self,
        statement: CompiledStatement,
        values: Mapping[str, Any],
        waiting_since: float | None = None,
    ) -> Sequence[Row]:
        """Fetch all rows. `waiting_since`: the caller's start, by `time.monotonic`; None for now.

        Raises PostgreSQL's errors, NoFreeConnection when no connection became free in time, and
        ConnectionError for a connection that was lost.
        """
        waiting_since = monotonic() if waiting_since is None else waiting_since
        try:
            pooled = await self.pool.acquire(waiting_since)
        except CONNECTION_ERRORS as error:
            raise _as_connection_error(error) from error
        is_usable = False
        try:
            if self._timeouts is not None:
                await self._timeouts.apply(pooled, waiting_since)
            rows: Sequence[Row] = await pooled.connection.fetch(
                statement.text, *statement.arguments(values)
            )
            is_usable = True
        except CONNECTION_ERRORS as error:
            mapped = _as_connection_error(error)
            is_usable = not (invalidates_connections(mapped) or pooled.connection.is_closed())
            if not is_usable:
                self.pool.report_failure(pooled, mapped)
            raise mapped from (None if mapped is error else error)
        finally:
            self.pool.release(pooled, is_usable=is_usable)
        return rows

    def close(self) -> None:
        self.pool.close()


def _as_connection_error(error: Exception) -> Exception:
    """PostgreSQL's error unchanged; ConnectionError for every other."""
    return error if isinstance(error, asyncpg.PostgresError) else ConnectionError()
