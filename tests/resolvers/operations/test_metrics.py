"""Metrics collection with slow databases and late messages."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from domain.errors.exceptions import MailUnavailable, StorageUnavailable
from observability.metrics import SCRAPE_TIME_REGISTRY
from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from resolvers.operations import metrics
from resolvers.operations.outbox import deliver_due

SOON = 0.05


@pytest.fixture
async def busy(services, database_url):
    """Services whose only connection is taken by a transaction that never ends."""
    options = DatabaseOptions(
        url=database_url, pool_size=1, max_overflow=0, pool_timeout_seconds=3_600
    )
    database = Database(options)
    taken = asyncio.Event()

    async def hold(_connection):
        taken.set()
        await asyncio.Event().wait()

    holding = asyncio.create_task(database.run(hold))
    await taken.wait()
    yield replace(services, database=database)
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    await database.close()


async def test_outbox_gauges_keep_their_values_if_the_database_is_busy(services, busy, clock, sql):
    await sql.execute(
        "INSERT INTO outbox_message (id, kind, payload, created_at, due_at)"
        " VALUES (gen_random_uuid(), 'media.move', '{}', now(), $1)",
        clock.now,
    )
    clock.advance(seconds=60)
    await metrics.collect(services)

    await metrics.collect(busy, timeout_seconds=SOON)

    assert SCRAPE_TIME_REGISTRY.get_sample_value("outbox_late_seconds") == 60
    assert SCRAPE_TIME_REGISTRY.get_sample_value("database_connections", {"state": "in_use"}) == 1


async def enqueue(services, kind: str = "media.move", *, due_in: float = 0) -> None:
    now = services.clock()
    due_at = now + timedelta(seconds=due_in)

    def add(uow):
        return uow.outbox.add(kind=kind, payload={}, now=now, due_at=due_at)

    await services.database.run(add)


async def lateness(services) -> float:
    await metrics.collect(services)
    return SCRAPE_TIME_REGISTRY.get_sample_value("outbox_late_seconds")


@pytest.mark.parametrize("kind", ["media.move", "media.delete"])
@pytest.mark.parametrize(
    "error",
    [StorageUnavailable(), StorageUnavailable(retry_after_seconds=3_000), MailUnavailable()],
)
async def test_lateness_of_a_failing_message_counts_from_its_creation(services, clock, kind, error):
    async def fail(_services, _message):
        raise error

    began = clock.now
    await enqueue(services, kind)
    for _ in range(6):
        clock.advance(seconds=3_600)
        assert await deliver_due(services, dict.fromkeys(metrics.HANDLERS, fail)) == 1
        assert await lateness(services) == (clock.now - began).total_seconds()


async def test_message_is_late_only_between_due_and_done(services, clock, sql):
    await enqueue(services, due_in=60)
    await enqueue(services, "mail.confirmed")
    early = await lateness(services)
    clock.advance(seconds=90)
    late = await lateness(services)

    def claim(uow):
        return uow.outbox.lease(
            kinds=["media.move"], now=clock.now, duration=timedelta(seconds=120), limit=9
        )

    (message,) = await services.database.run(claim)
    claimed = await lateness(services)
    await services.database.run(
        lambda uow: uow.outbox.dead_letter(message=message, failure="X", now=clock.now)
    )

    assert (early, late, claimed, await lateness(services)) == (0, 30, 90, 0)


async def test_lateness_is_that_of_the_oldest_message(services, clock, sql):
    for seconds in (100, 50, 25):
        await enqueue(services)
        clock.advance(seconds=seconds)
    await sql.execute("UPDATE outbox_message SET attempts = 1, due_at = due_at + interval '1 day'")

    assert await lateness(services) == 175


async def test_slow_read_is_cancelled(busy):
    before = asyncio.all_tasks()

    await metrics.collect(busy, timeout_seconds=SOON)

    given_up = asyncio.all_tasks() - before
    assert all(task.cancelling() for task in given_up)
