"""The loop: when it wakes, how long it waits, what it outlasts."""

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
from persistence.repositories import outbox
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
    """What was delivered; `arrived` waits for more."""

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


class Waits:
    """The loop's waits: each passes at once on the clock; `then` may act in between."""

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


class Dozing:
    """Waits for events alone, however long the loop meant to wait; `is_asleep` while it does."""

    is_asleep = False
    naps = 0

    async def __call__(self, _seconds, *events):
        self.is_asleep = True
        self.naps += 1
        await wait_for_any(NEVER, *events)
        self.is_asleep = False

    async def fell_asleep(self):
        await wait_until(lambda: self.is_asleep, "the loop waits")


async def owe(database, number, now):
    values = {"kind": KIND, "payload": {"number": number}, "now": now}
    await database.run(partial(outbox.add, **values))


@asynccontextmanager
async def running(services, handlers, policy) -> AsyncGenerator[asyncio.Event]:
    """The outbox runs inside, and is stopped at the end if nobody did so before."""
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
    """The services behind the proxy."""
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

    waits, start = Waits(clock, last=16), clock()
    await owe(services.database, 1, start)
    await loop(services, {KIND: fail}, waits, poll_seconds=3600)

    assert waits.seconds == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, *[3600] * 6]
    assert attempts == [
        (number, start + timedelta(seconds=sum(waits.seconds[: number - 1])))
        for number in range(1, 17)
    ]


async def test_loop_looks_every_30_seconds_when_nobody_wakes_it(services, clock):
    inbox = Inbox()

    async def owe_after_the_second(number):
        if number == 2:
            await owe(services.database, 26, clock())

    waits = Waits(clock, last=4, then=owe_after_the_second)
    await loop(services, inbox.handlers, waits)

    assert waits.seconds == [30, 30, 30, 30]
    assert inbox.numbers == [26]


async def test_what_another_process_is_claiming_is_looked_for_a_moment_later(services, clock, sql):
    inbox, waits = Inbox(), Waits(clock, last=1)
    await owe(services.database, 26, clock())

    async with sql.transaction():
        await sql.execute("SELECT FROM outbox_message FOR UPDATE")
        await loop(services, inbox.handlers, waits)

    assert (inbox.numbers, waits.seconds) == ([], [0.1])


async def test_notice_during_a_delivery_is_not_lost(services, clock):
    inbox, stop, wake = Inbox(), asyncio.Event(), asyncio.Event()

    async def hear_of_more(_services, _message):
        wake.set()

    async def look(_seconds, *_events):
        inbox.numbers.append(wake.is_set())
        stop.set()

    await owe(services.database, 1, clock())
    await deliver_continuously(
        services,
        {KIND: hear_of_more},
        stop,
        wake,
        task=BackgroundTask("outbox"),
        policy=RetryPolicy(wait=look),
    )

    assert inbox.numbers == [True]


async def test_notice_wakes_the_loop(services, clock):
    inbox, doze = Inbox(), Dozing()

    async with running(services, inbox.handlers, RetryPolicy(wait=doze)):
        await doze.fell_asleep()
        for number in range(5):
            await owe(services.database, number, clock())
            await inbox.arrived(*range(number + 1))


async def test_messages_of_other_kinds_wake_nobody(services, clock):
    inbox, dozing = Inbox(), Dozing()
    async with running(services, inbox.handlers, RetryPolicy(wait=dozing)):
        await dozing.fell_asleep()
        await owe(services.database, 1, clock.now)
        await inbox.arrived(1)
        await dozing.fell_asleep()
        before = dozing.naps

        mail = {"kind": "mail.team_received", "payload": {}, "now": clock.now}
        await services.database.run(partial(outbox.add, **mail))
        await owe(services.database, 2, clock.now)
        await inbox.arrived(1, 2)
        await dozing.fell_asleep()

    assert dozing.naps == before + 1


async def test_behind_pgbouncer_nobody_listens_and_the_loop_polls(services, database_url, clock):
    database = Database(DatabaseOptions(url=database_url, pgbouncer=True))
    inbox, polled, waits = Inbox(), asyncio.Event(), []

    async def wait_for_the_poll(seconds, *_events):
        waits.append(seconds)
        await polled.wait()

    async with running(
        replace(services, database=database), inbox.handlers, RetryPolicy(wait=wait_for_the_poll)
    ) as stop:
        await wait_until(lambda: waits, "the loop waits")
        await owe(services.database, 26, clock())
        assert await listeners(database_url) == 0
        assert (waits, inbox.numbers) == ([30], [])
        polled.set()
        await inbox.arrived(26)
        stop.set()


async def test_stopped_loop_leaves_no_connection(services, database_url):
    doze = Dozing()

    async with running(services, Inbox().handlers, RetryPolicy(wait=doze)):
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
    doze = Dozing()

    async with asyncio.timeout(60), running(services, Inbox().handlers, RetryPolicy(wait=doze)):
        await doze.fell_asleep()


async def test_database_that_is_away_is_asked_less_and_less_often(proxy, proxied, services, clock):
    inbox = Inbox()
    await owe(services.database, 26, clock())

    async def come_back_and_go_again(number):
        proxy.connect_response = None if number in (7, 8) else STARTING_UP
        proxy.close_connections()

    proxy.connect_response = STARTING_UP
    waits = Waits(clock, last=10, then=come_back_and_go_again)
    with capture_logs() as logs:
        await loop(proxied, inbox.handlers, waits)

    assert waits.seconds == [1, 2, 4, 8, 16, 30, 30, 30, 30, 1]
    assert inbox.numbers == [26]
    failures = [entry for entry in logs if entry["event"] == "background_task_failed"]
    assert [(entry["log_level"], entry["error"]) for entry in failures] == [
        ("warning", "ServiceUnavailable")
    ] * 2
    assert sum(entry["event"] == "background_task_recovered" for entry in logs) == 1


async def test_loop_outlasts_what_nobody_thought_of(services, clock, sql):
    inbox = Inbox()
    await owe(services.database, 26, clock())
    await sql.execute("ALTER TABLE outbox_message RENAME TO gone")

    async def come_back(number):
        if number == 2:
            await sql.execute("ALTER TABLE gone RENAME TO outbox_message")

    with capture_logs() as logs:
        await loop(services, inbox.handlers, Waits(clock, last=3, then=come_back))

    assert inbox.numbers == [26]
    failures = [entry for entry in logs if entry["event"] == "background_task_failed"]
    assert [(entry["log_level"], entry["task"], entry["error"]) for entry in failures] == [
        ("error", "outbox", "ProgrammingError")
    ]
    assert sum(entry["event"] == "background_task_recovered" for entry in logs) == 1


async def test_delivery_that_cannot_be_written_down_is_made_again(proxy, proxied, sql, clock):
    inbox = Inbox()

    async def deliver_and_lose_the_database(services, message):
        await inbox.handle(services, message)
        proxy.connect_response = STARTING_UP
        proxy.close_connections()

    await owe(proxied.database, 26, clock())
    with capture_logs() as logs, pytest.raises(ServiceUnavailable):
        await deliver_due(proxied, {KIND: deliver_and_lose_the_database})
    proxy.connect_response = None
    before_the_lease_ends = await deliver_due(proxied, inbox.handlers)
    clock.advance(seconds=120)

    assert [entry["event"] for entry in logs].count("outbox_message_not_settled") == 1
    assert before_the_lease_ends == 0
    assert await deliver_due(proxied, inbox.handlers) == 1
    assert inbox.numbers == [26, 26]


async def test_loop_goes_on_when_the_server_was_stopped_and_started(services, tmp_path):
    inbox, doze = Inbox(), Dozing()
    version = os.environ.get("TEST_POSTGRES_VERSION", "18")
    with EmbeddedPostgres(tmp_path / "own", version=version) as postgres:
        url = postgres.connected_url("icct26")
        await asyncio.to_thread(migrate.upgrade, url)
        database = Database(DatabaseOptions(url=url))
        async with running(
            replace(services, database=database), inbox.handlers, RetryPolicy(wait=doze)
        ):
            await owe(database, 1, services.clock())
            await inbox.arrived(1)

            os.kill(postgres.postmaster_pid, signal.SIGINT)
            await wait_until(lambda: is_away(url), "the server is away")
            await asyncio.to_thread(postgres.start)
            await owe(database, 2, services.clock())

            await inbox.arrived(1, 2)
        await database.close()


async def test_wait_ends_with_its_time():
    await wait_for_any(0.001, asyncio.Event(), asyncio.Event())


async def test_failure_is_repeated_on_the_real_clock_without_being_woken(services):
    inbox, failed = Inbox(), asyncio.Event()
    policy = RetryPolicy(first_wait=timedelta(milliseconds=50))

    async def fail_once(its_services, message):
        if not failed.is_set():
            failed.set()
            raise StorageUnavailable(retry_after_seconds=0)
        await inbox.handle(its_services, message)

    real = replace(services, clock=lambda: datetime.now(UTC))
    async with running(real, {KIND: fail_once}, policy):
        await owe(services.database, 26, real.clock())
        await inbox.arrived(26)


async def listeners(url):
    connection = await asyncpg.connect(dsn(url))
    try:
        return await connection.fetchval(
            LISTENERS, await connection.fetchval("SELECT current_database()")
        )
    finally:
        await connection.close()


async def is_away(url):
    try:
        await (await asyncpg.connect(dsn(url))).close()
    except (OSError, asyncpg.PostgresError):
        return True
    return False
