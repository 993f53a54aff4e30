"""Close connections whose statement will get no answer: the server is gone or has lost it."""

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

# Time between two checks of the pending statements.
CHECK_INTERVAL_SECONDS = 0.5
# Statements that have been pending for longer are looked up on the server.
SUSPECT_AFTER_SECONDS = 1.5
QUERY_TIMEOUT_SECONDS = 2.0
# Pause after a look-up for which no server was reached.
QUERY_RETRY_PAUSE_SECONDS = 0.5
# A look-up during which the event loop was blocked for longer is inconclusive.
MAX_LOOP_STALL_SECONDS = 0.3
# A session counts as silent when it has been idle on the server for so long, by the server's clock.
MIN_IDLE_SECONDS = 0.5
# Beyond the server's statement timeout, after which it would have answered.
TIMEOUT_MARGIN_SECONDS = 2.0

# Sessions among $1 (server process ids) that are gone, which have no row, or that wait for their
# client: idle, or reading the rest of a statement. A session that works or waits for a lock is
# active and not returned. $2 is the process id that the client was told for this connection: behind
# a pooler it differs from the real one, and then nothing is returned.
_FIND_SILENT = """
    SELECT pending.pid, s.state_change::text AS since
    FROM unnest(CAST($1 AS integer[])) AS pending (pid)
    LEFT JOIN pg_stat_activity s ON s.pid = pending.pid AND s.usename = current_user
    WHERE pg_backend_pid() = $2 AND (
        s.pid IS NULL
        OR (s.state LIKE 'idle%' OR s.wait_event = 'ClientRead')
            AND s.state_change < clock_timestamp() - make_interval(secs => $3)
    )
"""
# Silent sessions would keep their locks. Only those are ended that have done nothing since.
_TERMINATE = """
    SELECT pg_terminate_backend(s.pid)
    FROM unnest(CAST($1 AS integer[]), CAST($2 AS text[])) AS silent (pid, since)
    JOIN pg_stat_activity s ON s.pid = silent.pid AND s.state_change::text = silent.since
    WHERE s.usename = current_user AND s.application_name = current_setting('application_name')
"""
# No server is there. Any other failure to connect may come from an overloaded server or from this
# process; it counts as an outage when it is repeated and nothing was answered in between.
_UNREACHABLE_ERRNOS = frozenset(
    (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENOENT)
)


class DriverConnection(Protocol):
    """The methods of asyncpg's connection that the watchdog uses."""

    def get_server_pid(self) -> int: ...

    def is_closed(self) -> bool: ...

    def terminate(self) -> None: ...


class Watchdog:
    """Terminate connections whose statement has no chance of an answer.

    A statement is pending for `statement_timeout_seconds` plus a margin at most. When it takes
    longer than SUSPECT_AFTER_SECONDS, the server is asked on a new connection whether it is working
    on it or waiting for a lock. If neither, or if no server can be reached, the connection is
    terminated, so that the caller gets an error instead of waiting on.

    With `can_query_server=False`, as behind pgbouncer, only the first limit applies.
    """

    def __init__(
        self, url: str, *, statement_timeout_seconds: float, can_query_server: bool = True
    ) -> None:
        self._url = url
        self._max_pending_seconds = statement_timeout_seconds + TIMEOUT_MARGIN_SECONDS
        self._can_query_server = can_query_server
        # Connections with a pending statement, and when it was sent.
        self._pending: dict[Any, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._query: asyncio.Task[None] | None = None
        self._last_answer_at = self._next_query_at = -math.inf
        # Start of the first of the look-ups in a row that reached no server.
        self._unreachable_since: float | None = None

    def track(self, connection: DriverConnection) -> None:
        """Begin to watch a connection on which a statement is being sent."""
        self._pending[connection] = monotonic()
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(CHECK_INTERVAL_SECONDS, self._check)

    def untrack(self, connection: DriverConnection, *, is_answered: bool = False) -> None:
        """Stop watching a connection; `is_answered` says that the server has answered on it."""
        if is_answered:
            self._last_answer_at = monotonic()
        self._pending.pop(connection, None)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._query is not None:
            self._query.cancel()
            with suppress(asyncio.CancelledError):
                await self._query

    def _check(self) -> None:
        self._timer = None
        if not self._pending:
            return
        self._timer = asyncio.get_running_loop().call_later(CHECK_INTERVAL_SECONDS, self._check)
        now = monotonic()
        suspects = []
        for connection, sent_at in list(self._pending.items()):
            if now - sent_at > self._max_pending_seconds:
                self._terminate(connection, "timeout")
            elif now - sent_at > SUSPECT_AFTER_SECONDS:
                suspects.append(connection)
        is_querying = self._query is not None and not self._query.done()
        if not suspects and not is_querying:
            self._unreachable_since = None
        if suspects and self._can_query_server and not is_querying and now >= self._next_query_at:
            self._query = asyncio.create_task(self._look_up(suspects))

    async def _look_up(self, suspects: list[DriverConnection]) -> None:
        """Ask the server about the suspects and terminate the silent ones."""
        sent_at = {
            connection: self._pending[connection]
            for connection in suspects
            if connection in self._pending
        }
        started_at = monotonic()
        # Only for its measurement of stalls. It outlasts the timeout below.
        stalls = LoopTimer(2 * QUERY_TIMEOUT_SECONDS)
        silent: list[DriverConnection] = []
        try:
            async with asyncio.timeout(QUERY_TIMEOUT_SECONDS):
                silent = await self._find_silent(sent_at, stalls)
            self._unreachable_since = None
        except asyncpg.PostgresError as error:
            # The server answers, but says nothing about the suspects.
            log.warning("watchdog_query_failed", sqlstate=error.sqlstate)
            self._unreachable_since = None
        except CONNECTION_ERRORS as error:
            self._next_query_at = monotonic() + QUERY_RETRY_PAUSE_SECONDS
            is_conclusive = stalls.longest_stall_seconds <= MAX_LOOP_STALL_SECONDS
            if is_conclusive and self._is_unreachable(error, started_at):
                silent = list(sent_at)
        finally:
            stalls.cancel()
        for connection in self._still_pending(silent, sent_at):
            self._terminate(connection, "silent")

    def _is_unreachable(self, error: BaseException, started_at: float) -> bool:
        """Whether a failure of a look-up that started then means that the server is gone."""
        if getattr(error, "errno", None) in _UNREACHABLE_ERRNOS:
            return True
        since = self._unreachable_since
        if since is None or self._last_answer_at > since:
            self._unreachable_since = started_at
            return False
        return True

    def _still_pending(
        self, connections: Iterable[DriverConnection], sent_at: dict[DriverConnection, float]
    ) -> list[DriverConnection]:
        """Leave out connections that were answered, and perhaps used again, in the meantime."""
        return [
            connection
            for connection in connections
            if self._pending.get(connection) == sent_at[connection]
        ]

    async def _find_silent(
        self, sent_at: dict[DriverConnection, float], stalls: LoopTimer
    ) -> list[DriverConnection]:
        """Suspects whose session is gone or waits for its client; the latter are ended.

        Raises CONNECTION_ERRORS.
        """
        connection = await connect(self._url, timeout_seconds=QUERY_TIMEOUT_SECONDS)
        try:
            by_pid = {
                suspect.get_server_pid(): suspect
                for suspect in self._still_pending(sent_at, sent_at)
                if not suspect.is_closed()
            }
            own_pid = connection.get_server_pid()
            rows = await connection.fetch(_FIND_SILENT, list(by_pid), own_pid, MIN_IDLE_SECONDS)
            if stalls.longest_stall_seconds > MAX_LOOP_STALL_SECONDS:
                return []
            idle_since = {by_pid[row["pid"]]: row["since"] for row in rows}
            silent = self._still_pending(idle_since, sent_at)
            if silent:
                pids = [suspect.get_server_pid() for suspect in silent]
                times = [idle_since[suspect] for suspect in silent]
                await connection.fetch(_TERMINATE, pids, times)
        finally:
            await close_connection(connection)
        return silent

    def _terminate(self, connection: DriverConnection, reason: str) -> None:
        log.warning("connection_terminated", reason=reason)
        self.untrack(connection)
        connection.terminate()
