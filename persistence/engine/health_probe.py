"""Whether the database answers, asked so that the answer never waits for units of work."""

import asyncio
from contextlib import suppress
from time import perf_counter

import asyncpg

from persistence.engine.driver import CONNECTION_ERRORS, connect


class HealthProbe:
    """Has one connection of its own. Whoever asks at the same time gets the same answer.

    The connection is given up after `patience_seconds`, so that one that a network has forgotten
    leaves time for a new one.
    """

    def __init__(
        self, url: str, *, connect_timeout_seconds: float, stale_after_seconds: float = 0.7
    ) -> None:
        self._url = url
        self._connect_timeout_seconds = connect_timeout_seconds
        self._stale_after_seconds = stale_after_seconds
        self._kept: asyncpg.Connection | None = None
        self._asking: asyncio.Task[float] | None = None

    async def ping(self, *, timeout_seconds: float) -> float:
        """Milliseconds that a `SELECT 1` took. Raises LOST, of which TimeoutError is one.

        Only the waiting ends after `within_seconds`: a database that wakes up slowly is connected
        to meanwhile, and answers the next time.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(_retrieve_exception)
        async with asyncio.timeout(timeout_seconds):
            return await asyncio.shield(self._asking)

    async def close(self) -> None:
        self._end()
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
            self._end()

    async def _ask(self) -> float:
        began = perf_counter()
        if self._kept is not None:
            with suppress(*CONNECTION_ERRORS):
                await self._select(self._kept, self._stale_after_seconds)
                return _milliseconds_since(began)
            self._end()
        seconds = self._connect_timeout_seconds
        self._kept = await connect(self._url, timeout_seconds=seconds)
        await self._select(self._kept, seconds)
        return _milliseconds_since(began)

    async def _select(self, connection: asyncpg.Connection, seconds: float) -> None:
        # Ends the connection, not the statement: to cancel that, the server would have to answer.
        ending = asyncio.get_running_loop().call_later(seconds, connection.terminate)
        try:
            await connection.execute("SELECT 1")
        finally:
            ending.cancel()

    def _end(self) -> None:
        if self._kept is not None:
            self._kept.terminate()
            self._kept = None


def _milliseconds_since(began: float) -> float:
    return (perf_counter() - began) * 1000


def _retrieve_exception(asking: asyncio.Task[float]) -> None:
    """An error that nobody waited for is not reported as forgotten."""
    if not asking.cancelled():
        asking.exception()
