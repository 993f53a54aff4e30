"""Single reads on connections of their own: statements stay prepared, nothing lies in between.

What SQLAlchemy does for a unit of work (checking a connection out, testing and resetting it) takes
several times as long as reading a row by its key.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import asyncpg
from sqlalchemy import Executable, make_url
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from persistence.connecting import LOST

_DIALECT: Any = dialect()  # type: ignore[no-untyped-call]


class Row(Protocol):
    """What was read, by the names of columns."""

    def keys(self) -> Iterable[str]: ...

    def __getitem__(self, name: str, /) -> Any: ...


class Statement:
    """A SELECT whose values are `bindparam`s, as text for asyncpg. Made once, kept."""

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


class Direct:
    """Up to `size` connections, the one used last first. They have no session settings to reset:
    only single SELECTs run on them.
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
        place = make_url(url)
        _, self._arguments = place.get_dialect()().create_connect_args(place)
        self._connect_timeout_seconds = connect_timeout_seconds
        self._wait_seconds = wait_seconds
        self._server_settings = dict(server_settings)
        self._idle: list[asyncpg.Connection] = []
        self._size = size
        self._free = asyncio.Semaphore(size)
        self.in_use = 0

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> Sequence[Row]:
        """All rows. Raises ConnectionError for a connection that is lost, TimeoutError when none
        became free in time, and PostgreSQL's own errors.
        """
        async with self._taken() as connection:
            rows: Sequence[Row] = await connection.fetch(
                statement.text, *statement.arguments(values)
            )
            return rows

    def close(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.terminate()

    @asynccontextmanager
    async def _taken(self) -> AsyncGenerator[asyncpg.Connection]:
        if self._free.locked():
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        else:
            await self._free.acquire()
        self.in_use += 1
        connection: asyncpg.Connection | None = None
        try:
            connection = self._idle.pop() if self._idle else await self._connect()
            yield connection
            self._idle.append(connection)
        except asyncpg.PostgresError as error:
            self._sort_out(connection, error)
            raise
        except LOST as error:
            # The others were lost with it, or will be tried one by one.
            self._discard(connection)
            self.close()
            raise ConnectionError from error
        except BaseException:
            # Cancelled in the middle: what comes next on the line belongs to nobody.
            self._discard(connection)
            raise
        finally:
            self.in_use -= 1
            self._free.release()

    def _sort_out(
        self, connection: asyncpg.Connection | None, error: asyncpg.PostgresError
    ) -> None:
        """Keep a connection whose statement failed, drop one that the server has ended."""
        is_ended = (error.sqlstate or "").startswith(("08", "57P"))
        if connection is None or is_ended or connection.is_closed():
            self._discard(connection)
            self.close()
        else:
            self._idle.append(connection)

    def _discard(self, connection: asyncpg.Connection | None) -> None:
        if connection is not None:
            connection.terminate()

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            **self._arguments,
            timeout=self._connect_timeout_seconds,
            server_settings=self._server_settings,
        )
