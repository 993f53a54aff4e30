"""Rows by their keys: those who ask together are told by one statement, each what is theirs."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import Integer, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import bindparam

from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from persistence.fast.batching import MAX_BATCH_SIZE
from persistence.fast.statement_pool import CompiledStatement
from tests.statement_recorder import record_statements

# One row for each key but 1; for 0 it fails.
TENTHS = CompiledStatement(
    text(
        "SELECT asked AS key, 10 / asked AS found, pg_backend_pid() AS pid"
        " FROM unnest(:keys) AS asked WHERE asked <> 1"
    ).bindparams(bindparam("keys", type_=ARRAY(Integer)))
)


# The same, once the lock is free.
LOCKED = CompiledStatement(
    text(
        "SELECT asked AS key, 10 / asked AS found"
        " FROM pg_advisory_xact_lock(26), unnest(:keys) AS asked"
    ).bindparams(bindparam("keys", type_=ARRAY(Integer)))
)
WAITING = """
    SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND objid = 26 AND NOT granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def asked(database: Database, *keys: int) -> list[object]:
    answers = (database.find_by_key(TENTHS, key) for key in keys)
    rows = await asyncio.gather(*answers, return_exceptions=True)
    return [row if row is None or isinstance(row, Exception) else row["found"] for row in rows]


async def test_those_who_ask_together_are_told_by_one_statement(database):
    with record_statements() as seen:
        assert await asked(database, 2, 5, 1, 2) == [5, 2, None, 5]

    assert len(seen) == 1


async def test_who_asks_later_is_told_what_is_true_by_then(database):
    with record_statements() as seen:
        assert await asked(database, 2) == [5]
        assert await asked(database, 2) == [5]

    assert len(seen) == 2


async def test_a_statement_asks_for_so_many_at_most(database):
    with record_statements() as seen:
        assert await asked(database, *[2] * (MAX_BATCH_SIZE + 1)) == [5] * (MAX_BATCH_SIZE + 1)

    assert len(seen) == 2


async def test_a_failure_is_told_to_whom_it_concerns_alone(database):
    two, wrong, five = await asked(database, 2, 0, 5)

    assert (two, five) == (5, 2)
    assert isinstance(wrong, asyncpg.DivisionByZeroError)


async def test_who_goes_away_takes_nobody_along(database):
    tasks = [asyncio.create_task(database.find_by_key(TENTHS, key)) for key in (2, 5)]
    await asyncio.sleep(0)
    tasks[0].cancel()

    assert (await tasks[1])["found"] == 2
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]


async def test_who_goes_away_while_the_database_works_takes_nobody_along(database, sql):
    await sql.execute("SELECT pg_advisory_lock(26)")
    tasks = [asyncio.create_task(database.find_by_key(LOCKED, key)) for key in (2, 5, 10)]
    while await sql.fetchval(WAITING) != 1:
        pass
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    await sql.execute("SELECT pg_advisory_unlock(26)")

    assert [(await task)["found"] for task in tasks[1:]] == [2, 1]


async def test_all_are_told_after_a_connection_was_lost(database, sql):
    row = await database.find_by_key(TENTHS, 2)
    await sql.fetchval("SELECT pg_terminate_backend($1, 5000)", row["pid"])

    assert await asked(database, 2, 5) == [5, 2]


@pytest.mark.parametrize("changes", [{"pgbouncer": True}, {"pool_size": 1, "max_overflow": 0}])
async def test_without_connections_of_their_own_they_use_the_pool(database_url, changes):
    database = Database(DatabaseOptions(url=database_url, **changes))
    try:
        assert await asked(database, 2, 1) == [5, None]
    finally:
        await database.close()
