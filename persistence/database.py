"""The one way to the database: units of work, repeated when the connection or a lock was lost."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import QueuePool
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)

from domain.errors import ServiceUnavailable
from persistence.connecting import LOST, is_ended_by
from persistence.direct import Row, Statement
from persistence.options import DatabaseOptions, direct_of, engine_of, limits_of
from persistence.pulse import Pulse
from resilience.tracing import span

log = structlog.get_logger(__name__)
T = TypeVar("T")
Connection = AsyncConnection
Work = Callable[[Connection], Awaitable[T]]

LOCK_NOT_AVAILABLE = "55P03"
QUERY_CANCELED = "57014"
# Serialization failure, deadlock, server stopped or starting, too many connections, a database
# that takes none for now; class 08 is the connection itself.
TRANSIENT = frozenset({"40001", "40P01", "57P01", "57P02", "57P03", "53300", "55000"})
START_WAITS_SECONDS = (1, 2, 4)
# Whoever asks how the service is hears of it within two seconds.
PING_SECONDS = 1.5


class DatabaseUnavailable(Exception):
    """The database did not answer while the service was starting."""


class _CommitUnknown(Exception):
    """The connection was lost during a commit that must not be tried twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """How many there may be, how many are at work."""

    size: int
    in_use: int


class Database:
    def __init__(self, options: DatabaseOptions) -> None:
        self._options = options
        direct = 0 if options.pgbouncer else (options.pool_size + options.max_overflow) // 4
        self._engine = engine_of(options, pool_size=max(1, options.pool_size - direct))
        self._direct = direct_of(options, direct) if direct else None
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._pulse = Pulse(options.url, connect_timeout_seconds=options.connect_timeout_seconds)

    @property
    def options(self) -> DatabaseOptions:
        return self._options

    def connections(self) -> Connections:
        """Those of the pool and for single reads now; pgbouncer has them all in its own."""
        pool = self._engine.pool
        if not isinstance(pool, QueuePool):
            return Connections(size=0, in_use=0)
        size = self._options.pool_size + self._options.max_overflow
        direct = self._direct.in_use if self._direct else 0
        return Connections(size=size, in_use=pool.checkedout() + direct)

    async def run(self, work: Work[T], *, repeatable: bool = True) -> T:
        """The result of `work`, committed.

        `work` is called again, in a new transaction, after a transient failure. With
        `repeatable=False` a connection that is lost during the commit is not tried again, since
        the commit may have happened. Raises ServiceUnavailable.
        """

        async def once() -> T:
            async with self._engine.connect() as connection:
                await self._limit(connection)
                result = await work(connection)
                await _commit(connection, repeatable=repeatable)
                return result

        with span("database.run"):
            return await self._retried(once)

    async def read(self, work: Work[T]) -> T:
        """The result of `work`, whose statements run outside a transaction.

        Behind pgbouncer in a transaction all the same: parse and execute are two messages, which
        only a transaction keeps on one server.
        """
        if self._options.pgbouncer:
            return await self.run(work)

        async def once() -> T:
            async with self._autocommit.connect() as connection:
                return await work(connection)

        with span("database.read"):
            return await self._retried(once)

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """The rows of one SELECT, by the names of its columns. Raises ServiceUnavailable."""
        direct = self._direct
        if direct is None:

            async def work(connection: AsyncConnection) -> Sequence[Row]:
                return (await connection.execute(statement.expression, values)).mappings().all()

            return await self.read(work)
        with span("database.fetch"):
            return await self._retried(partial(direct.fetch, statement, values))

    async def ping(self, *, within_seconds: float = PING_SECONDS) -> float:
        """Milliseconds that a `SELECT 1` took, however busy the pool is.

        Raises ServiceUnavailable when there was no answer `within_seconds`.
        """
        try:
            return await self._pulse.take(within_seconds=within_seconds)
        except LOST as error:
            raise ServiceUnavailable from error

    async def wait_until_ready(self) -> None:
        """Wait 1, 2 and 4 s for a database that is starting. Raises DatabaseUnavailable."""
        for seconds in (*START_WAITS_SECONDS, None):
            try:
                await self.ping(within_seconds=self._options.connect_timeout_seconds)
            except ServiceUnavailable as error:
                if seconds is None:
                    raise DatabaseUnavailable from error
                log.warning("database_not_ready", retry_after_seconds=seconds)
                await asyncio.sleep(seconds)
            else:
                return

    async def keep_alive(self) -> None:
        """Touch the database now and then, so that a serverless one does not fall asleep."""
        if not self._options.keep_alive_seconds:
            return
        while True:
            await asyncio.sleep(self._options.keep_alive_seconds)
            with suppress(ServiceUnavailable):
                await self.ping()

    async def close(self) -> None:
        await self._pulse.close()
        if self._direct is not None:
            self._direct.close()
        await self._engine.dispose()

    async def _limit(self, connection: AsyncConnection) -> None:
        if self._options.pgbouncer:
            limits = "; ".join(f"SET LOCAL {k} = {v}" for k, v in limits_of(self._options).items())
            await connection.exec_driver_sql(f"DO $$ BEGIN {limits}; END $$")

    async def _retried(self, once: Callable[[], Awaitable[T]]) -> T:
        try:
            return await once()
        except Exception as error:  # noqa: BLE001 - judged below, as any later one
            failures = [error]

        async def once_more() -> T:
            """The first time the failure that there was: what goes well needs no machinery."""
            if failures:
                raise failures.pop()
            return await once()

        retrying = AsyncRetrying(
            retry=retry_if_exception(_is_transient),
            stop=stop_after_attempt(self._options.attempts),
            wait=wait_exponential_jitter(multiplier=0.05, max=1, jitter=0.05),
            before_sleep=_log_retry,
            reraise=True,
        )
        try:
            return await retrying(once_more)
        except Exception as error:
            if _is_unavailable(error):
                log.warning("database_unavailable", sqlstate=sqlstate(error))
                raise ServiceUnavailable from error
            raise


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's five characters; None when the error did not come from the server."""
    state = getattr(getattr(error, "orig", error), "sqlstate", None)
    return state if isinstance(state, str) else None


def constraint(error: DBAPIError) -> str | None:
    """The name of the constraint that was violated."""
    cause = getattr(error.orig, "__cause__", None)
    return getattr(cause, "constraint_name", None)


async def _commit(connection: AsyncConnection, *, repeatable: bool) -> None:
    try:
        await connection.commit()
    except Exception as error:
        if not repeatable and _is_lost(error):
            raise _CommitUnknown from error
        raise


def _is_lost(error: BaseException) -> bool:
    if is_ended_by(sqlstate(error)):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    return isinstance(error, OSError)


def _is_transient(error: BaseException) -> bool:
    return _is_lost(error) or sqlstate(error) in TRANSIENT


def _is_unavailable(error: BaseException) -> bool:
    blocked = sqlstate(error) in {LOCK_NOT_AVAILABLE, QUERY_CANCELED}
    given_up = isinstance(error, _CommitUnknown | PoolTimeoutError)
    return blocked or given_up or _is_transient(error)


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning(
        "database_retried",
        attempt=state.attempt_number,
        sqlstate=sqlstate(error) if error else None,
        error=type(error).__name__,
    )
