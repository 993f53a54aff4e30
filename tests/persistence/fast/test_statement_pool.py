"""Reads on connections of their own: what becomes of a connection when something goes wrong."""

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

SETTINGS = {"application_name": "direct-test", "lock_timeout": "5000"}
PID = CompiledStatement(text("SELECT pg_backend_pid() AS pid"))
SLEEP = CompiledStatement(text("SELECT pg_sleep(30)"))
BROKEN = CompiledStatement(text("SELECT 1 / CAST(:by AS integer) AS found"))


@pytest.fixture
async def direct(database_url):
    made = made_direct(database_url, size=2)
    yield made
    made.close()


def made_direct(url: str, *, size: int, wait_seconds: float = 5) -> StatementPool:
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


async def pid(direct: StatementPool) -> int:
    return (await direct.fetch(PID, {}))[0]["pid"]


async def under_way(sql, count: int = 1) -> None:
    """Until so many statements sleep in the database."""
    while (
        await sql.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'direct-test' AND wait_event = 'PgSleep'"
        )
        < count
    ):
        await asyncio.sleep(0.01)


def test_values_are_sent_in_the_order_of_the_text():
    statement = CompiledStatement(
        select(func.count())
        .select_from(team)
        .where(team.c.code == bindparam("code"), team.c.version == 3, team.c.id == bindparam("id"))
    )
    one = UUID(int=1)

    assert statement.text.count("$") == 3
    assert statement.arguments({"id": one, "code": "ICCT-001"}) == ["ICCT-001", 3, one]


async def test_one_connection_is_used_again_and_again(direct):
    assert len({await pid(direct) for _ in range(5)}) == 1
    assert direct.in_use == 0


async def test_a_statement_that_fails_costs_no_connection(direct):
    before = await pid(direct)

    with pytest.raises(asyncpg.DivisionByZeroError):
        await direct.fetch(BROKEN, {"by": 0})

    assert await pid(direct) == before


async def test_a_connection_that_was_ended_is_replaced(direct, sql):
    before = await pid(direct)
    await sql.fetchval("SELECT pg_terminate_backend($1, 5000)", before)

    # Its end may not have arrived yet.
    with suppress(ConnectionError, asyncpg.PostgresError):
        await direct.fetch(PID, {})

    assert await pid(direct) != before
    assert direct.in_use == 0


async def test_a_read_that_is_given_up_leaves_nothing_on_the_line(direct, sql):
    before = await pid(direct)
    reading = asyncio.create_task(direct.fetch(SLEEP, {}))
    await under_way(sql)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert await pid(direct) != before
    assert direct.in_use == 0


async def test_a_value_that_is_none_of_its_type_costs_no_connection(direct):
    before = await pid(direct)

    with pytest.raises(asyncpg.DataError, match="invalid input for query argument"):
        await direct.fetch(BROKEN, {"by": "a text"})

    assert await pid(direct) == before
    assert direct.in_use == 0


async def test_no_more_connections_than_there_may_be(database_url, sql):
    direct = made_direct(database_url, size=2, wait_seconds=0.05)
    busy = [asyncio.create_task(direct.fetch(SLEEP, {})) for _ in range(2)]
    await under_way(sql, 2)

    with pytest.raises(NoFreeConnection):
        await direct.fetch(PID, {})

    for one in busy:
        one.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    assert await pid(direct) > 0
    direct.close()


async def test_who_waits_is_served_in_turn(direct):
    assert len({await one for one in [pid(direct) for _ in range(20)]}) <= 2
    assert len(set(await asyncio.gather(*(pid(direct) for _ in range(20))))) <= 2


async def test_reads_are_repeated_after_a_loss(database_url, sql):
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


async def test_a_database_that_is_away():
    away = "postgresql+asyncpg://postgres@127.0.0.1:1/nowhere"
    database = Database(DatabaseOptions(url=away, pool_size=4, attempts=2))

    with pytest.raises(ServiceUnavailable):
        await database.fetch(PID)

    await database.close()


@pytest.mark.parametrize("changes", [{"pgbouncer": True}, {"pool_size": 1, "max_overflow": 0}])
async def test_without_connections_of_their_own_reads_use_the_pool(database_url, changes):
    database = Database(DatabaseOptions(url=database_url, **changes))
    try:
        assert (await database.fetch(BROKEN, by=1))[0]["found"] == 1
    finally:
        await database.close()
