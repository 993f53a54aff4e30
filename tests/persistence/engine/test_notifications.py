"""Notices that reach us although connections are lost."""

import asyncio
import os
import signal

import pytest
from structlog.testing import capture_logs

from persistence.engine.engine import DatabaseOptions
from resilience.background_tasks import BackgroundTask
from persistence.engine.notifications import MAX_RECONNECT_SECONDS, MIN_RECONNECT_SECONDS, listen
from tests.persistence.engine.test_database_sessions import until
from tests.postgres_proxy import STARTING_UP

# No other process of these tests has a connection besides that of the fixture `sql`.
LISTENERS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ '^(LISTEN|SELECT 1)'
"""


class Ear:
    """Listens on `outbox`, counts what it is told and how long it would have waited."""

    def __init__(self, url, *, check_interval_seconds=60.0, **options):
        self.notices = 0
        self.waits = []
        self.state = BackgroundTask("outboxNotices")
        self.task = asyncio.create_task(
            listen(
                DatabaseOptions(url=url, **options),
                "outbox",
                self._hear,
                task=self.state,
                check_interval_seconds=check_interval_seconds,
                sleep=self._wait,
            )
        )

    def _hear(self, _kind):
        self.notices += 1

    async def _wait(self, seconds):
        self.waits.append(seconds)
        await asyncio.sleep(0)

    async def heard(self, notices):
        await self.heard_at_least(notices)
        assert self.notices == notices

    async def heard_at_least(self, notices):
        async def enough():
            return self.notices >= notices

        await until(enough)


@pytest.fixture
async def ear():
    """A function that begins to listen at a URL."""
    ears = []

    def listen_at(url, **arguments):
        ears.append(Ear(url, **arguments))
        return ears[-1]

    yield listen_at
    for ear in ears:
        ear.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ear.task


async def test_every_notice_of_the_channel_is_heard(database_url, sql, ear):
    listening = ear(database_url)
    await listening.heard(1)

    await sql.execute("NOTIFY elsewhere")
    await sql.execute("NOTIFY outbox")
    await listening.heard(2)
    await sql.execute("NOTIFY outbox")

    await listening.heard(3)
    assert listening.waits == []


async def test_message_is_a_notice_when_its_transaction_commits(database_url, sql, ear):
    listening = ear(database_url)
    await listening.heard(1)

    async with sql.transaction():
        await sql.execute(
            "INSERT INTO outbox_message (id, kind, payload, created_at, due_at)"
            " SELECT gen_random_uuid(), 'file.move', '{}', now(), now() FROM generate_series(1, 9)"
        )
        await sql.execute("SELECT pg_sleep(0)")
        assert listening.notices == 1

    await listening.heard(2)


async def test_connection_that_the_server_ended_is_made_anew(database_url, sql, ear):
    listening = ear(database_url)
    await listening.heard(1)
    first = await sql.fetchval(LISTENERS)

    with capture_logs() as logs:
        await sql.execute("SELECT pg_terminate_backend($1)", first)
        await listening.heard(2)

    assert await sql.fetchval(LISTENERS) != first
    assert listening.waits == [MIN_RECONNECT_SECONDS]
    assert [(entry["event"], entry["log_level"], entry["task"]) for entry in logs] == [
        ("background_task_failed", "warning", "outboxNotices"),
        ("background_task_recovered", "info", "outboxNotices"),
    ]
    await sql.execute("NOTIFY outbox")
    await listening.heard(3)


async def test_server_that_stays_away_is_tried_at_longer_and_longer_intervals(proxy, sql, ear):
    listening = ear(proxy.url)
    await listening.heard(1)

    async def refused_often():
        return proxy.refused_connections >= 12

    proxy.connect_response = STARTING_UP
    proxy.close_connections()
    with capture_logs() as logs:
        await until(refused_often)
    assert listening.state.failure == "ServiceUnavailable"
    assert [entry["event"] for entry in logs] == ["background_task_failed"]
    proxy.connect_response = None
    await listening.heard(2)
    assert listening.state.is_healthy
    refused, waits = proxy.refused_connections, list(listening.waits)
    proxy.close_connections()
    await listening.heard(3)

    assert waits[:10] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30]
    assert set(waits[10:]) == {MAX_RECONNECT_SECONDS}
    assert len(waits) == refused + 1
    assert listening.waits == [*waits, MIN_RECONNECT_SECONDS]


async def test_connection_that_answers_no_more_is_given_up(database_url, sql, ear):
    listening = ear(database_url, check_interval_seconds=0.02, connect_timeout_seconds=0.5)
    await listening.heard(1)
    silent = await sql.fetchval(LISTENERS)

    os.kill(silent, signal.SIGSTOP)
    try:
        await listening.heard_at_least(2)
    finally:
        os.kill(silent, signal.SIGCONT)

    heard = listening.notices
    await sql.execute("NOTIFY outbox")
    await listening.heard_at_least(heard + 1)


async def test_connection_that_answers_is_kept(database_url, sql, ear):
    listening = ear(database_url, check_interval_seconds=0.001)
    await listening.heard(1)
    pid = await sql.fetchval(LISTENERS)

    for _ in range(3):
        await checked(sql, pid)

    assert await sql.fetch(LISTENERS) == [(pid,)]
    assert (listening.notices, listening.waits) == (1, [])


async def test_end_of_listening_closes_the_connection(database_url, sql):
    listening = Ear(database_url)
    await listening.heard(1)
    assert len(await sql.fetch(LISTENERS)) == 1

    listening.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening.task

    async def nobody_listens():
        return not await sql.fetch(LISTENERS)

    await until(nobody_listens)


async def checked(sql, pid):
    """Returns when the connection `pid` was asked after this moment."""
    now = await sql.fetchval("SELECT clock_timestamp()")

    async def asked():
        return await sql.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND query_start > $2", pid, now
        )

    await until(asked)
