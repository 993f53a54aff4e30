"""Concurrent look-ups by key share a statement, and each gets its own row or error."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import Integer, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import bindparam

from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from persistence.engine.errors import NoFreeConnection
from persistence.fast.batching import MAX_BATCH_SIZE, RowBatcher
from persistence.fast.statement_pool import CompiledStatement
from tests.statement_recorder import record_statements

# A row for each key but 1; fails for 0.
TENTHS = CompiledStatement(
    text(
        "SELECT requested AS key, 10 / requested AS quotient, pg_backend_pid() AS pid"
        " FROM unnest(:keys) AS requested WHERE requested <> 1"
    ).bindparams(bindparam("keys", type_=ARRAY(Integer)))
)


# The same rows, once an advisory lock is free.
LOCKED = CompiledStatement(
    text(
        "SELECT requested AS key, 10 / requested AS quotient"
        " FROM pg_advisory_xact_lock(26), unnest(:keys) AS requested"
    ).bindparams(bindparam("keys", type_=ARRAY(Integer)))
)
WAITING = """
    SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND objid = 26 AND NOT granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def find_all(database: Database, *keys: int) -> list[object]:
    lookups = (database.find_by_key(TENTHS, key) for key in keys)
    rows = await asyncio.gather(*lookups, return_exceptions=True)
    return [row if row is None or isinstance(row, Exception) else row["quotient"] for row in rows]


async def test_concurrent_lookups_share_one_statement(database):
    with record_statements() as statements:
        assert await find_all(database, 2, 5, 1, 2) == [5, 2, None, 5]

    assert len(statements) == 1


async def test_later_lookup_reads_again(database):
    with record_statements() as statements:
        assert await find_all(database, 2) == [5]
        assert await find_all(database, 2) == [5]

    assert len(statements) == 2


async def test_statement_has_a_limited_number_of_keys(database):
    with record_statements() as statements:
        assert await find_all(database, *[2] * (MAX_BATCH_SIZE + 1)) == [5] * (MAX_BATCH_SIZE + 1)

    assert len(statements) == 2


async def test_error_is_raised_only_for_the_key_that_causes_it(database):
    two, wrong, five = await find_all(database, 2, 0, 5)

    assert (two, five) == (5, 2)
    assert isinstance(wrong, asyncpg.DivisionByZeroError)


async def test_callers_of_an_exhausted_pool_wait_once():
    calls = []

    async def find_no_connection(_statement, values):
        calls.append(values["keys"])
        raise NoFreeConnection

    batcher = RowBatcher(find_no_connection)
    found = await asyncio.gather(
        *(batcher.find(TENTHS, key) for key in (2, 5)), return_exceptions=True
    )

    assert [type(error) for error in found] == [NoFreeConnection] * 2
    assert calls == [[2, 5]]


async def test_cancelled_lookup_does_not_affect_others(database):
    tasks = [asyncio.create_task(database.find_by_key(TENTHS, key)) for key in (2, 5)]
    await asyncio.sleep(0)
    tasks[0].cancel()

    assert (await tasks[1])["quotient"] == 2
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]


async def test_lookup_cancelled_during_the_statement_does_not_affect_others(database, sql):
    await sql.execute("SELECT pg_advisory_lock(26)")
    tasks = [asyncio.create_task(database.find_by_key(LOCKED, key)) for key in (2, 5, 10)]
    while await sql.fetchval(WAITING) != 1:
        pass
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    await sql.execute("SELECT pg_advisory_unlock(26)")

    assert [(await task)["quotient"] for task in tasks[1:]] == [2, 1]


async def test_lookups_are_retried_after_a_lost_connection(database, sql):
    row = await database.find_by_key(TENTHS, 2)
    await sql.fetchval("SELECT pg_terminate_backend($1, 5000)", row["pid"])

    assert await find_all(database, 2, 5) == [5, 2]


@pytest.mark.parametrize("changes", [{"pgbouncer": True}, {"pool_size": 1, "max_overflow": 0}])
async def test_lookups_without_a_read_pool_use_the_engine(database_url, changes):
    database = Database(DatabaseOptions(url=database_url, **changes))
    try:
        assert await find_all(database, 2, 1) == [5, None]
    finally:
        await database.close()
