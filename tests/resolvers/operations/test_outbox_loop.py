"""The delivery loop: wake-ups, waits, and recovery from failures."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import asyncpg
import pytest
from structlog.testing import capture_logs

from domain.errors.exceptions import ServiceUnavailable, StorageUnavailable
from persistence.embedded.server import EmbeddedPostgres
from persistence.engine import migrate
from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from resilience.background_tasks import BackgroundTask
from resolvers.operations.outbox import (
    RetryPolicy,
    deliver_continuously,
    deliver_due,
    run_outbox,
    wait_for_any,
)
from tests.databases import dsn
from tests.postgres_proxy import STARTING_UP, PostgresProxy
from tests.server_processes import wait_until

KIND = "file.move"
NEVER = 10**6
LISTENERS = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = $1"


class Inbox:
    """A handler that records deliveries; `arrived` waits for them."""

    def __init__(self):
        self.numbers = []

    async def handle(self, _services, message):
        self.numbers.append(message.payload["number"])

    @property
    def handlers(self):
        return {KIND: self.handle}

    async def arrived(self, *numbers):
        await wait_until(lambda: len(self.numbers) >= len(numbers), f"{numbers} arrived")
        assert self.numbers == list(numbers)


class FakeWaits:
    """Waits that pass at once on the fake clock; `then` may act in between."""

    def __init__(self, clock, *, last, then=None):
        self.seconds = []
        self._clock = clock
        self._last = last
        self._then = then

    async def __call__(self, seconds, stop, _wake):
        self.seconds.append(seconds)
        self._clock.advance(seconds=seconds)
        if self._then is not None:
            await self._then(len(self.seconds))
        if len(self.seconds) == self._last:
            stop.set()


class EventWaits:
    """Waits for events only, ignoring the timeout; `is_asleep` is true meanwhile."""

    is_asleep = False
    naps = 0

    async def __call__(self, _seconds, *events):
        self.is_asleep = True
        self.naps += 1
        await wait_for_any(NEVER, *events)
        self.is_asleep = False

    async def fell_asleep(self):
        await wait_until(lambda: self.is_asleep, "the loop waits")


async def enqueue(database, number, now):
    values = {"kind": KIND, "payload": {"number": number}, "now": now}
    await database.run(lambda uow: uow.outbox.add(**values))


@asynccontextmanager
async def running_outbox(services, handlers, policy) -> AsyncGenerator[asyncio.Event]:
    """Run the outbox; stop it on exit if it is still running."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_outbox(services, handlers, stop, policy=policy))
        try:
            yield stop
        finally:
            stop.set()


@pytest.fixture
async def proxy(database_url):
    async with PostgresProxy(database_url) as opened:
        yield opened


@pytest.fixture
async def proxied(services, proxy):
    """Services behind the proxy."""
    database = Database(DatabaseOptions(url=proxy.url))
    yield replace(services, database=database)
    await database.close()


async def loop(services, handlers, waits, **options):
    events = asyncio.Event(), asyncio.Event()
    policy = RetryPolicy(jitter=lambda: 0, wait=waits, **options)
    await deliver_continuously(
        services, handlers, *events, task=BackgroundTask("outbox"), policy=policy
    )


async def test_loop_sleeps_until_the_next_attempt_is_due(services, clock):
    attempts = []

    async def fail(_services, message):
        attempts.append((message.attempts, clock()))
        raise StorageUnavailable(retry_after_seconds=0)

    waits, start = FakeWaits(clock, last=16), clock()
    await enqueue(services.database, 1, start)
    await loop(services, {KIND: fail}, waits, poll_seconds=3600)

    assert waits.seconds == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, *[3600] * 6]
    assert attempts == [
        (number, start + timedelta(seconds=sum(waits.seconds[: number - 1])))
        for number in range(1, 17)
    ]


async def test_loop_polls_every_30_seconds_without_notifications(services, clock):
    inbox = Inbox()

    async def owe_after_the_second(number):
        if number == 2:
            await enqueue(services.database, 26, clock())

    waits = FakeWaits(clock, last=4, then=owe_after_the_second)
    await loop(services, inbox.handlers, waits)

    assert waits.seconds == [30, 30, 30, 30]
    assert inbox.numbers == [26]


async def test_message_leased_by_another_process_is_polled_for_soon(services, clock, sql):
    inbox, waits = Inbox(), FakeWaits(clock, last=1)
    await enqueue(services.database, 26, clock())

    async with sql.transaction():
        await sql.execute("SELECT FROM outbox_message FOR UPDATE")
        await loop(services, inbox.handlers, waits)

    assert (inbox.numbers, waits.seconds) == ([], [0.1])


async def test_notification_during_a_delivery_is_not_lost(services, clock):
    inbox, stop, wake = Inbox(), asyncio.Event(), asyncio.Event()

    async def hear_of_more(_services, _message):
        wake.set()

    async def look(_seconds, *_events):
        inbox.numbers.append(wake.is_set())
        stop.set()

    await enqueue(services.database, 1, clock())
    await deliver_continuously(
        services,
        {KIND: hear_of_more},
        stop,
        wake,
        task=BackgroundTask("outbox"),
        policy=RetryPolicy(wait=look),
    )

    assert inbox.numbers == [True]


async def test_notification_wakes_the_loop(services, clock):
    inbox, doze = Inbox(), EventWaits()

    async with running_outbox(services, inbox.handlers, RetryPolicy(wait=doze)):
        await doze.fell_asleep()
        for number in range(5):
            await enqueue(services.database, number, clock())
            await inbox.arrived(*range(number + 1))


async def test_messages_of_other_kinds_do_not_wake_the_loop(services, clock):
    inbox, dozing = Inbox(), EventWaits()
    async with running_outbox(services, inbox.handlers, RetryPolicy(wait=dozing)):
        await dozing.fell_asleep()
        await enqueue(services.database, 1, clock.now)
        await inbox.arrived(1)
        await dozing.fell_asleep()
        before = dozing.naps

        mail = {"kind": "mail.team_received", "payload": {}, "now": clock.now}
        await services.database.run(lambda uow: uow.outbox.add(**mail))
        await enqueue(services.database, 2, clock.now)
        await inbox.arrived(1, 2)
        await dozing.fell_asleep()

    assert dozing.naps == before + 1


async def test_loop_polls_without_listening_behind_pgbouncer(services, database_url, clock):
    database = Database(DatabaseOptions(url=database_url, pgbouncer=True))
    inbox, polled, waits = Inbox(), asyncio.Event(), []

    async def wait_for_the_poll(seconds, *_events):
        waits.append(seconds)
        await polled.wait()

    async with running_outbox(
        replace(services, database=database), inbox.handlers, RetryPolicy(wait=wait_for_the_poll)
    ) as stop:
        await wait_until(lambda: waits, "the loop waits")
        await enqueue(services.database, 26, clock())
        assert await listeners(database_url) == 0
        assert (waits, inbox.numbers) == ([30], [])
        polled.set()
        await inbox.arrived(26)
        stop.set()


async def test_stopped_loop_leaves_no_connection(services, database_url):
    doze = EventWaits()

    async with running_outbox(services, Inbox().handlers, RetryPolicy(wait=doze)):
        await wait_until(partial(listeners, database_url), "somebody listens")

    async def nobody_listens():
        return await listeners(database_url) == 0

    await wait_until(nobody_listens, "nobody listens")


async def test_cancelled_loop_leaves_no_connection(services, database_url):
    task = asyncio.create_task(run_outbox(services, Inbox().handlers, asyncio.Event()))
    await wait_until(partial(listeners, database_url), "somebody listens")

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def nobody_listens():
        return await listeners(database_url) == 0

    await wait_until(nobody_listens, "nobody listens")


async def test_stop_ends_a_wait_at_once(services):
    doze = EventWaits()

    async with (
        asyncio.timeout(60),
        running_outbox(services, Inbox().handlers, RetryPolicy(wait=doze)),
    ):
        await doze.fell_asleep()


async def test_unavailable_database_is_polled_with_backoff(proxy, proxied, services, clock):
    inbox = Inbox()
    await enqueue(services.database, 26, clock())

    async def come_back_and_go_again(number):
        proxy.connect_response = None if number in (7, 8) else STARTING_UP
        proxy.close_connections()

    proxy.connect_response = STARTING_UP
    waits = FakeWaits(clock, last=10, then=come_back_and_go_again)
    with capture_logs() as logs:
        await loop(proxied, inbox.handlers, waits)

    assert waits.seconds == [1, 2, 4, 8, 16, 30, 30, 30, 30, 1]
    assert inbox.numbers == [26]
    failures = [entry for entry in logs if entry["event"] == "background_task_failed"]
    assert [(entry["log_level"], entry["error"]) for entry in failures] == [
        ("warning", "ServiceUnavailable")
    ] * 2
    assert sum(entry["event"] == "background_task_recovered" for entry in logs) == 1


async def test_loop_survives_unexpected_exceptions(services, clock, sql):
    inbox = Inbox()
    await enqueue(services.database, 26, clock())
    await sql.execute("ALTER TABLE outbox_message RENAME TO gone")

    async def come_back(number):
        if number == 2:
            await sql.execute("ALTER TABLE gone RENAME TO outbox_message")

    with capture_logs() as logs:
        await loop(services, inbox.handlers, FakeWaits(clock, last=3, then=come_back))

    assert inbox.numbers == [26]
    failures = [entry for entry in logs if entry["event"] == "background_task_failed"]
    assert [(entry["log_level"], entry["task"], entry["error"]) for entry in failures] == [
        ("error", "outbox", "ProgrammingError")
    ]
    assert sum(entry["event"] == "background_task_recovered" for entry in logs) == 1


async def test_delivery_that_cannot_be_recorded_is_repeated(proxy, proxied, sql, clock):
    inbox = Inbox()

    async def deliver_and_lose_the_database(services, message):
        await inbox.handle(services, message)
        proxy.connect_response = STARTING_UP
        proxy.close_connections()

    await enqueue(proxied.database, 26, clock())
    with capture_logs() as logs, pytest.raises(ServiceUnavailable):
        await deliver_due(proxied, {KIND: deliver_and_lose_the_database})
    proxy.connect_response = None
    before_the_lease_ends = await deliver_due(proxied, inbox.handlers)
    clock.advance(seconds=120)

    assert [entry["event"] for entry in logs].count("outbox_message_not_settled") == 1
    assert before_the_lease_ends == 0
    assert await deliver_due(proxied, inbox.handlers) == 1
    assert inbox.numbers == [26, 26]


async def test_loop_continues_after_a_restart_of_the_database(services, tmp_path):
    inbox, doze = Inbox(), EventWaits()
    version = os.environ.get("TEST_POSTGRES_VERSION", "18")
    with EmbeddedPostgres(tmp_path / "own", version=version) as postgres:
        url = postgres.connected_url("icct26")
        await asyncio.to_thread(migrate.upgrade, url)
        database = Database(DatabaseOptions(url=url))
        async with running_outbox(
            replace(services, database=database), inbox.handlers, RetryPolicy(wait=doze)
        ):
            await enqueue(database, 1, services.clock())
            await inbox.arrived(1)

            os.kill(postgres.postmaster_pid, signal.SIGINT)
            await wait_until(lambda: raise_unavailable(url), "the server is away")
            await asyncio.to_thread(postgres.start)
            await enqueue(database, 2, services.clock())

            await inbox.arrived(1, 2)
        await database.close()


async def test_wait_ends_after_its_timeout():
    await wait_for_any(0.001, asyncio.Event(), asyncio.Event())


async def test_failure_is_retried_on_the_real_clock_without_a_wake_up(services):
    inbox, failed = Inbox(), asyncio.Event()
    policy = RetryPolicy(first_wait=timedelta(milliseconds=50))

    async def fail_once(its_services, message):
        if not failed.is_set():
            failed.set()
            raise StorageUnavailable(retry_after_seconds=0)
        await inbox.handle(its_services, message)

    real = replace(services, clock=lambda: datetime.now(UTC))
    async with running_outbox(real, {KIND: fail_once}, policy):
        await enqueue(services.database, 26, real.clock())
        await inbox.arrived(26)


async def listeners(url):
    connection = await asyncpg.connect(dsn(url))
    try:
        return await connection.fetchval(
            LISTENERS, await connection.fetchval("SELECT current_database()")
        )
    finally:
        await connection.close()


async def raise_unavailable(url):
    try:
        await (await asyncpg.connect(dsn(url))).close()
    except (OSError, asyncpg.PostgresError):
        return True
    return False
