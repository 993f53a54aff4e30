"""The one way to the database: units of work, repeated when the connection or a lock was lost."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import structlog
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
from persistence import failures, recent
from persistence.connecting import LOST
from persistence.direct import Direct, Row, Statement
from persistence.failures import CommitUnknown, is_lost, is_transient, is_unavailable, sqlstate
from persistence.gathering import Gathering
from persistence.options import (
    DatabaseOptions,
    direct_of,
    engine_of,
    limits_of,
    reading_share,
    writing_share,
)
from persistence.pulse import Pulse
from resilience.tracing import span

log = structlog.get_logger(__name__)
T = TypeVar("T")
Connection = AsyncConnection
Work = Callable[[Connection], Awaitable[T]]

START_WAITS_SECONDS = (1, 2, 4)
# Whoever asks how the service is hears of it within two seconds.
PING_SECONDS = 1.5


class DatabaseUnavailable(Exception):
    """The database did not answer while the service was starting, or said that it will not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """How many there may be, how many are at work."""

    size: int
    in_use: int


class Database:
    def __init__(self, options: DatabaseOptions) -> None:
        self._options = options
        share = reading_share(options)
        pool_size = options.pool_size - share - writing_share(share)
        self._engine = engine_of(options, pool_size=pool_size)
        # Apart, so that registrations that wait for one another keep nobody from reading.
        self._direct = direct_of(options, share) if share else None
        self._writing = direct_of(options, writing_share(share)) if share else None
        self._gathering = Gathering(self._direct.fetch) if self._direct else None
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self.recent = recent.Recent()
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
        direct = sum(one.in_use for one in self._directs())
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
                with _settled(repeatable=repeatable):
                    await connection.commit()
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
            return await self.read(partial(_executed, statement=statement, values=values))
        with span("database.fetch"):
            return await self._retried(partial(direct.fetch, statement, values))

    async def find(self, statement: Statement, key: Any) -> Row | None:
        """The row of a SELECT of `keys` whose `key` this is. Raises ServiceUnavailable."""
        gathering = self._gathering
        if gathering is None:
            rows = await self.fetch(statement, keys=[key])
            return rows[0] if rows else None
        with span("database.find"):
            try:
                return await gathering.find(statement, key)
            except Exception as error:  # noqa: BLE001 - judged there
                return await self._retried(partial(gathering.find, statement, key), error)

    async def supersede(self, work: Work[T]) -> T:
        """As `run`, for what changes that which may be `recent` somewhere: returns, or raises, when
        no process any longer takes for true what was before.
        """
        try:
            return await self.run(work)
        finally:
            self.recent.clear()
            await asyncio.sleep(recent.TRUE_FOR_SECONDS * recent.WAITED_FOR)

    async def write(
        self,
        statement: Statement,
        values: Mapping[str, Any],
        *,
        repeatable: bool,
        meaning: Callable[[BaseException], Exception | None],
    ) -> Sequence[Row]:
        """The rows of one statement that writes, which is its own transaction.

        What `meaning` says of a failure is raised in its place, and ends it. With
        `repeatable=False` nothing is tried again once a connection was lost: the statement may have
        happened. Raises ServiceUnavailable.
        """
        writing = self._writing
        if writing is None:

            async def work(connection: AsyncConnection) -> Sequence[Row]:
                with _meant(meaning):
                    return await _executed(connection, statement, values)

            return await self.run(work, repeatable=repeatable)

        async def once() -> Sequence[Row]:
            with _meant(meaning), _settled(repeatable=repeatable):
                return await writing.fetch(statement, values)

        with span("database.write"):
            return await self._retried(once)

    async def ping(self, *, within_seconds: float = PING_SECONDS) -> float:
        """Milliseconds that a `SELECT 1` took, however busy the pool is.

        Raises ServiceUnavailable when there was no answer `within_seconds`.
        """
        try:
            return await self._pulse.take(within_seconds=within_seconds)
        except LOST as error:
            raise ServiceUnavailable from error

    async def wait_until_ready(self) -> None:
        """Wait 1, 2 and 4 s for a database that is starting. Raises DatabaseUnavailable, with the
        refusal of one that lets nobody in.
        """
        for seconds in (*START_WAITS_SECONDS, None):
            try:
                await self.ping(within_seconds=self._options.connect_timeout_seconds)
            except ServiceUnavailable as error:
                refused = failures.refusal(error.__cause__)
                if seconds is None or refused:
                    raise DatabaseUnavailable(refused) from error
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
        for one in self._directs():
            one.close()
        await self._engine.dispose()

    def _directs(self) -> list[Direct]:
        return [one for one in (self._direct, self._writing) if one is not None]

    async def _limit(self, connection: AsyncConnection) -> None:
        if self._options.pgbouncer:
            limits = "; ".join(f"SET LOCAL {k} = {v}" for k, v in limits_of(self._options).items())
            await connection.exec_driver_sql(f"DO $$ BEGIN {limits}; END $$")

    async def _retried(
        self, once: Callable[[], Awaitable[T]], failure: Exception | None = None
    ) -> T:
        """What `once` returns; with a `failure`, it was called before."""
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
            stop=stop_after_attempt(self._options.attempts),
            wait=wait_exponential_jitter(multiplier=0.05, max=1, jitter=0.05),
            before_sleep=_log_retry,
            reraise=True,
        )
        try:
            return await retrying(once_more)
        except Exception as error:
            if is_unavailable(error):
                log.warning("database_unavailable", sqlstate=sqlstate(error))
                raise ServiceUnavailable from error
            raise


async def _executed(
    connection: AsyncConnection, statement: Statement, values: Mapping[str, Any]
) -> Sequence[Row]:
    return (await connection.execute(statement.expression, dict(values))).mappings().all()


@contextmanager
def _meant(meaning: Callable[[BaseException], Exception | None]) -> Iterator[None]:
    """Raises what a failure means in its place."""
    try:
        yield
    except Exception as error:
        said = meaning(error)
        if said is not None:
            raise said from error
        raise


@contextmanager
def _settled(*, repeatable: bool) -> Iterator[None]:
    """Around what commits. Raises CommitUnknown for a loss after which it must not be repeated."""
    try:
        yield
    except Exception as error:
        if not repeatable and is_lost(error):
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
