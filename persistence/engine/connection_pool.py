"""A pool of asyncpg connections for single statements, each its own transaction."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic

import asyncpg

from persistence.engine.driver import check_connection
from persistence.engine.errors import NoFreeConnection, is_disconnect
from persistence.engine.timestamps import connect
from persistence.engine.watchdog import Watchdog

# A connection that was idle for longer is checked before use.
CHECK_AFTER_IDLE_SECONDS = 3.0
CHECK_TIMEOUT_SECONDS = 1.0
MIN_CONNECT_TIMEOUT_SECONDS = 0.1
# Prepared statements of a connection. All texts come from the program, none from clients.
STATEMENT_CACHE_SIZE = 100

# Pools are invalidated at most this often because of refused statements: otherwise a database that
# stays read-only would have no pool at all. Lost connections always invalidate.
MIN_INVALIDATION_INTERVAL_SECONDS = 1.0

# The statement timeout exceeds the lock timeout by this, so that a statement that waits for one
# lock ends by the lock timeout, whose error names the lock. The statement timeout bounds statements
# that wait for several locks in turn.
STATEMENT_TIMEOUT_MARGIN_SECONDS = 0.5
# A caller that waited at most this long keeps the full lock timeout, without another round trip.
UNADJUSTED_WAIT_SECONDS = 0.5
MIN_LOCK_TIMEOUT_SECONDS = 0.05


@dataclass(slots=True, eq=False)
class PooledConnection:
    """A connection, idle or in use. Times are of `time.monotonic`."""

    connection: asyncpg.Connection
    opened_at: float
    used_at: float
    # The session's timeouts are shorter than those it was opened with.
    has_reduced_timeouts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """Options of a ConnectionPool.

    `wait_seconds` limits the wait for a free slot together with opening a connection for it.
    """

    url: str
    size: int
    connect_timeout_seconds: float
    wait_seconds: float
    recycle_seconds: float
    server_settings: Mapping[str, str]


class PoolInvalidator:
    """Invalidate all pools of a database when a connection of any of them fails.

    The pools have one server behind them. When it has moved or the network has dropped one
    connection, the others that were opened before are useless too. Times are of `time.monotonic`.
    """

    def __init__(self) -> None:
        self._invalidated_at = float("-inf")
        self._close_idle_callbacks: list[Callable[[], None]] = []

    def register(self, close_idle: Callable[[], None]) -> None:
        """Call `close_idle` at every invalidation."""
        self._close_idle_callbacks.append(close_idle)

    def is_outdated(self, opened_at: float) -> bool:
        """Whether a connection opened then was invalidated and must not be used again."""
        return opened_at <= self._invalidated_at

    def report_failure(self, opened_at: float, *, is_lost: bool) -> None:
        """Invalidate because a connection opened then was lost, or its statement was refused."""
        now = monotonic()
        is_too_soon = not is_lost and now - self._invalidated_at < MIN_INVALIDATION_INTERVAL_SECONDS
        if self.is_outdated(opened_at) or is_too_soon:
            return
        self._invalidated_at = now
        for close_idle in self._close_idle_callbacks:
            close_idle()


def remaining_lock_timeout(lock_timeout_seconds: float, waiting_since: float) -> float | None:
    """The part of the lock timeout that a caller has left; None for all of it."""
    waited = monotonic() - waiting_since
    if waited <= UNADJUSTED_WAIT_SECONDS:
        return None
    return max(lock_timeout_seconds - waited, MIN_LOCK_TIMEOUT_SECONDS)


def lock_timeout_settings(lock_timeout_seconds: float) -> dict[str, int]:
    """PostgreSQL settings, in milliseconds, for a statement that waits so long for locks in all."""
    statement_timeout_seconds = lock_timeout_seconds + STATEMENT_TIMEOUT_MARGIN_SECONDS
    return {
        "lock_timeout": round(lock_timeout_seconds * 1000),
        "statement_timeout": round(statement_timeout_seconds * 1000),
    }


class LockTimeouts:
    """Bound the wait for a connection and for locks, together, by the lock timeout."""

    def __init__(self, lock_timeout_seconds: float) -> None:
        self._lock_timeout_seconds = lock_timeout_seconds

    async def apply(self, pooled: PooledConnection, waiting_since: float) -> None:
        """Set the session's timeouts for a caller, if they differ from the current ones."""
        remaining = remaining_lock_timeout(self._lock_timeout_seconds, waiting_since)
        if remaining is None and not pooled.has_reduced_timeouts:
            return
        settings = lock_timeout_settings(
            self._lock_timeout_seconds if remaining is None else remaining
        )
        await pooled.connection.execute("; ".join(f"SET {k} = {v}" for k, v in settings.items()))
        pooled.has_reduced_timeouts = remaining is not None


class ConnectionPool:
    """A pool that reuses the last returned connection first.

    Connections are not reset: single statements leave no session state.
    """

    def __init__(
        self, options: PoolOptions, *, invalidator: PoolInvalidator, watchdog: Watchdog
    ) -> None:
        self._options = options
        self._invalidator = invalidator
        self._watchdog = watchdog
        self._idle: list[PooledConnection] = []
        self._slots = asyncio.Semaphore(options.size)
        self.in_use = 0
        invalidator.register(self.close)

    async def acquire(self, waiting_since: float) -> PooledConnection:
        """Take an idle connection or open one, for a caller that began to wait then.

        Raises NoFreeConnection when none became free in time, and as `driver.connect`.
        """
        await self._acquire_slot(waiting_since)
        self.in_use += 1
        pooled = None
        try:
            pooled = await self._take_idle() or await self._open(waiting_since)
            self._watchdog.track(pooled.connection)
        finally:
            if pooled is None:
                self._release_slot()
        return pooled

    def release(self, pooled: PooledConnection, *, is_usable: bool) -> None:
        """Return a connection to the pool; terminate it if it is not usable, old or outdated.

        A connection whose statement was cancelled is not usable: the next answer that arrives on it
        would be of the cancelled statement.
        """
        self._watchdog.untrack(pooled.connection, is_answered=is_usable)
        pooled.used_at = now = monotonic()
        is_old = now - pooled.opened_at > self._options.recycle_seconds
        if is_usable and not is_old and not self._invalidator.is_outdated(pooled.opened_at):
            self._idle.append(pooled)
        else:
            pooled.connection.terminate()
        self._release_slot()

    async def warm_up(self) -> None:
        """Open a connection, unless one is idle. Raises as `acquire`."""
        self.release(await self.acquire(monotonic()), is_usable=True)

    def report_failure(self, pooled: PooledConnection, error: BaseException) -> None:
        """Invalidate all pools because of an error for which `invalidates_connections` is true."""
        self._invalidator.report_failure(pooled.opened_at, is_lost=is_disconnect(error))

    def close(self) -> None:
        """Close the idle connections. Those in use go on."""
        idle, self._idle = self._idle, []
        for pooled in idle:
            pooled.connection.terminate()

    async def _acquire_slot(self, waiting_since: float) -> None:
        if not self._slots.locked():
            await self._slots.acquire()
            return
        remaining = max(waiting_since + self._options.wait_seconds - monotonic(), 0)
        try:
            async with asyncio.timeout(remaining):
                await self._slots.acquire()
        except TimeoutError as error:
            raise NoFreeConnection from error

    def _release_slot(self) -> None:
        self.in_use -= 1
        self._slots.release()

    async def _take_idle(self) -> PooledConnection | None:
        """An idle connection that is still open; None if there is none."""
        while self._idle:
            pooled = self._idle.pop()
            if pooled.connection.is_closed():
                self._invalidator.report_failure(pooled.opened_at, is_lost=True)
                continue
            idle_seconds = monotonic() - pooled.used_at
            if idle_seconds < CHECK_AFTER_IDLE_SECONDS or await self._check(pooled):
                return pooled
        return None

    async def _check(self, pooled: PooledConnection) -> bool:
        is_alive = False
        try:
            is_alive = await check_connection(
                pooled.connection, timeout_seconds=CHECK_TIMEOUT_SECONDS
            )
        finally:
            if not is_alive:
                pooled.connection.terminate()
        if not is_alive:
            self._invalidator.report_failure(pooled.opened_at, is_lost=True)
        return is_alive

    def _connect_timeout(self, waiting_since: float) -> float:
        """Seconds for opening a connection; less for a caller that has waited for a slot."""
        longest = self._options.connect_timeout_seconds
        remaining = waiting_since + max(self._options.wait_seconds, longest) - monotonic()
        return max(min(longest, remaining), MIN_CONNECT_TIMEOUT_SECONDS)

    async def _open(self, waiting_since: float) -> PooledConnection:
        options = self._options
        connection = await connect(
            options.url,
            timeout_seconds=self._connect_timeout(waiting_since),
            server_settings=options.server_settings,
            statement_cache_size=STATEMENT_CACHE_SIZE,
        )
        now = monotonic()
        return PooledConnection(connection=connection, opened_at=now, used_at=now)
