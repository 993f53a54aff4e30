"""Statements whose answer does not come: working or waiting in the server, or lost on the way."""

import asyncio
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

import asyncpg
import structlog

from persistence.connecting import LOST, connect, leave

log = structlog.get_logger(__name__)

# How often statements under way are looked at.
TICK_SECONDS = 0.5
# Statements that take longer are asked about.
SUSPECT_SECONDS = 1.5
# The database has so long to say how they are.
EXAMINATION_SECONDS = 2.0
# The server has had nothing to do for so long, in its own time, while its answer is waited for.
SILENT_SECONDS = 0.5
# Added to the server's own timeout, after which it would have answered.
MARGIN_SECONDS = 2.0

# Behind a pooler the server's process has another number than the client was told: then nothing
# can be said. Sessions that are gone have no row. A session that works or waits for a lock is
# active; others, and those that wait for the rest of a statement, are ended here, since they hold
# what they have locked.
_SILENT = """
    SELECT asked.pid, CASE WHEN s.application_name = current_setting('application_name')
        THEN pg_terminate_backend(s.pid) END AS is_ended
    FROM unnest(CAST($1 AS integer[])) AS asked (pid)
    LEFT JOIN pg_stat_activity s ON s.pid = asked.pid AND s.usename = current_user
    WHERE pg_backend_pid() = $2 AND (
        s.pid IS NULL
        OR (s.state LIKE 'idle%' OR s.wait_event = 'ClientRead')
            AND s.state_change < clock_timestamp() - make_interval(secs => $3)
    )
"""


class Watched(Protocol):
    """The part of asyncpg's connection that the watchdog uses."""

    def get_server_pid(self) -> int: ...

    def is_closed(self) -> bool: ...

    def terminate(self) -> None: ...


class Watchdog:
    """Closes connections on which an answer is waited for in vain.

    A statement has `statement_timeout_seconds` and a margin. One that takes longer than a moment is
    asked about on a new connection: the server knows whether it works on it or waits for a lock.
    If it does neither, or nobody answers, the connection is closed, which ends the waiting for it
    with an error. Without `asks`, as behind pgbouncer, there is only the first limit.
    """

    def __init__(self, url: str, *, statement_timeout_seconds: float, asks: bool = True) -> None:
        self._url = url
        self._longest_seconds = statement_timeout_seconds + MARGIN_SECONDS
        self._asks = asks
        self._under_way: dict[Any, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._examining: asyncio.Task[None] | None = None

    def begin(self, connection: Watched) -> None:
        """A statement was sent on this connection."""
        self._under_way[connection] = monotonic()
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(TICK_SECONDS, self._look)

    def end(self, connection: Watched) -> None:
        """Its answer came, or nobody waits for it any more."""
        self._under_way.pop(connection, None)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._examining is not None:
            self._examining.cancel()
            with suppress(asyncio.CancelledError):
                await self._examining

    def _look(self) -> None:
        self._timer = None
        if not self._under_way:
            return
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._look)
        now = monotonic()
        suspects = []
        for connection, began in list(self._under_way.items()):
            if now - began > self._longest_seconds:
                self._give_up(connection, "timeout")
            elif now - began > SUSPECT_SECONDS:
                suspects.append(connection)
        is_examining = self._examining is not None and not self._examining.done()
        if suspects and self._asks and not is_examining:
            self._examining = asyncio.create_task(self._examine(suspects))

    async def _examine(self, suspects: list[Watched]) -> None:
        began = {connection: self._under_way.get(connection) for connection in suspects}
        by_pid = {one.get_server_pid(): one for one in suspects if not one.is_closed()}
        try:
            async with asyncio.timeout(EXAMINATION_SECONDS):
                silent = await self._silent(list(by_pid))
        except asyncpg.PostgresError as error:
            # The server is there and says nothing about the others.
            log.warning("silence_not_examined", sqlstate=error.sqlstate)
            return
        except LOST:
            silent = set(by_pid)
        for pid in silent:
            connection = by_pid[pid]
            # Not one that has been answered, and perhaps been given to somebody else, meanwhile.
            if self._under_way.get(connection) == began[connection]:
                self._give_up(connection, "silent")

    async def _silent(self, pids: list[int]) -> set[int]:
        """Those whose sessions wait for a client, or are gone. Raises LOST."""
        connection = await connect(self._url, timeout_seconds=EXAMINATION_SECONDS)
        try:
            own = connection.get_server_pid()
            rows = await connection.fetch(_SILENT, pids, own, SILENT_SECONDS)
        finally:
            await leave(connection)
        return {row["pid"] for row in rows}

    def _give_up(self, connection: Watched, reason: str) -> None:
        log.warning("connection_given_up", reason=reason)
        self.end(connection)
        connection.terminate()
