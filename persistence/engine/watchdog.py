"""Statements whose answer does not come: working or waiting in the server, or lost on the way."""

import asyncio
import errno
import math
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

import asyncpg
import structlog

from persistence.engine.driver import CONNECTION_ERRORS, LoopTimer, close_connection, connect

log = structlog.get_logger(__name__)

# How often statements under way are looked at.
CHECK_INTERVAL_SECONDS = 0.5
# Statements that take longer are asked about.
SUSPECT_AFTER_SECONDS = 1.5
# The database has so long to say how they are.
QUERY_TIMEOUT_SECONDS = 2.0
# Between the end of an examination that found nobody and the next one.
QUERY_RETRY_PAUSE_SECONDS = 0.5
# An examination in which the event loop stood still for longer says nothing.
MAX_LOOP_STALL_SECONDS = 0.3
# The server has had nothing to do for so long, in its own time, while its answer is waited for.
MIN_IDLE_SECONDS = 0.5
# Added to the server's own timeout, after which it would have answered.
TIMEOUT_MARGIN_SECONDS = 2.0

# Behind a pooler the server's process has another number than the client was told: then nothing
# can be said. Sessions that are gone have no row. A session that works or waits for a lock is
# active; others, and those that wait for the rest of a statement, are ended here, since they hold
# what they have locked.
_SILENT = """
    SELECT asked.pid, s.state_change::text AS since
    FROM unnest(CAST($1 AS integer[])) AS asked (pid)
    LEFT JOIN pg_stat_activity s ON s.pid = asked.pid AND s.usename = current_user
    WHERE pg_backend_pid() = $2 AND (
        s.pid IS NULL
        OR (s.state LIKE 'idle%' OR s.wait_event = 'ClientRead')
            AND s.state_change < clock_timestamp() - make_interval(secs => $3)
    )
"""
# Only those that have done nothing since they were found.
_END = """
    SELECT pg_terminate_backend(s.pid)
    FROM unnest(CAST($1 AS integer[]), CAST($2 AS text[])) AS silent (pid, since)
    JOIN pg_stat_activity s ON s.pid = silent.pid AND s.state_change::text = silent.since
    WHERE s.usename = current_user AND s.application_name = current_setting('application_name')
"""
# Nobody is there. Other failures to connect may be of a server that has much to do, or of this
# process: of a second examination as well, and with no answer meanwhile, they are an outage.
_ABSENT = frozenset(
    (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENOENT)
)


class DriverConnection(Protocol):
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

    def __init__(
        self, url: str, *, statement_timeout_seconds: float, can_query_server: bool = True
    ) -> None:
        self._url = url
        self._longest_seconds = statement_timeout_seconds + TIMEOUT_MARGIN_SECONDS
        self._asks = can_query_server
        self._under_way: dict[Any, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._examining: asyncio.Task[None] | None = None
        self._answered_at = self._rests_until = -math.inf
        # When the first examination of those that found nobody began.
        self._absent_since: float | None = None

    def track(self, connection: DriverConnection) -> None:
        """A statement was sent on this connection."""
        self._under_way[connection] = monotonic()
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(CHECK_INTERVAL_SECONDS, self._look)

    def untrack(self, connection: DriverConnection, *, is_answered: bool = False) -> None:
        """Its answer came, or nobody waits for it any more."""
        if is_answered:
            self._answered_at = monotonic()
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
        self._timer = asyncio.get_running_loop().call_later(CHECK_INTERVAL_SECONDS, self._look)
        now = monotonic()
        suspects = []
        for connection, began in list(self._under_way.items()):
            if now - began > self._longest_seconds:
                self._give_up(connection, "timeout")
            elif now - began > SUSPECT_AFTER_SECONDS:
                suspects.append(connection)
        is_examining = self._examining is not None and not self._examining.done()
        if not suspects and not is_examining:
            self._absent_since = None
        if suspects and self._asks and not is_examining and now >= self._rests_until:
            self._examining = asyncio.create_task(self._examine(suspects))

    async def _examine(self, suspects: list[DriverConnection]) -> None:
        began = {one: self._under_way[one] for one in suspects if one in self._under_way}
        started = monotonic()
        running = LoopTimer(2 * QUERY_TIMEOUT_SECONDS, lambda: None)
        silent: list[DriverConnection] = []
        try:
            async with asyncio.timeout(QUERY_TIMEOUT_SECONDS):
                silent = await self._silent(began, running)
            self._absent_since = None
        except asyncpg.PostgresError as error:
            # The server is there and says nothing about the others.
            log.warning("silence_not_examined", sqlstate=error.sqlstate)
            self._absent_since = None
        except CONNECTION_ERRORS as error:
            self._rests_until = monotonic() + QUERY_RETRY_PAUSE_SECONDS
            if running.longest_stall_seconds <= MAX_LOOP_STALL_SECONDS and self._is_absent(
                error, started
            ):
                silent = list(began)
        finally:
            running.cancel()
        for connection in self._waiting_still(silent, began):
            self._give_up(connection, "silent")

    def _is_absent(self, error: BaseException, started: float) -> bool:
        """Whether a failure to connect says that the server has gone."""
        if getattr(error, "errno", None) in _ABSENT:
            return True
        since = self._absent_since
        if since is None or self._answered_at > since:
            self._absent_since = started
            return False
        return True

    def _waiting_still(
        self, connections: Iterable[DriverConnection], began: dict[DriverConnection, float]
    ) -> list[DriverConnection]:
        """Not those that were answered, and perhaps given to somebody else, meanwhile."""
        return [one for one in connections if self._under_way.get(one) == began[one]]

    async def _silent(
        self, began: dict[DriverConnection, float], running: LoopTimer
    ) -> list[DriverConnection]:
        """Those whose sessions wait for a client, and are ended, or are gone. Raises LOST."""
        connection = await connect(self._url, timeout_seconds=QUERY_TIMEOUT_SECONDS)
        try:
            open_ones = [one for one in self._waiting_still(began, began) if not one.is_closed()]
            by_pid = {one.get_server_pid(): one for one in open_ones}
            own = connection.get_server_pid()
            rows = await connection.fetch(_SILENT, list(by_pid), own, MIN_IDLE_SECONDS)
            if running.longest_stall_seconds > MAX_LOOP_STALL_SECONDS:
                return []
            since = {by_pid[row["pid"]]: row["since"] for row in rows}
            silent = self._waiting_still(since, began)
            if silent:
                pids = [one.get_server_pid() for one in silent]
                await connection.fetch(_END, pids, [since[one] for one in silent])
        finally:
            await close_connection(connection)
        return silent

    def _give_up(self, connection: DriverConnection, reason: str) -> None:
        log.warning("connection_given_up", reason=reason)
        self.untrack(connection)
        connection.terminate()
