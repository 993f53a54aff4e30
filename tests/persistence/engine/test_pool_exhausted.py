"""More slow callers than connections: most are refused after one wait, and none disturbs others."""

import asyncio
from functools import partial

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from structlog.testing import capture_logs

from domain.errors.exceptions import ServiceUnavailable
from persistence.engine.database import POOL_EXHAUSTED_RETRY_SECONDS, PoolUsage
from persistence.engine.errors import NoFreeConnection
from persistence.fast.statement_pool import CompiledStatement
from tests.databases import dsn

CALLERS = 200
# Two connections for units of work, two for single reads and two for single writes.
POOL = {"pool_size": 6, "max_overflow": 0}
CONNECTIONS_EACH = 2
LOCK = 26
WAIT = text(f"SELECT CAST(pg_advisory_xact_lock_shared({LOCK}) AS text) AS locked")
WAIT_ONCE = CompiledStatement(WAIT)
ONE = CompiledStatement(text("SELECT 1 AS number"))
# Far beyond all waits: only a test that hangs gets there.
GUARD_SECONDS = 60


async def wait_in_work(uow):
    return (await uow.session.exec(WAIT)).scalar_one()


async def run(database):
    return await database.run(wait_in_work)


async def read(database):
    return await database.read(wait_in_work)


async def fetch(database):
    return (await database.fetch(WAIT_ONCE))[0]["locked"]


async def write(database):
    rows = await database.write(WAIT_ONCE, {}, repeatable=True, map_error=lambda _error: None)
    return rows[0]["locked"]


async def select_one(uow):
    return (await uow.session.exec(text("SELECT 1"))).scalar_one()


@pytest.fixture
async def holder(database_url):
    """A connection that holds the lock for which all slow statements wait."""
    connection = await asyncpg.connect(dsn(database_url))
    await connection.execute(f"SELECT pg_advisory_lock({LOCK})")
    yield connection
    await connection.close()


async def release(holder):
    await holder.execute(f"SELECT pg_advisory_unlock({LOCK})")


async def wait_until_refused(tasks, number):
    """Wait until only `number` tasks are left, which hold their connection."""
    pending = set(tasks)
    async with asyncio.timeout(GUARD_SECONDS):
        while len(pending) > number:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    return pending


@pytest.mark.parametrize(
    ("call", "cause"),
    [
        (run, PoolTimeoutError),
        (read, PoolTimeoutError),
        (fetch, NoFreeConnection),
        (write, NoFreeConnection),
    ],
)
async def test_callers_without_a_connection_are_refused_after_one_wait(
    open_database, holder, call, cause
):
    database = open_database(**POOL, pool_timeout_seconds=0.2, lock_timeout_seconds=GUARD_SECONDS)
    with capture_logs() as logs:
        tasks = [asyncio.create_task(call(database)) for _ in range(CALLERS)]
        working = await wait_until_refused(tasks, CONNECTIONS_EACH)
        refused = [task.exception() for task in tasks if task not in working]

        assert not any(task.done() for task in working)
        assert database.pool_usage() == PoolUsage(size=6, in_use=CONNECTIONS_EACH)
        await release(holder)
        assert await asyncio.gather(*working) == [""] * CONNECTIONS_EACH

    assert [type(error) for error in refused] == [ServiceUnavailable] * (CALLERS - CONNECTIONS_EACH)
    assert {type(error.__cause__) for error in refused} == {cause}
    assert {error.retry_after_seconds for error in refused} == {POOL_EXHAUSTED_RETRY_SECONDS}
    # None of the waits was repeated.
    assert [line["event"] for line in logs] == ["database_unavailable"] * len(refused)

    with capture_logs() as logs:
        assert await asyncio.gather(*(call(database) for _ in range(CONNECTIONS_EACH))) == ["", ""]
    assert logs == []
    assert database.pool_usage() == PoolUsage(size=6, in_use=0)


async def test_units_of_work_are_not_called_without_a_connection(open_database, holder):
    database = open_database(**POOL, pool_timeout_seconds=0.2, lock_timeout_seconds=GUARD_SECONDS)
    calls = []

    async def work(uow):
        calls.append(None)
        return await wait_in_work(uow)

    tasks = [asyncio.create_task(database.run(work)) for _ in range(CALLERS)]
    await wait_until_refused(tasks, CONNECTIONS_EACH)
    await release(holder)
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert results.count("") == CONNECTIONS_EACH
    assert len(calls) == CONNECTIONS_EACH


async def test_waiting_callers_get_the_connections_that_become_free(open_database, holder):
    """With enough time to wait, no caller is refused."""
    database = open_database(
        **POOL, pool_timeout_seconds=GUARD_SECONDS, lock_timeout_seconds=GUARD_SECONDS
    )
    all_started = asyncio.Event()
    calls = []

    async def work(number, uow):
        calls.append(number)
        if len(calls) == CONNECTIONS_EACH:
            all_started.set()
        await wait_in_work(uow)
        return number

    with capture_logs() as logs:
        tasks = [asyncio.create_task(database.run(partial(work, n))) for n in range(CALLERS)]
        await all_started.wait()
        await release(holder)
        async with asyncio.timeout(GUARD_SECONDS):
            assert await asyncio.gather(*tasks) == [*range(CALLERS)]

    assert sorted(calls) == [*range(CALLERS)]
    assert logs == []


async def test_exhausted_pool_does_not_keep_the_others_from_answering(open_database, holder):
    database = open_database(**POOL, lock_timeout_seconds=GUARD_SECONDS)
    async with asyncio.timeout(GUARD_SECONDS):
        slow = [asyncio.create_task(call(database)) for call in (run, run, write, write)]
        while database.pool_usage().in_use < len(slow):
            await asyncio.sleep(0)

        assert (await database.fetch(ONE))[0]["number"] == 1
        assert await database.ping() > 0
        slow += [asyncio.create_task(fetch(database)) for _ in range(CONNECTIONS_EACH)]
        while database.pool_usage().in_use < len(slow):
            await asyncio.sleep(0)
        assert await database.ping() > 0

        assert not any(task.done() for task in slow)
        await release(holder)
        await asyncio.gather(*slow)
        assert await database.run(select_one) == 1
