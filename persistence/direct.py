"""Single statements on connections of their own: they stay prepared, nothing lies in between.

What SQLAlchemy does for a unit of work (checking a connection out, testing and resetting it) takes
several times as long as reading a row by its key.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import asyncpg
from sqlalchemy import ColumnElement, Executable, any_, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from persistence.connecting import LOST, connect, is_ended_by

STATEMENTS_KEPT = 100
_DIALECT: Any = dialect()  # type: ignore[no-untyped-call]


class Row(Protocol):
    """What was read, by the names of columns."""

    def keys(self) -> Iterable[str]: ...

    def items(self) -> Any: ...

    def values(self) -> Any: ...

    def __getitem__(self, name: str, /) -> Any: ...


class Statement:
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


def is_sought(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """The condition that the column is one of the statement's `keys`."""
    return column == any_(bindparam("keys", type_=ARRAY(column.type)))


class Direct:
    """Up to `size` connections, the one used last first. They have no session settings to reset:
    only single statements run on them, each its own transaction.
    """

    def __init__(
        self,
        url: str,
        *,
        size: int,
        connect_timeout_seconds: float,
        wait_seconds: float,
        server_settings: Mapping[str, str],
    ) -> None:
        self._url = url
        self._connect_timeout_seconds = connect_timeout_seconds
        self._wait_seconds = wait_seconds
        self._server_settings = server_settings
        self._idle: list[asyncpg.Connection] = []
        self._free = asyncio.Semaphore(size)
        self.in_use = 0

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> Sequence[Row]:
        """All rows. Raises ConnectionError for a connection that is lost, TimeoutError when none
        became free in time, and PostgreSQL's own errors.
        """
        await self._wait_for_turn()
        self.in_use += 1
        connection: asyncpg.Connection | None = None
        is_usable = False
        try:
            connection = self._idle.pop() if self._idle else await self._connect()
            rows: Sequence[Row] = await connection.fetch(
                statement.text, *statement.arguments(values)
            )
        except asyncpg.PostgresError as error:
            is_usable = not is_ended_by(error.sqlstate) and not _is_closed(connection)
            if not is_usable:
                self.close()
            raise
        except LOST as error:
            self.close()
            raise ConnectionError from error
        else:
            is_usable = True
            return rows
        finally:
            self._give_back(connection, is_usable=is_usable)

    def close(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.terminate()

    async def _wait_for_turn(self) -> None:
        if self._free.locked():
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        else:
            await self._free.acquire()

    def _give_back(self, connection: asyncpg.Connection | None, *, is_usable: bool) -> None:
        """Kept if it can be used again. Cancelled in the middle it cannot: what comes next on its
        line belongs to nobody. What is lost takes the idle ones with it.
        """
        if connection is not None and is_usable:
            self._idle.append(connection)
        elif connection is not None:
            connection.terminate()
        self.in_use -= 1
        self._free.release()

    async def _connect(self) -> asyncpg.Connection:
        return await connect(
            self._url,
            timeout_seconds=self._connect_timeout_seconds,
            server_settings=self._server_settings,
            statements_kept=STATEMENTS_KEPT,
        )


def _is_closed(connection: asyncpg.Connection | None) -> bool:
    return connection is None or connection.is_closed()
