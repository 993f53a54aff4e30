"""Whoever asks for measures is not kept waiting by the database."""

import asyncio
from dataclasses import replace

import pytest

from persistence.database import Database
from persistence.options import DatabaseOptions
from resilience.metrics import MEASURED
from resolvers import measures

SOON = 0.05


@pytest.fixture
async def busy(services, database_url):
    """Services whose only connection is taken, by a unit of work that never ends."""
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


async def test_outbox_that_cannot_be_read_in_time_keeps_its_measure(services, busy, clock, sql):
    await sql.execute(
        "INSERT INTO outbox_message (id, kind, payload, created_at, due_at)"
        " VALUES (gen_random_uuid(), 'media.move', '{}', now(), $1)",
        clock.now,
    )
    clock.advance(seconds=60)
    await measures.take(services)

    await measures.take(busy, within_seconds=SOON)

    assert MEASURED.get_sample_value("outbox_late_seconds") == 60
    assert MEASURED.get_sample_value("database_connections", {"state": "in_use"}) == 1


async def test_reading_that_took_too_long_is_given_up(busy):
    before = asyncio.all_tasks()

    await measures.take(busy, within_seconds=SOON)

    given_up = asyncio.all_tasks() - before
    assert all(task.cancelling() for task in given_up)
