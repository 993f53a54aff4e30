"""The one way to the database: units of work, repeated when the connection or a lock was lost."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import QueuePool
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    wait_exponential_jitter,
)

from domain.errors.exceptions import ServiceUnavailable
from observability.tracing import span
from persistence.engine import errors, recent
from persistence.engine.connection_pool import (
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
from persistence.fast.statement_pool import CompiledStatement, Row, StatementPool
from resilience.background_tasks import BackgroundTask, repeat

log = structlog.get_logger(__name__)
T = TypeVar("T")
Connection = AsyncConnection
Work = Callable[[Connection], Awaitable[T]]

START_RETRY_DELAYS_SECONDS = (1, 2, 4)
# Whoever asks how the service is hears of it within two seconds.
PING_TIMEOUT_SECONDS = 1.5
# Connections become free again within moments.
POOL_EXHAUSTED_RETRY_SECONDS = 1


class DatabaseUnavailable(Exception):
    """The database did not answer while the service was starting, or said that it will not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUsage:
    """How many there may be, how many are at work."""

    size: int
    in_use: int


class Database:
    def __init__(self, options: DatabaseOptions) -> None:
        self._options = options
        share = read_pool_size(options)
        pool_size = options.pool_size - share - write_pool_size(share)
        self._engine = create_engine(options, pool_size=pool_size)
        invalidator = PoolInvalidator()
        self._watchdog = Watchdog(
            options.url,
            statement_timeout_seconds=options.statement_timeout_seconds,
            can_query_server=not options.pgbouncer,
        )
        self._pool = EnginePool(self._engine, invalidator=invalidator, watchdog=self._watchdog)
        own = (invalidator, self._watchdog)
        # Apart, so that registrations that wait for one another keep nobody from reading.
        self._read_pool = create_read_pool(options, share, *own) if share else None
        self._write_pool = (
            create_write_pool(options, write_pool_size(share), *own) if share else None
        )
        self._batcher = RowBatcher(self._read_pool.fetch) if self._read_pool else None
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self.recent = recent.Recent()
        self._health_probe = HealthProbe(
            options.url, connect_timeout_seconds=options.connect_timeout_seconds
        )
        self._write_probe = WriteProbe(options.url)

    @property
    def options(self) -> DatabaseOptions:
        return self._options

    def pool_usage(self) -> PoolUsage:
        """Those of the pool and for single reads now; pgbouncer has them all in its own."""
        pool = self._engine.pool
        if not isinstance(pool, QueuePool):
            return PoolUsage(size=0, in_use=0)
        size = self._options.pool_size + self._options.max_overflow
        direct = sum(one.in_use for one in self._statement_pools())
        return PoolUsage(size=size, in_use=pool.checkedout() + direct)

    async def run(self, work: Work[T], *, repeatable: bool = True) -> T:
        """The result of `work`, committed.

        `work` is called again, in a new transaction, after a transient failure. With
        `repeatable=False` a connection that is lost during the commit is not tried again, since
        the commit may have happened. A result that no answer can show is not committed either.
        Raises ServiceUnavailable, Unanswerable.
        """
        with span("database.run"):
            return await self._run(work, repeatable=repeatable, is_single=False)

    async def _run(self, work: Work[T], *, repeatable: bool, is_single: bool) -> T:
        began = monotonic()

        async def once() -> T:
            async with self._pool.connection(self._engine) as connection:
                await self._set_local_timeouts(connection, began, is_single=is_single)
                result = await work(connection)
                require_representable(result)
                with _guard_commit(repeatable=repeatable):
                    await self._pool.commit(connection)
                return result

        return await self._retry(once, began)

    async def read(self, work: Work[T]) -> T:
        """The result of `work`, whose statements run outside a transaction.

        Behind pgbouncer in a transaction all the same: parse and execute are two messages, which
        only a transaction keeps on one server.
        """
        if self._options.pgbouncer:
            return await self.run(work)

        async def once() -> T:
            async with self._pool.connection(self._autocommit) as connection:
                return await work(connection)

        with span("database.read"):
            return await self._retry(once, monotonic())

    async def fetch(self, statement: CompiledStatement, **values: Any) -> Sequence[Row]:
        """The rows of one SELECT, by the names of its columns. Raises ServiceUnavailable."""
        direct = self._read_pool
        if direct is None:
            return await self.read(partial(_executed, statement=statement, values=values))
        with span("database.fetch"):
            began = monotonic()
            return await self._retry(partial(direct.fetch, statement, values, began), began)

    async def find(self, statement: CompiledStatement, key: Any) -> Row | None:
        """The row of a SELECT of `keys` whose `key` this is. Raises ServiceUnavailable."""
        gathering = self._batcher
        if gathering is None:
            rows = await self.fetch(statement, keys=[key])
            return rows[0] if rows else None
        with span("database.find"):
            began = monotonic()
            try:
                return await gathering.find(statement, key)
            except Exception as error:  # noqa: BLE001 - judged there
                return await self._retry(partial(gathering.find, statement, key), began, error)

    async def supersede(self, work: Work[T]) -> T:
        """As `run`, for what changes that which may be `recent` somewhere: returns, or raises, when
        no process any longer takes for true what was before.
        """
        try:
            return await self.run(work)
        finally:
            self.recent.clear()
            await asyncio.sleep(recent.MAX_AGE_SECONDS * recent.WAIT_FACTOR)

    async def write(
        self,
        statement: CompiledStatement,
        values: Mapping[str, Any],
        *,
        repeatable: bool,
        map_error: Callable[[BaseException], Exception | None],
        answer: object = None,
    ) -> Sequence[Row]:
        """The rows of one statement that writes, which is its own transaction.

        It is committed before its rows are here. So `answer`, all that the answer shows beside
        them, is checked before the statement runs, and the statement casts its columns to types
        that an answer can show: a value that does not fit ends it.

        What `meaning` says of a failure is raised in its place, and ends it. With
        `repeatable=False` nothing is tried again once a connection was lost: the statement may have
        happened. Raises ServiceUnavailable, Unanswerable.
        """
        require_answerable(answer)
        writing = self._write_pool
        if writing is None:

            async def work(connection: AsyncConnection) -> Sequence[Row]:
                with _mapping_errors(map_error):
                    return await _executed(connection, statement, values)

            with span("database.write"):
                return await self._run(work, repeatable=repeatable, is_single=True)
        began = monotonic()

        async def once() -> Sequence[Row]:
            with _mapping_errors(map_error), _guard_commit(repeatable=repeatable):
                rows = await writing.fetch(statement, values, began)
            self._write_probe.mark_accepted()
            return rows

        with span("database.write"):
            return await self._retry(once, began)

    async def ping(self, *, timeout_seconds: float = PING_TIMEOUT_SECONDS) -> float:
        """Milliseconds that a `SELECT 1` took, however busy the pool is.

        Raises ServiceUnavailable when there was no answer `within_seconds`.
        """
        try:
            return await self._health_probe.ping(timeout_seconds=timeout_seconds)
        except CONNECTION_ERRORS as error:
            raise ServiceUnavailable from error

    async def accepts_writes(self, *, timeout_seconds: float = PING_TIMEOUT_SECONDS) -> bool:
        """Whether the database does what changes rows, as was found out lately, or before where no
        answer comes `within_seconds`.
        """
        return await self._write_probe.accepts_writes(timeout_seconds=timeout_seconds)

    async def wait_until_ready(self) -> None:
        """Wait 1, 2 and 4 s for a database that is starting. Raises DatabaseUnavailable, with the
        refusal of one that lets nobody in.
        """
        for seconds in (*START_RETRY_DELAYS_SECONDS, None):
            try:
                await self.ping(timeout_seconds=self._options.connect_timeout_seconds)
            except ServiceUnavailable as error:
                refused = errors.connect_error_reason(error.__cause__)
                if seconds is None or refused:
                    raise DatabaseUnavailable(refused) from error
                log.warning("database_not_ready", retry_after_seconds=seconds)
                await asyncio.sleep(seconds)
            else:
                return

    async def keep_alive(self, task: BackgroundTask) -> None:
        """Touch the database now and then, so that a serverless one does not fall asleep.

        It may take as long as a connection to wake up. Raises ServiceUnavailable.
        """
        seconds = self._options.keep_alive_seconds
        if not seconds:
            return
        work = partial(self.ping, within_seconds=self._options.connect_timeout_seconds)
        await repeat(work, task, first_seconds=seconds, seconds=seconds)

    async def close(self) -> None:
        await self._health_probe.close()
        await self._write_probe.close()
        await self._watchdog.close()
        for one in self._statement_pools():
            one.close()
        await self._engine.dispose()

    def _statement_pools(self) -> list[StatementPool]:
        return [one for one in (self._read_pool, self._write_pool) if one is not None]

    async def _set_local_timeouts(
        self, connection: AsyncConnection, began: float, *, is_single: bool
    ) -> None:
        """Bound what follows by what is left of the lock timeout for somebody who has waited."""
        lock_seconds = self._options.lock_timeout_seconds
        left = remaining_lock_timeout(lock_seconds, began)
        limits = timeout_settings(self._options) if self._options.pgbouncer else {}
        if is_single:
            limits |= lock_timeout_settings(lock_seconds if left is None else left)
        elif left is not None:
            limits["lock_timeout"] = lock_timeout_settings(left)["lock_timeout"]
        if limits:
            settings = "; ".join(f"SET LOCAL {name} = {value}" for name, value in limits.items())
            await connection.exec_driver_sql(f"DO $$ BEGIN {settings}; END $$")

    async def _retry(
        self, once: Callable[[], Awaitable[T]], began: float, failure: Exception | None = None
    ) -> T:
        """The result of `once`, tried again for as long as somebody waits who began then.

        With a `failure`, it was called before.
        """
        raised = [failure] if failure else []
        if not raised:
            try:
                return await once()
            except Exception as error:  # noqa: BLE001 - judged below, as any later one
                raised = [error]

        async def once_more() -> T:
            """The first time the failure that there was: what goes well needs no machinery."""
            if raised:
                raise raised.pop()
            return await once()

        retrying = AsyncRetrying(
            retry=retry_if_exception(is_transient),
            stop=self._is_over(began),
            wait=wait_exponential_jitter(multiplier=0.05, max=1, jitter=0.05),
            before_sleep=_log_retry,
            reraise=True,
        )
        try:
            return await retrying(once_more)
        except Exception as error:
            unavailable = self._unavailability(error)
            if unavailable is None:
                raise
            raise unavailable from error

    def _is_over(self, began: float) -> Callable[[RetryCallState], bool]:
        """Whether there were attempts enough, or somebody who began then has waited enough."""

        def is_over(state: RetryCallState) -> bool:
            waited = monotonic() - began
            is_last = state.attempt_number >= self._options.attempts
            return is_last or waited >= self._options.retry_within_seconds

        return is_over

    def _unavailability(self, error: Exception) -> ServiceUnavailable | None:
        """None for an error that says nothing about the database's state."""
        if errors.is_write_refused(error):
            self._write_probe.mark_refused()
        if not is_unavailable(error):
            return None
        log.warning("database_unavailable", sqlstate=sqlstate(error), error=type(error).__name__)
        return ServiceUnavailable(
            retry_after_seconds=POOL_EXHAUSTED_RETRY_SECONDS if is_pool_exhausted(error) else None
        )


async def _executed(
    connection: AsyncConnection, statement: CompiledStatement, values: Mapping[str, Any]
) -> Sequence[Row]:
    return (await connection.execute(statement.expression, dict(values))).mappings().all()


@contextmanager
def _mapping_errors(map_error: Callable[[BaseException], Exception | None]) -> Iterator[None]:
    """Raises what a failure means in its place."""
    try:
        yield
    except Exception as error:
        said = map_error(error)
        if said is not None:
            raise said from error
        raise


@contextmanager
def _guard_commit(*, repeatable: bool) -> Iterator[None]:
    """Around what commits. Raises CommitUnknown for a loss after which it must not be repeated."""
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
