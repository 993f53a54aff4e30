"""How the service connects to its database."""

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

# Connections; fewer are for units of work alone.
MIN_SPLIT_POOL_SIZE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOptions:
    """`url` is one of SQLAlchemy's for asyncpg. `keep_alive_seconds` 0 sends nothing.

    With `pgbouncer`, nothing is kept on a server connection between two transactions: no prepared
    statements, no session settings, no pool of our own.
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
        """After so long a unit of work is not tried again."""
        return max(self.lock_timeout_seconds, self.connect_timeout_seconds)


def timeout_settings(options: DatabaseOptions) -> dict[str, int]:
    """PostgreSQL's own bounds, in milliseconds."""
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


# Planning a team anew each time takes longer than printing it. A plan that is kept must not be one
# for tables that are empty yet: whatever is sought has an index.
GENERIC_PLAN_SETTINGS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}


def create_read_pool(
    options: DatabaseOptions, size: int, invalidator: PoolInvalidator, watchdog: Watchdog
) -> StatementPool:
    """Single statements that read."""
    pool = pool_options(options, size, wait_seconds=options.pool_timeout_seconds)
    return StatementPool(ConnectionPool(pool, invalidator=invalidator, watchdog=watchdog))


def create_write_pool(
    options: DatabaseOptions, size: int, invalidator: PoolInvalidator, watchdog: Watchdog
) -> StatementPool:
    """Single statements that write: each waits no longer than the lock timeout, in all."""
    seconds = options.lock_timeout_seconds
    pool = pool_options(
        options,
        size,
        wait_seconds=min(options.pool_timeout_seconds, seconds),
        limits=lock_timeout_settings(seconds),
    )
    return StatementPool(
        ConnectionPool(pool, invalidator=invalidator, watchdog=watchdog),
        limits=LockTimeouts(seconds),
    )


def pool_options(
    options: DatabaseOptions,
    size: int,
    *,
    wait_seconds: float,
    limits: Mapping[str, int] | None = None,
) -> PoolOptions:
    settings = {name: str(value) for name, value in (limits or {}).items()}
    return PoolOptions(
        url=options.url,
        size=size,
        connect_timeout_seconds=options.connect_timeout_seconds,
        wait_seconds=wait_seconds,
        recycle_seconds=options.pool_recycle_seconds,
        server_settings=server_settings(options) | GENERIC_PLAN_SETTINGS | settings,
    )


def create_engine(options: DatabaseOptions, *, pool_size: int) -> AsyncEngine:
    connect: dict[str, Any] = {"timeout": options.connect_timeout_seconds}
    if options.pgbouncer:
        connect["statement_cache_size"] = 0
        connect["prepared_statement_cache_size"] = 0
        connect["prepared_statement_name_func"] = str
        engine = create_async_engine(
            options.url, poolclass=NullPool, connect_args=connect, hide_parameters=True
        )
        event.listen(engine.sync_engine, "connect", _read_infinity_behind_pgbouncer)
        return engine
    connect["server_settings"] = server_settings(options)
    engine = create_async_engine(
        options.url,
        pool_size=pool_size,
        max_overflow=options.max_overflow,
        pool_timeout=options.pool_timeout_seconds,
        pool_recycle=options.pool_recycle_seconds,
        pool_use_lifo=True,
        connect_args=connect,
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", _read_infinity)
    return engine


def _read_infinity(connection: Any, *_: object) -> None:
    connection.run_async(register_timestamp_codec)


def _read_infinity_behind_pgbouncer(connection: Any, *_: object) -> None:
    """In a transaction: the driver asks for the type in two messages."""

    async def ask(driver: Any) -> None:
        async with driver.transaction():
            await register_timestamp_codec(driver)

    connection.run_async(ask)


def read_pool_size(options: DatabaseOptions) -> int:
    """How many connections single statements have for reading: a quarter of all, and two if there
    are so many, while one at least is left for units of work.
    """
    if options.pgbouncer or options.pool_size < MIN_SPLIT_POOL_SIZE:
        return 0
    quarter = (options.pool_size + options.max_overflow) // 4
    return min(max(2, quarter), (options.pool_size - 1) // 2)


def write_pool_size(share: int) -> int:
    """How many there are for registrations. All of these wait for one row: of more, each that waits
    only makes the others slower.
    """
    return min(share, max(2, share // 2))
