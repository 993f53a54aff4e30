"""Single statements on asyncpg connections, and connections after errors."""

import asyncio
from contextlib import suppress
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import bindparam, func, select, text

from domain.errors.exceptions import ServiceUnavailable
from persistence.engine.connection_pool import ConnectionPool, PoolInvalidator, PoolOptions
from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from persistence.engine.errors import NoFreeConnection
from persistence.engine.watchdog import Watchdog
from persistence.fast.statement_pool import CompiledStatement, StatementPool
from persistence.models import team

SETTINGS = {"application_name": "pool-test", "lock_timeout": "5000"}
PID = CompiledStatement(text("SELECT pg_backend_pid() AS pid"))
SLEEP = CompiledStatement(text("SELECT pg_sleep(30)"))
BROKEN = CompiledStatement(text("SELECT 1 / CAST(:by AS integer) AS found"))


@pytest.fixture
async def pool(database_url):
    statement_pool = create_pool(database_url, size=2)
    yield statement_pool
    statement_pool.close()


def create_pool(url: str, *, size: int, wait_seconds: float = 5) -> StatementPool:
    options = PoolOptions(
        url=url,
        size=size,
        connect_timeout_seconds=5,
        wait_seconds=wait_seconds,
        recycle_seconds=3600,
        server_settings=SETTINGS,
    )
    watchdog = Watchdog(url, statement_timeout_seconds=30)
    return StatementPool(ConnectionPool(options, invalidator=PoolInvalidator(), watchdog=watchdog))


async def pid(pool: StatementPool) -> int:
    return (await pool.fetch(PID, {}))[0]["pid"]


async def wait_for_sleepers(sql, count: int = 1) -> None:
    """Wait until so many sessions are sleeping."""
    while (
        await sql.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'pool-test' AND wait_event = 'PgSleep'"
        )
        < count
    ):
        await asyncio.sleep(0.01)


def test_arguments_are_in_the_order_of_the_placeholders():
    statement = CompiledStatement(
        select(func.count())
        .select_from(team)
        .where(team.c.code == bindparam("code"), team.c.version == 3, team.c.id == bindparam("id"))
    )
    team_id = UUID(int=1)

    assert statement.text.count("$") == 3
    assert statement.arguments({"id": team_id, "code": "ICCT-001"}) == ["ICCT-001", 3, team_id]


async def test_idle_connection_is_reused(pool):
    assert len({await pid(pool) for _ in range(5)}) == 1
    assert pool.in_use == 0


async def test_failed_statement_keeps_its_connection(pool):
    before = await pid(pool)

    with pytest.raises(asyncpg.DivisionByZeroError):
        await pool.fetch(BROKEN, {"by": 0})

    assert await pid(pool) == before


async def test_terminated_connection_is_replaced(pool, sql):
    before = await pid(pool)
    await sql.fetchval("SELECT pg_terminate_backend($1, 5000)", before)

    # The pool may not have noticed the end yet.
    with suppress(ConnectionError, asyncpg.PostgresError):
        await pool.fetch(PID, {})

    assert await pid(pool) != before
    assert pool.in_use == 0


async def test_connection_of_a_cancelled_statement_is_not_reused(pool, sql):
    before = await pid(pool)
    reading = asyncio.create_task(pool.fetch(SLEEP, {}))
    await wait_for_sleepers(sql)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert await pid(pool) != before
    assert pool.in_use == 0


async def test_argument_of_the_wrong_type_keeps_the_connection(pool):
    before = await pid(pool)

    with pytest.raises(asyncpg.DataError, match="invalid input for query argument"):
        await pool.fetch(BROKEN, {"by": "a text"})

    assert await pid(pool) == before
    assert pool.in_use == 0


async def test_statement_waits_no_longer_than_the_limit_for_a_connection(database_url, sql):
    pool = create_pool(database_url, size=2, wait_seconds=0.05)
    busy = [asyncio.create_task(pool.fetch(SLEEP, {})) for _ in range(2)]
    await wait_for_sleepers(sql, 2)

    with pytest.raises(NoFreeConnection):
        await pool.fetch(PID, {})

    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    assert await pid(pool) > 0
    pool.close()


async def test_waiting_statements_share_the_connections(pool):
    assert len({await call for call in [pid(pool) for _ in range(20)]}) <= 2
    assert len(set(await asyncio.gather(*(pid(pool) for _ in range(20))))) <= 2


async def test_reads_are_retried_after_a_lost_connection(database_url, sql):
    options = DatabaseOptions(url=database_url, pool_size=4, max_overflow=0)
    database = Database(options)
    try:
        (first,) = await database.fetch(PID)
        await sql.fetchval("SELECT pg_terminate_backend($1, 5000)", first["pid"])

        (second,) = await database.fetch(PID)

        assert second["pid"] != first["pid"]
        assert database.pool_usage().size == 4
        assert database.pool_usage().in_use == 0
    finally:
        await database.close()


async def test_unreachable_database_is_unavailable():
    url = "postgresql+asyncpg://postgres@127.0.0.1:1/nowhere"
    database = Database(DatabaseOptions(url=url, pool_size=4, attempts=2))

    with pytest.raises(ServiceUnavailable):
        await database.fetch(PID)

    await database.close()


@pytest.mark.parametrize("changes", [{"pgbouncer": True}, {"pool_size": 1, "max_overflow": 0}])
async def test_reads_without_a_read_pool_use_the_engine(database_url, changes):
    database = Database(DatabaseOptions(url=database_url, **changes))
    try:
        assert (await database.fetch(BROKEN, by=1))[0]["found"] == 1
    finally:
        await database.close()
