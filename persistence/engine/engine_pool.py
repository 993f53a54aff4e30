"""SQLAlchemy's pool, whose idle connections are looked at before use and given up together."""

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

OPENED = "opened_at"


class EnginePool:
    """Hears of all that happens to the connections of an engine."""

    def __init__(
        self, engine: AsyncEngine, *, invalidator: PoolInvalidator, watchdog: Watchdog
    ) -> None:
        self._invalidator = invalidator
        self._watchdog = watchdog
        # Connections of asyncpg by when they were given back.
        self._idle: dict[asyncpg.Connection, float] = {}
        invalidator.add(self._close_idle)
        for name in ("connect", "checkout", "checkin", "reset", "close", "invalidate"):
            event.listen(engine.sync_engine, name, getattr(self, f"_on_{name}"))
        event.listen(engine.sync_engine, "before_cursor_execute", self._on_statement)
        event.listen(engine.sync_engine, "after_cursor_execute", self._on_answer)
        event.listen(engine.sync_engine, "handle_error", self._on_error)

    @asynccontextmanager
    async def connection(self, engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
        """A connection, which is given up with all others where an error says so."""
        async with engine.connect() as connection:
            opened_at = connection.sync_connection.connection.info[OPENED]  # type: ignore[union-attr]
            try:
                yield connection
            except Exception as error:
                cause = error.__cause__ if isinstance(error, CommitUnknown) else error
                if cause is not None and invalidates_connections(cause):
                    await self._give_up(connection)
                    self._invalidator.report(opened_at, is_lost=is_disconnect(cause))
                raise

    async def commit(self, connection: AsyncConnection) -> None:
        """Commit; the answer is waited for no longer than for that of a statement."""
        driver = _driver(connection)
        self._watchdog.track(driver)
        try:
            await connection.commit()
        finally:
            self._watchdog.untrack(driver)

    async def _give_up(self, connection: AsyncConnection) -> None:
        if not connection.invalidated:
            # Closed without a goodbye, for whose answer SQLAlchemy would wait.
            _driver(connection).terminate()
            await connection.invalidate()

    def _close_idle(self) -> None:
        idle, self._idle = self._idle, {}
        for driver in idle:
            driver.terminate()

    def _on_connect(self, connection: Any, record: Any) -> None:
        record.info[OPENED] = monotonic()
        enable_keepalive(connection.driver_connection)

    def _on_checkout(self, connection: Any, record: Any, _fairy: Any) -> None:
        driver = connection.driver_connection
        idle_since = self._idle.pop(driver, None)
        opened_at = record.info[OPENED]
        if self._invalidator.is_outdated(opened_at):
            driver.terminate()
        elif driver.is_closed() or not _is_there(connection, idle_since):
            self._invalidator.report(opened_at, is_lost=True)
        else:
            return
        raise DisconnectionError

    def _on_checkin(self, connection: Any, record: Any) -> None:
        if connection is None:
            return
        driver = connection.driver_connection
        self._watchdog.untrack(driver)
        if self._invalidator.is_outdated(record.info[OPENED]):
            driver.terminate()
        self._idle[driver] = monotonic()

    def _on_reset(self, connection: Any, *_: Any) -> None:
        self._watchdog.track(connection.driver_connection)

    def _on_close(self, connection: Any, *_: Any) -> None:
        self._forget(connection)

    def _on_invalidate(self, connection: Any, *_: Any) -> None:
        self._forget(connection)

    def _forget(self, connection: Any) -> None:
        self._idle.pop(connection.driver_connection, None)
        self._watchdog.untrack(connection.driver_connection)

    def _on_statement(self, connection: Any, *_: Any) -> None:
        self._watchdog.track(connection.connection.driver_connection)

    def _on_answer(self, connection: Any, *_: Any) -> None:
        self._watchdog.untrack(connection.connection.driver_connection, is_answered=True)

    def _on_error(self, context: Any) -> None:
        connection = context.connection
        if connection is not None and not connection.invalidated:
            self._watchdog.untrack(connection.connection.driver_connection)


def _driver(connection: AsyncConnection) -> Any:
    return connection.sync_connection.connection.driver_connection  # type: ignore[union-attr]


def _is_there(connection: Any, idle_since: float | None) -> bool:
    """A connection that was in use a moment ago is taken for there: that costs no round trip."""
    if idle_since is None or monotonic() - idle_since < CHECK_AFTER_IDLE_SECONDS:
        return True
    return bool(
        connection.run_async(
            lambda driver: check_connection(driver, timeout_seconds=CHECK_TIMEOUT_SECONDS)
        )
    )
