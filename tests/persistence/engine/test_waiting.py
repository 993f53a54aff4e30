"""Waiting for locks and for connections is bounded, and is not repeated."""

import asyncio
from time import monotonic

import pytest
from sqlalchemy import text

from domain.errors.exceptions import ServiceUnavailable
from persistence.engine.errors import NoFreeConnection, sqlstate
from persistence.fast.statement_pool import CompiledStatement

LOCK_SECONDS = 1.0
# What PostgreSQL may take beyond the lock timeout, and a loaded machine.
ROOM_SECONDS = 2.0
HOLD = "SELECT id FROM tournament FOR UPDATE"
# As a registration does: first a row that some need, then the one that all need.
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


def nothing(_error):
    return None


async def update(database, lock=0):
    began = monotonic()
    try:
        await database.write(UPDATE, {"lock": lock}, repeatable=True, map_error=nothing)
    except ServiceUnavailable as error:
        return monotonic() - began, error
    return monotonic() - began, None


async def taken(sql):
    return await sql.fetchval("SELECT taken FROM tournament")


async def test_many_who_wait_for_one_row_wait_for_the_lock_timeout_in_all(open_database, sql):
    """Some wait for the lock, others for a connection, or for both one after the other."""
    database = open_database(lock_timeout_seconds=LOCK_SECONDS)
    async with sql.transaction():
        await sql.execute(HOLD)
        waiting = []
        for number in range(30):
            waiting.append(asyncio.create_task(update(database, lock=number % 3)))
            await asyncio.sleep(0.05)
        answers = await asyncio.gather(*waiting)

    errors = [error for _, error in answers]
    assert all(isinstance(error, ServiceUnavailable) for error in errors)
    assert max(seconds for seconds, _ in answers) < LOCK_SECONDS + ROOM_SECONDS
    causes = {sqlstate(error.__cause__) or type(error.__cause__) for error in errors}
    assert "55P03" in causes
    assert causes <= {"55P03", "57014", NoFreeConnection}
    assert all(error.retry_after_seconds in {1, 2} for error in errors)
    assert await taken(sql) == 0

    # The row is free: all is well at once, with the whole of the time to wait.
    assert (await update(database))[1] is None
    settings = await database.write(TIMEOUTS, {}, repeatable=True, map_error=nothing)
    assert dict(settings[0].items()) == {"lock": "1s", "statement": "1500ms"}
    assert await taken(sql) == 1


async def test_locks_one_after_the_other_are_waited_for_together(open_database, sql, database_url):
    database = open_database(lock_timeout_seconds=LOCK_SECONDS)
    async with sql.transaction():
        await sql.execute(HOLD)
        first = asyncio.create_task(update(database, lock=7))
        await asyncio.sleep(LOCK_SECONDS / 2)
        second = asyncio.create_task(update(database, lock=7))
        answers = await asyncio.gather(first, second)

    assert [type(error) for _, error in answers] == [ServiceUnavailable] * 2
    assert max(seconds for seconds, _ in answers) < LOCK_SECONDS + ROOM_SECONDS
    assert await taken(sql) == 0


@pytest.mark.parametrize("options", [{"pgbouncer": True}, {"pool_size": 1, "max_overflow": 0}])
async def test_without_connections_of_their_own_writes_wait_no_longer(open_database, sql, options):
    database = open_database(lock_timeout_seconds=LOCK_SECONDS, **options)
    async with sql.transaction():
        await sql.execute(HOLD)
        answers = await asyncio.gather(*(update(database) for _ in range(5)))

    assert [type(error) for _, error in answers] == [ServiceUnavailable] * 5
    assert await taken(sql) == 0
    assert (await update(database))[1] is None


async def test_wait_for_a_free_connection_is_not_repeated(open_database, sql):
    database = open_database(pool_size=3, max_overflow=0, pool_timeout_seconds=0.2)
    async with sql.transaction():
        await sql.execute(HOLD)
        holding = asyncio.create_task(update(database))
        await asyncio.sleep(0.05)
        began = monotonic()
        _, busy = await update(database)
        waited = monotonic() - began

    assert isinstance(busy.__cause__, NoFreeConnection)
    assert busy.retry_after_seconds == 1
    assert 0.2 <= waited < 0.2 + ROOM_SECONDS
    assert (await holding)[1] is None
    assert await taken(sql) == 1


async def test_attempts_end_with_the_time_to_wait(open_database, sql):
    """A server that is slow to fail is not asked three times."""
    database = open_database(lock_timeout_seconds=0.2, connect_timeout_seconds=0.3)
    calls = []

    async def work(connection):
        calls.append(None)
        await connection.execute(text("SELECT pg_sleep(0.4)"))
        await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(ServiceUnavailable):
        await database.run(work)

    assert len(calls) == 1
