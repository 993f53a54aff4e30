"""Database options, and the SQLAlchemy engine and statement pools made from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from persistence.engine.connection_pool import (
    ConnectionPool,
    LockTimeouts,
    PoolInvalidator,
    PoolOptions,
    lock_timeout_settings,
)
from persistence.engine.driver import DEFAULT_SERVER_SETTINGS
from persistence.engine.timestamps import register_timestamp_codec
from persistence.engine.watchdog import Watchdog
from persistence.fast.statement_pool import StatementPool

# With fewer connections, all belong to SQLAlchemy's pool.
MIN_SPLIT_POOL_SIZE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOptions:
    """Options of the connections. `url` is SQLAlchemy's, for asyncpg.

    `keep_alive_seconds=0` sends no keep-alive pings.

    With `pgbouncer` (transaction pooling) nothing survives on a server connection between two
    transactions: no prepared statements, no session settings, no pool on our side.
    """

    url: str
    pool_size: int = 5
    max_overflow: int = 2
    pool_recycle_seconds: int = 3600
    pool_timeout_seconds: float = 10
    connect_timeout_seconds: float = 5
    statement_timeout_seconds: float = 30
    lock_timeout_seconds: float = 5
    idle_transaction_timeout_seconds: float = 30
    keep_alive_seconds: float = 600
    attempts: int = 3
    pgbouncer: bool = False

    @property
    def retry_within_seconds(self) -> float:
        """The time after which a unit of work is not retried."""
        return max(self.lock_timeout_seconds, self.connect_timeout_seconds)


def timeout_settings(options: DatabaseOptions) -> dict[str, int]:
    """PostgreSQL's timeouts, in milliseconds."""
    return {
        "statement_timeout": round(options.statement_timeout_seconds * 1000),
        "lock_timeout": round(options.lock_timeout_seconds * 1000),
        "idle_in_transaction_session_timeout": round(
            options.idle_transaction_timeout_seconds * 1000
        ),
    }


def server_settings(options: DatabaseOptions) -> dict[str, str]:
    return {
        **DEFAULT_SERVER_SETTINGS,
        "jit": "off",
        **{name: str(value) for name, value in timeout_settings(options).items()},
    }


# Planning the statement of a team each time takes longer than executing it. Generic plans are made
# once, possibly while the tables are still empty, so sequential scans are off: every condition of
# these statements has an index.
GENERIC_PLAN_SETTINGS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}


def create_read_pool(
    options: DatabaseOptions, size: int, invalidator: PoolInvalidator, watchdog: Watchdog
) -> StatementPool:
    pool = pool_options(options, size, wait_seconds=options.pool_timeout_seconds)
    return StatementPool(ConnectionPool(pool, invalidator=invalidator, watchdog=watchdog))


def create_write_pool(
    options: DatabaseOptions, size: int, invalidator: PoolInvalidator, watchdog: Watchdog
) -> StatementPool:
    """A pool in which waiting for a connection and for locks takes the lock timeout at most."""
    seconds = options.lock_timeout_seconds
    pool = pool_options(
        options,
        size,
        wait_seconds=min(options.pool_timeout_seconds, seconds),
        timeouts=lock_timeout_settings(seconds),
    )
    return StatementPool(
        ConnectionPool(pool, invalidator=invalidator, watchdog=watchdog),
        timeouts=LockTimeouts(seconds),
    )


def pool_options(
    options: DatabaseOptions,
    size: int,
    *,
    wait_seconds: float,
    timeouts: Mapping[str, int] | None = None,
) -> PoolOptions:
    settings = {name: str(value) for name, value in (timeouts or {}).items()}
    return PoolOptions(
        url=options.url,
        size=size,
        connect_timeout_seconds=options.connect_timeout_seconds,
        wait_seconds=wait_seconds,
        recycle_seconds=options.pool_recycle_seconds,
        server_settings=server_settings(options) | GENERIC_PLAN_SETTINGS | settings,
    )


# Behind pgbouncer statements are unnamed: a named one would stay on a server connection that the
# next transaction may not get, and that another client may get.
UNNAMED_STATEMENTS: Mapping[str, Any] = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": str,
}


def create_engine(options: DatabaseOptions, *, pool_size: int) -> AsyncEngine:
    connect_args: dict[str, Any] = {"timeout": options.connect_timeout_seconds}
    if options.pgbouncer:
        connect_args |= UNNAMED_STATEMENTS
        engine = create_async_engine(
            options.url, poolclass=NullPool, connect_args=connect_args, hide_parameters=True
        )
        event.listen(engine.sync_engine, "connect", _register_codec_in_transaction)
        return engine
    connect_args["server_settings"] = server_settings(options)
    engine = create_async_engine(
        options.url,
        pool_size=pool_size,
        max_overflow=options.max_overflow,
        pool_timeout=options.pool_timeout_seconds,
        pool_recycle=options.pool_recycle_seconds,
        pool_use_lifo=True,
        connect_args=connect_args,
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", _register_codec)
    return engine


def _register_codec(connection: Any, *_: object) -> None:
    connection.run_async(register_timestamp_codec)


def _register_codec_in_transaction(connection: Any, *_: object) -> None:
    """Look up the type in a transaction: pgbouncer may split its two messages over two servers."""

    async def register(driver_connection: Any) -> None:
        async with driver_connection.transaction():
            await register_timestamp_codec(driver_connection)

    connection.run_async(register)


def read_pool_size(options: DatabaseOptions) -> int:
    """Number of connections for single reads; 0 when SQLAlchemy's pool serves them too.

    A quarter of all, and at least two, but always less than half of `pool_size`: as many may be for
    single writes, and at least one has to be left for units of work.
    """
    if options.pgbouncer or options.pool_size < MIN_SPLIT_POOL_SIZE:
        return 0
    quarter = (options.pool_size + options.max_overflow) // 4
    return min(max(2, quarter), (options.pool_size - 1) // 2)


def write_pool_size(read_pool_size: int) -> int:
    """Number of connections for single writes, which are registrations.

    Few: all registrations wait for the same tournament row, and more sessions that wait for it only
    slow down the one that has it.
    """
    return min(read_pool_size, max(2, read_pool_size // 2))
