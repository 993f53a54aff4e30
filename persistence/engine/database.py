"""Access to the database: units of work and single statements, with retries."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import QueuePool
from sqlmodel.ext.asyncio.session import AsyncSession
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    wait_exponential_jitter,
)

from domain.errors.exceptions import ServiceUnavailable
from observability.tracing import span
from persistence.engine import errors
from persistence.engine.connection_pool import (
    ConnectionPool,
    PoolInvalidator,
    lock_timeout_settings,
    remaining_lock_timeout,
)
from persistence.engine.driver import CONNECTION_ERRORS
from persistence.engine.engine import (
    DatabaseOptions,
    create_engine,
    create_read_pool,
    create_write_pool,
    read_pool_size,
    timeout_settings,
    write_pool_size,
)
from persistence.engine.engine_pool import EnginePool
from persistence.engine.errors import (
    CommitUnknown,
    is_disconnect,
    is_pool_exhausted,
    is_transient,
    is_unavailable,
    sqlstate,
)
from persistence.engine.health_probe import HealthProbe
from persistence.engine.result_check import require_representable
from persistence.engine.watchdog import Watchdog
from persistence.engine.write_probe import WriteProbe
from persistence.fast.batching import RowBatcher
from persistence.fast.statement_pool import CompiledStatement, Row
from persistence.unit_of_work import UnitOfWork
from resilience.background_tasks import BackgroundTask, repeat

log = structlog.get_logger(__name__)
T = TypeVar("T")
Work = Callable[[UnitOfWork], Awaitable[T]]
ErrorMap = Callable[[BaseException], Exception | None]

START_RETRY_DELAYS_SECONDS = (1, 2, 4)
# Health checks have to answer within two seconds.
PING_TIMEOUT_SECONDS = 1.5
# Told to clients when all connections are in use: one becomes free within moments.
POOL_EXHAUSTED_RETRY_SECONDS = 1


class DatabaseUnavailable(Exception):
    """The database did not answer while the service was starting, or it rejects the login.

    The message is the reason of a rejection, as part of a sentence, else empty.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUsage:
    """Connections: how many there may be and how many are in use."""

    size: int
    in_use: int


class Database:
    """Runs units of work and single statements, and retries them after transient failures.

    Connections are split over three pools, so that registrations waiting for each other's locks do
    not keep others from reading: SQLAlchemy's for units of work, and two of asyncpg connections for
    single reads and single writes. With a small pool or behind pgbouncer there is only the first.
    """

    def __init__(self, options: DatabaseOptions) -> None:
        self._options = options
        read_size = read_pool_size(options)
        write_size = write_pool_size(read_size)
        self._engine = create_engine(options, pool_size=options.pool_size - read_size - write_size)
        invalidator = PoolInvalidator()
        self._watchdog = Watchdog(
            options.url,
            statement_timeout_seconds=options.statement_timeout_seconds,
            can_query_server=not options.pgbouncer,
        )
        self._pool = EnginePool(self._engine, invalidator=invalidator, watchdog=self._watchdog)
        self._read_pool = self._write_pool = None
        if read_size:
            self._read_pool = create_read_pool(options, read_size, invalidator, self._watchdog)
            self._write_pool = create_write_pool(options, write_size, invalidator, self._watchdog)
        self._batcher = RowBatcher(self._read_pool.fetch) if self._read_pool else None
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._health_probe = HealthProbe(
            options.url, connect_timeout_seconds=options.connect_timeout_seconds
        )
        self._write_probe = WriteProbe(options.url)

    @property
    def options(self) -> DatabaseOptions:
        return self._options

    def pool_usage(self) -> PoolUsage:
        """Connections of all pools together; zeros behind pgbouncer, which has the only pool."""
        pool = self._engine.pool
        if not isinstance(pool, QueuePool):
            return PoolUsage(size=0, in_use=0)
        size = self._options.pool_size + self._options.max_overflow
        single = sum(single_pool.in_use for single_pool in self._connection_pools())
        return PoolUsage(size=size, in_use=pool.checkedout() + single)

    async def run(self, work: Work[T], *, repeatable: bool = True) -> T:
        """Run `work` in a transaction, commit, and return its result.

        After a transient failure `work` is called again in a new transaction. With
        `repeatable=False` it is not called again after a connection was lost during the commit,
        which may have happened. Raises ServiceUnavailable, and UnrepresentableResult for a result
        that GraphQL cannot represent, which is not committed.
        """
        with span("database.run"):
            return await self._run(work, repeatable=repeatable, is_single=False)

    async def _run(self, work: Work[T], *, repeatable: bool, is_single: bool) -> T:
        """Run `work` as `run`. `is_single`: it only executes the statement of `write`."""
        waiting_since = monotonic()

        async def attempt() -> T:
            async with (
                self._pool.connection(self._engine) as connection,
                _unit_of_work(connection) as uow,
            ):
                await self._set_local_timeouts(connection, waiting_since, is_single=is_single)
                result = await work(uow)
                require_representable(result)
                await uow.session.flush()
                with _guard_commit(repeatable=repeatable):
                    await self._pool.commit(connection)
                return result

        return await self._retry(attempt, waiting_since)

    async def read(self, work: Work[T]) -> T:
        """Run `work`, which only reads, in autocommit mode, and return its result.

        Behind pgbouncer it runs in a transaction: parse and execute are two messages, and only a
        transaction keeps both on one server. Raises ServiceUnavailable.
        """
        if self._options.pgbouncer:
            return await self.run(work)

        async def attempt() -> T:
            async with (
                self._pool.connection(self._autocommit) as connection,
                _unit_of_work(connection) as uow,
            ):
                return await work(uow)

        with span("database.read"):
            return await self._retry(attempt, monotonic())

    async def fetch(self, statement: CompiledStatement, **values: Any) -> Sequence[Row]:
        """Fetch the rows of one SELECT. Raises ServiceUnavailable."""
        read_pool = self._read_pool
        if read_pool is None:
            return await self.read(partial(_execute, statement=statement, values=values))
        with span("database.fetch"):
            waiting_since = monotonic()
            attempt = partial(read_pool.fetch, statement, values, waiting_since)
            return await self._retry(attempt, waiting_since)

    async def find_by_key(self, statement: CompiledStatement, key: Any) -> Row | None:
        """Fetch the row with this key, together with other callers' keys.

        `statement` has the parameter `keys` and the column `key`. Raises ServiceUnavailable.
        """
        batcher = self._batcher
        if batcher is None:
            rows = await self.fetch(statement, keys=[key])
            return rows[0] if rows else None
        with span("database.find"):
            waiting_since = monotonic()
            try:
                return await batcher.find(statement, key)
            except Exception as error:  # noqa: BLE001 - judged by _retry
                attempt = partial(batcher.find, statement, key)
                return await self._retry(attempt, waiting_since, failure=error)

    async def write(
        self,
        statement: CompiledStatement,
        values: Mapping[str, Any],
        *,
        repeatable: bool,
        map_error: ErrorMap,
        response_values: object = None,
    ) -> Sequence[Row]:
        """Execute one statement that writes, in its own transaction, and return its rows.

        It is committed before its rows arrive, so a value that GraphQL cannot represent must be
        found earlier. `response_values`, which the caller puts into the response, are checked
        before the statement runs. The statement casts its columns to representable types.

        An error for which `map_error` returns an exception is replaced by it and not retried. With
        `repeatable=False` nothing is retried after a connection was lost: the statement may have
        been committed. Raises ServiceUnavailable, UnrepresentableResult.
        """
        require_representable(response_values)
        write_pool = self._write_pool
        if write_pool is None:

            async def work(uow: UnitOfWork) -> Sequence[Row]:
                with _mapping_errors(map_error):
                    return await _execute(uow, statement, values)

            with span("database.write"):
                return await self._run(work, repeatable=repeatable, is_single=True)
        waiting_since = monotonic()

        async def attempt() -> Sequence[Row]:
            with _mapping_errors(map_error), _guard_commit(repeatable=repeatable):
                rows = await write_pool.fetch(statement, values, waiting_since)
            self._write_probe.mark_accepted()
            return rows

        with span("database.write"):
            return await self._retry(attempt, waiting_since)

    async def ping(self, *, timeout_seconds: float = PING_TIMEOUT_SECONDS) -> float:
        """Milliseconds that a `SELECT 1` took, independent of how busy the pools are.

        Raises ServiceUnavailable when there is no answer in time.
        """
        try:
            return await self._health_probe.ping(timeout_seconds=timeout_seconds)
        except CONNECTION_ERRORS as error:
            raise ServiceUnavailable from error

    def start_write_probe(self) -> None:
        """Start what `accepts_writes` waits for, unless a result is at hand."""
        self._write_probe.start()

    async def accepts_writes(self, *, timeout_seconds: float = PING_TIMEOUT_SECONDS) -> bool:
        """Whether the database can write, by a recent probe; the last result when it is late."""
        return await self._write_probe.accepts_writes(timeout_seconds=timeout_seconds)

    async def wait_until_ready(self) -> None:
        """Wait for a database that is starting: up to four pings, after 0, 1, 2 and 4 s.

        Raises DatabaseUnavailable, at once for a database that rejects the login.
        """
        for delay_seconds in (*START_RETRY_DELAYS_SECONDS, None):
            try:
                await self.ping(timeout_seconds=self._options.connect_timeout_seconds)
            except ServiceUnavailable as error:
                reason = errors.connect_error_reason(error.__cause__)
                if delay_seconds is None or reason:
                    raise DatabaseUnavailable(reason) from error
                log.warning("database_not_ready", retry_after_seconds=delay_seconds)
                await asyncio.sleep(delay_seconds)
            else:
                return

    async def warm_up(self) -> None:
        """Open a connection of each pool, so that the first requests do not wait for one.

        A failure is only logged: later requests open their own. Behind pgbouncer there is no pool.
        """
        if self._options.pgbouncer:
            return
        pools = (self._warm_up_engine(), *(pool.warm_up() for pool in self._connection_pools()))
        results = await asyncio.gather(*pools, return_exceptions=True)
        failures = [type(result).__name__ for result in results if isinstance(result, Exception)]
        if failures:
            log.warning("database_warm_up_failed", errors=failures)

    async def _warm_up_engine(self) -> None:
        async with self._pool.connection(self._engine):
            pass

    async def keep_alive(self, task: BackgroundTask) -> None:
        """Ping the database every `keep_alive_seconds`: a serverless one suspends itself otherwise.

        A ping may take as long as a new connection. 0 seconds: return. Raises ServiceUnavailable.
        """
        seconds = self._options.keep_alive_seconds
        if not seconds:
            return
        work = partial(self.ping, timeout_seconds=self._options.connect_timeout_seconds)
        await repeat(work, task, first_seconds=seconds, seconds=seconds)

    async def close(self) -> None:
        await self._health_probe.close()
        await self._write_probe.close()
        await self._watchdog.close()
        for pool in self._connection_pools():
            pool.close()
        await self._engine.dispose()

    def _connection_pools(self) -> list[ConnectionPool]:
        """The pools of connections outside SQLAlchemy's."""
        return [pool.pool for pool in (self._read_pool, self._write_pool) if pool is not None]

    async def _set_local_timeouts(
        self, connection: AsyncConnection, waiting_since: float, *, is_single: bool
    ) -> None:
        """Set timeouts of the transaction, reduced by the time that the caller has waited."""
        lock_timeout = self._options.lock_timeout_seconds
        remaining = remaining_lock_timeout(lock_timeout, waiting_since)
        timeouts = timeout_settings(self._options) if self._options.pgbouncer else {}
        if is_single:
            timeouts |= lock_timeout_settings(lock_timeout if remaining is None else remaining)
        elif remaining is not None:
            timeouts["lock_timeout"] = lock_timeout_settings(remaining)["lock_timeout"]
        if timeouts:
            settings = "; ".join(f"SET LOCAL {name} = {value}" for name, value in timeouts.items())
            # One statement: asyncpg's extended protocol takes no list of commands.
            await connection.exec_driver_sql(f"DO $$ BEGIN {settings}; END $$")

    async def _retry(
        self,
        attempt: Callable[[], Awaitable[T]],
        waiting_since: float,
        *,
        failure: Exception | None = None,
    ) -> T:
        """Call `attempt` until it succeeds, fails for good, or the caller has waited enough.

        `failure` is the error of a first attempt that was made before.
        """
        if failure is None:
            # Tenacity is used only after a failure: it takes longer than reading a row by its key.
            try:
                return await attempt()
            except Exception as error:  # noqa: BLE001 - judged below, as any later one
                failure = error
        failures = [failure]

        async def attempt_again() -> T:
            """Raise the known failure the first time, so that tenacity counts and judges it."""
            if failures:
                raise failures.pop()
            return await attempt()

        retrying = AsyncRetrying(
            retry=retry_if_exception(is_transient),
            stop=self._stop_after(waiting_since),
            wait=wait_exponential_jitter(multiplier=0.05, max=1, jitter=0.05),
            before_sleep=_log_retry,
            reraise=True,
        )
        try:
            return await retrying(attempt_again)
        except Exception as error:
            unavailable = self._map_unavailable(error)
            if unavailable is None:
                raise
            raise unavailable from error

    def _stop_after(self, waiting_since: float) -> Callable[[RetryCallState], bool]:
        def should_stop(state: RetryCallState) -> bool:
            is_last = state.attempt_number >= self._options.attempts
            waited = monotonic() - waiting_since
            return is_last or waited >= self._options.retry_within_seconds

        return should_stop

    def _map_unavailable(self, error: Exception) -> ServiceUnavailable | None:
        """None for an error that is not about the state of the database."""
        if errors.is_write_refused(error):
            self._write_probe.mark_refused()
        if not is_unavailable(error):
            return None
        log.warning("database_unavailable", sqlstate=sqlstate(error), error=type(error).__name__)
        return ServiceUnavailable(
            retry_after_seconds=POOL_EXHAUSTED_RETRY_SECONDS if is_pool_exhausted(error) else None
        )


@asynccontextmanager
async def _unit_of_work(connection: AsyncConnection) -> AsyncGenerator[UnitOfWork]:
    """A unit of work in a new transaction of the connection, which the caller commits."""
    await connection.begin()
    session = AsyncSession(bind=connection, expire_on_commit=False, autoflush=False)
    try:
        yield UnitOfWork(session)
    finally:
        # The transaction belongs to the connection: closing the session sends nothing.
        await session.close()


async def _execute(
    uow: UnitOfWork, statement: CompiledStatement, values: Mapping[str, Any]
) -> Sequence[Row]:
    connection = await uow.session.connection()
    return (await connection.execute(statement.expression, dict(values))).mappings().all()


@contextmanager
def _mapping_errors(map_error: ErrorMap) -> Iterator[None]:
    """Replace errors for which `map_error` returns another exception."""
    try:
        yield
    except Exception as error:
        mapped = map_error(error)
        if mapped is not None:
            raise mapped from error
        raise


@contextmanager
def _guard_commit(*, repeatable: bool) -> Iterator[None]:
    """Raise CommitUnknown for a lost connection, unless the work may be repeated."""
    try:
        yield
    except Exception as error:
        if not repeatable and is_disconnect(error):
            raise CommitUnknown from error
        raise


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning(
        "database_retried",
        attempt=state.attempt_number,
        sqlstate=sqlstate(error) if error else None,
        error=type(error).__name__,
    )
