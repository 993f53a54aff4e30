"""Notifications arrive although connections are lost."""

import asyncio
import os
import signal

import pytest
from structlog.testing import capture_logs

from persistence.engine.engine import DatabaseOptions
from persistence.engine.notifications import MAX_RECONNECT_SECONDS, MIN_RECONNECT_SECONDS, listen
from resilience.background_tasks import BackgroundTask
from tests.persistence.engine.test_database_sessions import until
from tests.postgres_proxy import STARTING_UP

# Every session of the test's database but the one of the fixture `sql`.
LISTENERS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ '^(LISTEN|SELECT 1)'
"""


class Listener:
    """Listens on `outbox`; counts notifications and records the waits before reconnects."""

    def __init__(self, url, *, check_interval_seconds=60.0, **options):
        self.notifications = 0
        self.waits = []
        self.state = BackgroundTask("outboxNotices")
        self.task = asyncio.create_task(
            listen(
                DatabaseOptions(url=url, **options),
                "outbox",
                self._count,
                task=self.state,
                check_interval_seconds=check_interval_seconds,
                sleep=self._wait,
            )
        )

    def _count(self, _payload):
        self.notifications += 1

    async def _wait(self, seconds):
        self.waits.append(seconds)
        await asyncio.sleep(0)

    async def wait_for(self, count):
        await self.wait_for_at_least(count)
        assert self.notifications == count

    async def wait_for_at_least(self, count):
        async def enough():
            return self.notifications >= count

        await until(enough)


@pytest.fixture
async def listen_at():
    """A function that starts a Listener for a URL."""
    listeners = []

    def start(url, **arguments):
        listeners.append(Listener(url, **arguments))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listener.task


async def test_every_notification_of_the_channel_arrives(database_url, sql, listen_at):
    listener = listen_at(database_url)
    await listener.wait_for(1)

    await sql.execute("NOTIFY elsewhere")
    await sql.execute("NOTIFY outbox")
    await listener.wait_for(2)
    await sql.execute("NOTIFY outbox")

    await listener.wait_for(3)
    assert listener.waits == []


async def test_message_causes_a_notification_when_its_transaction_commits(
    database_url, sql, listen_at
):
    listener = listen_at(database_url)
    await listener.wait_for(1)

    async with sql.transaction():
        await sql.execute(
            "INSERT INTO outbox_message (id, kind, payload, created_at, due_at)"
            " SELECT gen_random_uuid(), 'file.move', '{}', now(), now() FROM generate_series(1, 9)"
        )
        await sql.execute("SELECT pg_sleep(0)")
        assert listener.notifications == 1

    await listener.wait_for(2)


async def test_connection_ended_by_the_server_is_replaced(database_url, sql, listen_at):
    listener = listen_at(database_url)
    await listener.wait_for(1)
    first = await sql.fetchval(LISTENERS)

    with capture_logs() as logs:
        await sql.execute("SELECT pg_terminate_backend($1)", first)
        await listener.wait_for(2)

    assert await sql.fetchval(LISTENERS) != first
    assert listener.waits == [MIN_RECONNECT_SECONDS]
    assert [(entry["event"], entry["log_level"], entry["task"]) for entry in logs] == [
        ("background_task_failed", "warning", "outboxNotices"),
        ("background_task_recovered", "info", "outboxNotices"),
    ]
    await sql.execute("NOTIFY outbox")
    await listener.wait_for(3)


async def test_reconnect_intervals_grow_while_the_server_is_away(proxy, sql, listen_at):
    listener = listen_at(proxy.url)
    await listener.wait_for(1)

    async def refused_often():
        return proxy.refused_connections >= 12

    proxy.connect_response = STARTING_UP
    proxy.close_connections()
    with capture_logs() as logs:
        await until(refused_often)
    assert listener.state.failure == "ServiceUnavailable"
    assert [entry["event"] for entry in logs] == ["background_task_failed"]
    proxy.connect_response = None
    await listener.wait_for(2)
    assert listener.state.is_healthy
    refused, waits = proxy.refused_connections, list(listener.waits)
    proxy.close_connections()
    await listener.wait_for(3)

    assert waits[:10] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30]
    assert set(waits[10:]) == {MAX_RECONNECT_SECONDS}
    assert len(waits) == refused + 1
    assert listener.waits == [*waits, MIN_RECONNECT_SECONDS]


async def test_connection_that_stops_answering_is_replaced(database_url, sql, listen_at):
    listener = listen_at(database_url, check_interval_seconds=0.02, connect_timeout_seconds=0.5)
    await listener.wait_for(1)
    silent = await sql.fetchval(LISTENERS)

    os.kill(silent, signal.SIGSTOP)
    try:
        await listener.wait_for_at_least(2)
    finally:
        os.kill(silent, signal.SIGCONT)

    count = listener.notifications
    await sql.execute("NOTIFY outbox")
    await listener.wait_for_at_least(count + 1)


async def test_connection_that_answers_is_kept(database_url, sql, listen_at):
    listener = listen_at(database_url, check_interval_seconds=0.001)
    await listener.wait_for(1)
    pid = await sql.fetchval(LISTENERS)

    for _ in range(3):
        await wait_for_check(sql, pid)

    assert await sql.fetch(LISTENERS) == [(pid,)]
    assert (listener.notifications, listener.waits) == (1, [])


async def test_cancelling_closes_the_connection(database_url, sql):
    listener = Listener(database_url)
    await listener.wait_for(1)
    assert len(await sql.fetch(LISTENERS)) == 1

    listener.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listener.task

    async def nobody_listens():
        return not await sql.fetch(LISTENERS)

    await until(nobody_listens)


async def wait_for_check(sql, pid):
    """Wait until the connection of the server process `pid` is checked again."""
    now = await sql.fetchval("SELECT clock_timestamp()")

    async def is_checked():
        return await sql.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND query_start > $2", pid, now
        )

    await until(is_checked)
