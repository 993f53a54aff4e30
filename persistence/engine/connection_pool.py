"""Connections of asyncpg for single statements, each its own transaction."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic

import asyncpg

from persistence.engine.driver import check_connection
from persistence.engine.errors import NoFreeConnection, is_disconnect
from persistence.engine.timestamps import connect
from persistence.engine.watchdog import Watchdog

# A connection that was idle for longer is asked whether it is still there, and has so long to say.
CHECK_AFTER_IDLE_SECONDS = 3.0
CHECK_TIMEOUT_SECONDS = 1.0
MIN_CONNECT_TIMEOUT_SECONDS = 0.1
# The plan of a statement depends on its text: these are of the program, not of its clients.
STATEMENT_CACHE_SIZE = 100


@dataclass(slots=True, eq=False)
class PooledConnection:
    """One connection, in use or idle. Times are of `time.monotonic`."""

    connection: asyncpg.Connection
    opened_at: float
    used_at: float
    # Its timeouts are shorter than those it was opened with.
    is_limited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """Up to `size` connections. `wait_seconds` is for one to become free or be opened."""

    url: str
    size: int
    connect_timeout_seconds: float
    wait_seconds: float
    recycle_seconds: float
    server_settings: Mapping[str, str]


# Between two renewals for connections that the server refused their work: otherwise a database that
# stays read-only would have no pool at all.
MIN_INVALIDATION_INTERVAL_SECONDS = 1.0


class PoolInvalidator:
    """Pools with one server behind them: when it moved or the network forgot it, all are renewed.

    Times are of `time.monotonic`.
    """

    def __init__(self) -> None:
        self._renewed_at = float("-inf")
        self._pools: list[Callable[[], None]] = []

    def add(self, close_idle: Callable[[], None]) -> None:
        """Call `close_idle` whenever the pools are renewed."""
        self._pools.append(close_idle)

    def is_outdated(self, opened_at: float) -> bool:
        """Whether a connection opened then must not be used again."""
        return opened_at <= self._renewed_at

    def report(self, opened_at: float, *, is_lost: bool) -> None:
        """Renew all pools because a connection opened then was lost, or was refused its work."""
        now = monotonic()
        is_pausing = not is_lost and now - self._renewed_at < MIN_INVALIDATION_INTERVAL_SECONDS
        if self.is_outdated(opened_at) or is_pausing:
            return
        self._renewed_at = now
        for close_idle in self._pools:
            close_idle()


# A statement that waits for locks one after the other ends by the statement timeout, so much
# later than by the lock timeout, which says what it waited for.
STATEMENT_TIMEOUT_MARGIN_SECONDS = 0.5
# So much may have passed before a shorter timeout is set: while nobody waits, nothing is sent.
UNADJUSTED_WAIT_SECONDS = 0.5
MIN_LOCK_TIMEOUT_SECONDS = 0.05


def remaining_lock_timeout(lock_timeout_seconds: float, since: float) -> float | None:
    """The lock timeout for somebody who has waited since then; None for the whole of it."""
    waited = monotonic() - since
    if waited <= UNADJUSTED_WAIT_SECONDS:
        return None
    return max(lock_timeout_seconds - waited, MIN_LOCK_TIMEOUT_SECONDS)


def lock_timeout_settings(lock_seconds: float) -> dict[str, int]:
    """Settings of PostgreSQL, in milliseconds, for a statement that may wait so long in all."""
    return {
        "lock_timeout": round(lock_seconds * 1000),
        "statement_timeout": round((lock_seconds + STATEMENT_TIMEOUT_MARGIN_SECONDS) * 1000),
    }


class LockTimeouts:
    """Waiting for a connection and for locks together takes no longer than the lock timeout."""

    def __init__(self, lock_timeout_seconds: float) -> None:
        self._seconds = lock_timeout_seconds

    async def apply(self, pooled: PooledConnection, since: float) -> None:
        """Set the session's limits for a caller who has waited since then, where they differ."""
        left = remaining_lock_timeout(self._seconds, since)
        if left is None and not pooled.is_limited:
            return
        settings = lock_timeout_settings(self._seconds if left is None else left)
        await pooled.connection.execute("; ".join(f"SET {k} = {v}" for k, v in settings.items()))
        pooled.is_limited = left is not None


class ConnectionPool:
    """The connection used last is given first. They have no session settings to reset."""

    def __init__(
        self, options: PoolOptions, *, invalidator: PoolInvalidator, watchdog: Watchdog
    ) -> None:
        self._options = options
        self._invalidator = invalidator
        self._watchdog = watchdog
        self._idle: list[PooledConnection] = []
        self._free = asyncio.Semaphore(options.size)
        self.in_use = 0
        invalidator.add(self.close)

    async def acquire(self, since: float) -> PooledConnection:
        """A connection for somebody who has waited since then.

        Raises NoFreeConnection when none became free in time, and as `connecting.connect` does.
        """
        await self._wait_for_turn(since)
        self.in_use += 1
        pooled = None
        try:
            pooled = await self._idle_one() or await self._open(since)
            self._watchdog.track(pooled.connection)
        finally:
            if pooled is None:
                self._free_one()
        return pooled

    def release(self, pooled: PooledConnection, *, is_usable: bool) -> None:
        """Keep a connection that can be used again.

        Cancelled in the middle of a statement it cannot: the next answer on it belongs to nobody.
        """
        self._watchdog.untrack(pooled.connection, is_answered=is_usable)
        pooled.used_at = now = monotonic()
        is_old = now - pooled.opened_at > self._options.recycle_seconds
        if is_usable and not is_old and not self._invalidator.is_outdated(pooled.opened_at):
            self._idle.append(pooled)
        else:
            pooled.connection.terminate()
        self._free_one()

    def report(self, pooled: PooledConnection, error: BaseException) -> None:
        """Renew all pools, because the error has spent this connection."""
        self._invalidator.report(pooled.opened_at, is_lost=is_disconnect(error))

    def close(self) -> None:
        """Close the idle connections."""
        idle, self._idle = self._idle, []
        for pooled in idle:
            pooled.connection.terminate()

    async def _wait_for_turn(self, since: float) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(self._seconds_left(since)):
                await self._free.acquire()
        except TimeoutError as error:
            raise NoFreeConnection from error

    def _seconds_left(self, since: float) -> float:
        return max(since + self._options.wait_seconds - monotonic(), 0)

    def _seconds_to_connect(self, since: float) -> float:
        """Less for somebody who has waited for a turn."""
        longest = self._options.connect_timeout_seconds
        left = since + max(self._options.wait_seconds, longest) - monotonic()
        return max(min(longest, left), MIN_CONNECT_TIMEOUT_SECONDS)

    def _free_one(self) -> None:
        self.in_use -= 1
        self._free.release()

    async def _idle_one(self) -> PooledConnection | None:
        """An idle connection that is still there; None if there is none, or none is."""
        while self._idle:
            pooled = self._idle.pop()
            if pooled.connection.is_closed():
                self._invalidator.report(pooled.opened_at, is_lost=True)
            elif monotonic() - pooled.used_at < CHECK_AFTER_IDLE_SECONDS or await self._is_there(
                pooled
            ):
                return pooled
        return None

    async def _is_there(self, pooled: PooledConnection) -> bool:
        is_there = False
        try:
            is_there = await check_connection(
                pooled.connection, timeout_seconds=CHECK_TIMEOUT_SECONDS
            )
        finally:
            if not is_there:
                pooled.connection.terminate()
        if not is_there:
            self._invalidator.report(pooled.opened_at, is_lost=True)
        return is_there

    async def _open(self, since: float) -> PooledConnection:
        options = self._options
        connection = await connect(
            options.url,
            timeout_seconds=self._seconds_to_connect(since),
            server_settings=options.server_settings,
            statement_cache_size=STATEMENT_CACHE_SIZE,
        )
        now = monotonic()
        return PooledConnection(connection=connection, opened_at=now, used_at=now)
