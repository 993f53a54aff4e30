"""Ping the database on a connection of its own, so that a busy pool never delays the answer."""

import asyncio
from contextlib import suppress
from time import perf_counter

import asyncpg

from persistence.engine.driver import CONNECTION_ERRORS, connect


class HealthProbe:
    """Keep one connection; concurrent callers share one ping.

    A kept connection that does not answer within `stale_after_seconds` is replaced. The limit is
    short, so that the caller has time for a new connection if the network has dropped the old one.
    """

    def __init__(
        self, url: str, *, connect_timeout_seconds: float, stale_after_seconds: float = 0.7
    ) -> None:
        self._url = url
        self._connect_timeout_seconds = connect_timeout_seconds
        self._stale_after_seconds = stale_after_seconds
        self._connection: asyncpg.Connection | None = None
        self._task: asyncio.Task[float] | None = None

    async def ping(self, *, timeout_seconds: float) -> float:
        """Milliseconds that a `SELECT 1` took. Raises CONNECTION_ERRORS, as TimeoutError.

        The timeout ends only the wait: connecting to a database that wakes up slowly goes on, and
        the next ping is answered.
        """
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._measure())
            self._task.add_done_callback(_retrieve_exception)
        async with asyncio.timeout(timeout_seconds):
            return await asyncio.shield(self._task)

    async def close(self) -> None:
        self._disconnect()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._disconnect()

    async def _measure(self) -> float:
        started_at = perf_counter()
        if self._connection is not None:
            with suppress(*CONNECTION_ERRORS):
                await self._select(self._connection, self._stale_after_seconds)
                return _elapsed_ms(started_at)
            self._disconnect()
        timeout_seconds = self._connect_timeout_seconds
        self._connection = await connect(self._url, timeout_seconds=timeout_seconds)
        await self._select(self._connection, timeout_seconds)
        return _elapsed_ms(started_at)

    async def _select(self, connection: asyncpg.Connection, timeout_seconds: float) -> None:
        # Terminates instead of cancelling the query: cancelling needs a server that answers.
        timer = asyncio.get_running_loop().call_later(timeout_seconds, connection.terminate)
        try:
            await connection.execute("SELECT 1")
        finally:
            timer.cancel()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def _elapsed_ms(started_at: float) -> float:
    return (perf_counter() - started_at) * 1000


def _retrieve_exception(task: asyncio.Task[float]) -> None:
    """Keep asyncio from logging an error that came after every caller's timeout."""
    if not task.cancelled():
        task.exception()
