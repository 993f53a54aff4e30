"""Waits for locks and connections are bounded together and not repeated."""

import asyncio
from time import monotonic

import pytest
from sqlalchemy import text

from domain.errors.exceptions import ServiceUnavailable
from persistence.engine.errors import NoFreeConnection, sqlstate
from persistence.fast.statement_pool import CompiledStatement

LOCK_SECONDS = 1.0
# Allowance for PostgreSQL beyond the lock timeout, and for a loaded machine.
MARGIN_SECONDS = 2.0
HOLD = "SELECT id FROM tournament FOR UPDATE"
# Locks in the order of a registration: first one that some share, then one that all share.
UPDATE = CompiledStatement(
    text("""
    WITH first AS (
        SELECT pg_advisory_xact_lock(:lock) AS locked
    )
    UPDATE tournament SET taken = taken + 1 FROM first WHERE locked IS NOT NULL
    RETURNING taken
""")
)
PID = CompiledStatement(text("SELECT pg_backend_pid() AS pid"))
TIMEOUTS = CompiledStatement(
    text("""
    SELECT current_setting('lock_timeout') AS lock,
        current_setting('statement_timeout') AS statement
""")
)


def no_mapping(_error):
    return None


async def update(database, lock=0):
    started_at = monotonic()
    try:
        await database.write(UPDATE, {"lock": lock}, repeatable=True, map_error=no_mapping)
    except ServiceUnavailable as error:
        return monotonic() - started_at, error
    return monotonic() - started_at, None


async def taken(sql):
    return await sql.fetchval("SELECT taken FROM tournament")


async def test_callers_for_one_row_wait_for_the_lock_timeout_in_all(open_database, sql):
    """Some wait for the lock, others for a connection, others for both in turn."""
    database = open_database(lock_timeout_seconds=LOCK_SECONDS)
    async with sql.transaction():
        await sql.execute(HOLD)
        tasks = []
        for number in range(30):
            tasks.append(asyncio.create_task(update(database, lock=number % 3)))
            await asyncio.sleep(0.05)
        results = await asyncio.gather(*tasks)

    errors = [error for _, error in results]
    assert all(isinstance(error, ServiceUnavailable) for error in errors)
    assert max(seconds for seconds, _ in results) < LOCK_SECONDS + MARGIN_SECONDS
    causes = {sqlstate(error.__cause__) or type(error.__cause__) for error in errors}
    assert "55P03" in causes
    assert causes <= {"55P03", "57014", NoFreeConnection}
    assert all(error.retry_after_seconds in {1, 2} for error in errors)
    assert await taken(sql) == 0

    # Once the row is free, a caller succeeds at once and has the full timeouts.
    assert (await update(database))[1] is None
    settings = await database.write(TIMEOUTS, {}, repeatable=True, map_error=no_mapping)
    assert dict(settings[0].items()) == {"lock": "1s", "statement": "1500ms"}
    assert await taken(sql) == 1


async def test_waits_for_successive_locks_share_one_timeout(open_database, sql, database_url):
    database = open_database(lock_timeout_seconds=LOCK_SECONDS)
    async with sql.transaction():
        await sql.execute(HOLD)
        first = asyncio.create_task(update(database, lock=7))
        await asyncio.sleep(LOCK_SECONDS / 2)
        second = asyncio.create_task(update(database, lock=7))
        results = await asyncio.gather(first, second)

    assert [type(error) for _, error in results] == [ServiceUnavailable] * 2
    assert max(seconds for seconds, _ in results) < LOCK_SECONDS + MARGIN_SECONDS
    assert await taken(sql) == 0


@pytest.mark.parametrize("options", [{"pgbouncer": True}, {"pool_size": 1, "max_overflow": 0}])
async def test_writes_without_their_own_pool_have_the_same_timeout(open_database, sql, options):
    database = open_database(lock_timeout_seconds=LOCK_SECONDS, **options)
    async with sql.transaction():
        await sql.execute(HOLD)
        results = await asyncio.gather(*(update(database) for _ in range(5)))

    assert [type(error) for _, error in results] == [ServiceUnavailable] * 5
    assert await taken(sql) == 0
    assert (await update(database))[1] is None


async def test_wait_for_a_free_connection_is_not_repeated(open_database, sql):
    database = open_database(pool_size=3, max_overflow=0, pool_timeout_seconds=0.2)
    async with sql.transaction():
        await sql.execute(HOLD)
        holding = asyncio.create_task(update(database))
        await asyncio.sleep(0.05)
        started_at = monotonic()
        _, error = await update(database)
        waited = monotonic() - started_at

    assert isinstance(error.__cause__, NoFreeConnection)
    assert error.retry_after_seconds == 1
    assert 0.2 <= waited < 0.2 + MARGIN_SECONDS
    assert (await holding)[1] is None
    assert await taken(sql) == 1


async def test_slow_failure_is_not_retried_after_the_waiting_time(open_database, sql):
    database = open_database(lock_timeout_seconds=0.2, connect_timeout_seconds=0.3)
    calls = []

    async def work(uow):
        calls.append(None)
        await uow.session.exec(text("SELECT pg_sleep(0.4)"))
        await uow.session.exec(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(ServiceUnavailable):
        await database.run(work)

    assert len(calls) == 1
