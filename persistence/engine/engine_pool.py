"""SQLAlchemy's pool with checks before use, common invalidation and a watchdog for statements."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from persistence.engine.connection_pool import (
    CHECK_AFTER_IDLE_SECONDS,
    CHECK_TIMEOUT_SECONDS,
    PoolInvalidator,
)
from persistence.engine.driver import check_connection, enable_keepalive
from persistence.engine.errors import CommitUnknown, invalidates_connections, is_disconnect
from persistence.engine.watchdog import Watchdog

OPENED_AT = "opened_at"


class EnginePool:
    """Follow the connections of an engine through SQLAlchemy's pool and engine events."""

    def __init__(
        self, engine: AsyncEngine, *, invalidator: PoolInvalidator, watchdog: Watchdog
    ) -> None:
        self._invalidator = invalidator
        self._watchdog = watchdog
        # asyncpg connections with the time at which they were returned to the pool.
        self._idle: dict[asyncpg.Connection, float] = {}
        invalidator.register(self._close_idle)
        for name in ("connect", "checkout", "checkin", "reset", "close", "invalidate"):
            event.listen(engine.sync_engine, name, getattr(self, f"_on_{name}"))
        event.listen(engine.sync_engine, "before_cursor_execute", self._on_execute)
        event.listen(engine.sync_engine, "after_cursor_execute", self._on_executed)
        event.listen(engine.sync_engine, "handle_error", self._on_error)

    @asynccontextmanager
    async def connection(self, engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
        """Check out a connection. Invalidate all pools if the block raises an error that says so.

        `engine` may be another one with execution options of its own, on the same pool.
        """
        async with engine.connect() as connection:
            opened_at = connection.sync_connection.connection.info[OPENED_AT]  # type: ignore[union-attr]
            try:
                yield connection
            except Exception as error:
                cause = error.__cause__ if isinstance(error, CommitUnknown) else error
                if cause is not None and invalidates_connections(cause):
                    await self._discard(connection)
                    self._invalidator.report_failure(opened_at, is_lost=is_disconnect(cause))
                raise

    async def commit(self, connection: AsyncConnection) -> None:
        """Commit under the watchdog, which SQLAlchemy's statement events do not cover."""
        driver_connection = _driver_connection(connection)
        self._watchdog.track(driver_connection)
        try:
            await connection.commit()
        finally:
            self._watchdog.untrack(driver_connection)

    async def _discard(self, connection: AsyncConnection) -> None:
        if not connection.invalidated:
            # Terminated first: SQLAlchemy would wait for the server's answer to an orderly close.
            _driver_connection(connection).terminate()
            await connection.invalidate()

    def _close_idle(self) -> None:
        idle, self._idle = self._idle, {}
        for driver_connection in idle:
            driver_connection.terminate()

    def _on_connect(self, connection: Any, record: Any) -> None:
        record.info[OPENED_AT] = monotonic()
        enable_keepalive(connection.driver_connection)

    def _on_checkout(self, connection: Any, record: Any, _fairy: Any) -> None:
        """Raises DisconnectionError for a connection that SQLAlchemy has to replace."""
        driver_connection = connection.driver_connection
        idle_since = self._idle.pop(driver_connection, None)
        opened_at = record.info[OPENED_AT]
        if self._invalidator.is_outdated(opened_at):
            driver_connection.terminate()
        elif driver_connection.is_closed() or not _is_alive(connection, idle_since):
            self._invalidator.report_failure(opened_at, is_lost=True)
        else:
            return
        raise DisconnectionError

    def _on_checkin(self, connection: Any, record: Any) -> None:
        if connection is None:
            return
        driver_connection = connection.driver_connection
        self._watchdog.untrack(driver_connection)
        if self._invalidator.is_outdated(record.info[OPENED_AT]):
            driver_connection.terminate()
        self._idle[driver_connection] = monotonic()

    def _on_reset(self, connection: Any, *_: Any) -> None:
        """Track the rollback that follows; `_on_checkin` ends it."""
        self._watchdog.track(connection.driver_connection)

    def _on_close(self, connection: Any, *_: Any) -> None:
        self._forget(connection)

    def _on_invalidate(self, connection: Any, *_: Any) -> None:
        self._forget(connection)

    def _forget(self, connection: Any) -> None:
        self._idle.pop(connection.driver_connection, None)
        self._watchdog.untrack(connection.driver_connection)

    def _on_execute(self, connection: Any, *_: Any) -> None:
        self._watchdog.track(connection.connection.driver_connection)

    def _on_executed(self, connection: Any, *_: Any) -> None:
        self._watchdog.untrack(connection.connection.driver_connection, is_answered=True)

    def _on_error(self, context: Any) -> None:
        connection = context.connection
        if connection is not None and not connection.invalidated:
            self._watchdog.untrack(connection.connection.driver_connection)


def _driver_connection(connection: AsyncConnection) -> Any:
    return connection.sync_connection.connection.driver_connection  # type: ignore[union-attr]


def _is_alive(connection: Any, idle_since: float | None) -> bool:
    """Check a connection unless it is new or was used lately, which saves a round trip."""
    if idle_since is None or monotonic() - idle_since < CHECK_AFTER_IDLE_SECONDS:
        return True
    return bool(
        connection.run_async(
            lambda driver: check_connection(driver, timeout_seconds=CHECK_TIMEOUT_SECONDS)
        )
    )
