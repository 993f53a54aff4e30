"""Connections that end without a word: noticed soon, by one caller, and given up together."""

import asyncio
import socket
import time
from functools import partial
from time import monotonic

import asyncpg
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from domain.errors.exceptions import ServiceUnavailable
from persistence.engine import connection_pool, engine_pool, watchdog
from persistence.engine.driver import (
    KEEPALIVE_IDLE_SECONDS,
    USER_TIMEOUT_MS,
    check_connection,
    connect,
)
from persistence.fast.statement_pool import CompiledStatement

OUTAGE_SECONDS = 5
ONE = CompiledStatement(text("SELECT 1 AS number"))
KEYED = CompiledStatement(text("SELECT key FROM unnest(CAST(:keys AS text[])) AS key"))
WRITE = """
    INSERT INTO idempotency_record VALUES ('test', :key, '', gen_random_uuid(), now()) RETURNING key
"""
WRITE_ONE = CompiledStatement(text(WRITE))
# Written again after a commit whose answer was lost, there is one row all the same.
WRITE_AGAIN = WRITE.replace(
    "RETURNING", "ON CONFLICT (operation, key) DO UPDATE SET key = excluded.key RETURNING"
)
WRITE_ONE_AGAIN = CompiledStatement(text(WRITE_AGAIN))
LOCK = "SELECT id FROM tournament FOR UPDATE"
LOCK_ONE = CompiledStatement(
    text("UPDATE tournament SET taken = taken RETURNING pg_backend_pid() AS pid")
)


def nothing(_error):
    return None


async def select(connection):
    return (await connection.execute(text("SELECT 1"))).scalar_one()


async def write(connection, key):
    return (await connection.execute(text(WRITE), {"key": key})).scalar_one()


async def write_again(connection, key):
    return (await connection.execute(text(WRITE_AGAIN), {"key": key})).scalar_one()


async def write_one(database, key, statement=WRITE_ONE):
    rows = await database.write(statement, {"key": key}, repeatable=True, map_error=nothing)
    return rows[0]["key"]


async def lock(database):
    return (await database.write(LOCK_ONE, {}, repeatable=True, map_error=nothing))[0]["pid"]


def every_call(database, suffix):
    return [
        database.fetch(ONE),
        database.find_by_key(KEYED, "found"),
        database.read(select),
        database.run(partial(write, key=f"run {suffix}")),
        write_one(database, f"write {suffix}"),
    ]


async def stored(sql):
    return [row["key"] for row in await sql.fetch("SELECT key FROM idempotency_record ORDER BY 1")]


async def locks_waited_for(sql):
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with asyncio.timeout(30):
        while not await sql.fetchval(waiting):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("silence", "last"), [("drop_traffic", str), ("drop_responses", asyncpg.UniqueViolationError)]
)
async def test_statement_on_a_silent_connection_is_done_on_another(
    proxy, proxied, sql, silence, last
):
    """Either nothing reaches the server, or nothing comes back from it: then it is repeated."""
    await asyncio.gather(*every_call(proxied, "before"))
    getattr(proxy, silence)()

    began = monotonic()
    check_connection = await asyncio.gather(*every_call(proxied, "after"), return_exceptions=True)
    outage = monotonic() - began

    assert outage < OUTAGE_SECONDS
    assert check_connection[0][0]["number"] == 1
    assert check_connection[1]["key"] == "found"
    assert check_connection[2:4] == [1, "run after"]
    assert type(check_connection[4]) is last
    assert await stored(sql) == ["run after", "run before", "write after", "write before"]


async def test_one_silent_connection_costs_one_caller_and_no_later_one(proxy, open_database, sql):
    database = open_database(proxy.url, pool_size=8)
    await asyncio.gather(*(database.run(partial(write, key=f"first {n}")) for n in range(5)))
    proxy.drop_traffic()

    with capture_logs() as logs:
        await database.run(partial(write, key="second"))
    began = monotonic()
    for number in range(10):
        await database.run(partial(write, key=f"third {number}"))
        await write_one(database, f"fourth {number}")
    later = monotonic() - began

    events = [line["event"] for line in logs if line["event"] != "connection_terminated"]
    assert events == ["database_retried"]
    assert later < 1
    assert len(await stored(sql)) == 5 + 1 + 20


async def test_idle_connection_is_checked_before_use_and_nothing_is_sent_on_a_silent_one(
    proxy, proxied, sql, monkeypatch
):
    for module in (connection_pool, engine_pool):
        monkeypatch.setattr(module, "CHECK_AFTER_IDLE_SECONDS", 0)
    await asyncio.gather(*every_call(proxied, "before"))
    proxy.drop_traffic()

    began = monotonic()
    # Nothing of these may be repeated: they were never sent.
    once = await proxied.write(WRITE_ONE, {"key": "once"}, repeatable=False, map_error=nothing)
    twice = await proxied.run(partial(write, key="again"), repeatable=False)
    outage = monotonic() - began

    assert (once[0]["key"], twice) == ("once", "again")
    assert outage < OUTAGE_SECONDS
    assert await stored(sql) == ["again", "once", "run before", "write before"]


async def test_waiting_for_a_lock_is_no_silence(proxied, sql):
    before = await lock(proxied)

    async with sql.transaction():
        await sql.execute(LOCK)
        waiting = asyncio.create_task(lock(proxied))
        with capture_logs() as logs:
            done, _ = await asyncio.wait([waiting], timeout=3)
        assert not done

    assert await waiting == before
    assert logs == []


async def test_lock_of_a_session_that_fell_silent_is_released(proxy, proxied, sql):
    async def lock_and_fall_silent(connection):
        await connection.execute(text(LOCK))
        if not proxy.refused_connections:
            proxy.refused_connections += 1
            proxy.drop_traffic()
        await connection.execute(text("SELECT 1"))

    began = monotonic()
    await proxied.run(lock_and_fall_silent)
    await lock(proxied)

    assert monotonic() - began < OUTAGE_SECONDS
    assert proxy.refused_connections == 1


async def test_database_that_is_silent_altogether_is_unavailable_in_time(proxy, open_database, sql):
    database = open_database(proxy.url, connect_timeout_seconds=2, lock_timeout_seconds=2)
    await asyncio.gather(*every_call(database, "before"))
    proxy.drop_traffic()
    proxy.is_unresponsive = True

    began = monotonic()
    check_connection = await asyncio.gather(*every_call(database, "during"), return_exceptions=True)
    outage = monotonic() - began
    proxy.is_unresponsive = False
    after = monotonic()
    await asyncio.gather(*every_call(database, "after"))

    assert {type(answer) for answer in check_connection} == {ServiceUnavailable}
    assert outage < 2 * OUTAGE_SECONDS
    assert monotonic() - after < OUTAGE_SECONDS
    assert await stored(sql) == ["run after", "run before", "write after", "write before"]


async def test_behind_pgbouncer_a_statement_has_a_deadline(proxy, open_database):
    database = open_database(
        proxy.url, pgbouncer=True, statement_timeout_seconds=0.1, lock_timeout_seconds=0.05
    )

    async def fall_silent(connection):
        if not proxy.refused_connections:
            proxy.refused_connections += 1
            proxy.drop_traffic()
        return await select(connection)

    began = monotonic()
    assert await database.run(fall_silent) == 1
    assert monotonic() - began < OUTAGE_SECONDS


async def test_sockets_notice_a_side_that_has_gone(proxy, proxied):
    async def options(connection):
        driver = (await connection.get_raw_connection()).driver_connection
        return socket_options(driver)

    own = await connect(proxy.url, timeout_seconds=5)

    assert socket_options(own) == await proxied.run(options)
    assert socket_options(own) == (1, KEEPALIVE_IDLE_SECONDS, USER_TIMEOUT_MS)
    own.terminate()


def socket_options(driver):
    opened = driver._transport.get_extra_info("socket")
    tcp = socket.IPPROTO_TCP
    return (
        opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        opened.getsockopt(tcp, socket.TCP_KEEPIDLE),
        opened.getsockopt(tcp, socket.TCP_USER_TIMEOUT),
    )


async def test_callers_in_a_row_wait_two_deadlines_at_most(proxy, open_database, sql):
    database = open_database(proxy.url, pool_size=8, max_overflow=0)
    acknowledged, slowest, others = [], 0.0, []
    stop = asyncio.Event()

    async def write_on(name):
        nonlocal slowest
        number = 0
        while not stop.is_set():
            key, number = f"{name} {number}", number + 1
            began = monotonic()
            try:
                if number % 2:
                    acknowledged.append(await write_one(database, key, WRITE_ONE_AGAIN))
                else:
                    acknowledged.append(await database.run(partial(write_again, key=key)))
            except Exception as error:  # noqa: BLE001 - counted
                others.append(error)
            slowest = max(slowest, monotonic() - began)
            await asyncio.sleep(0.02)

    writers = [asyncio.create_task(write_on(f"writer {n}")) for n in range(4)]
    async with asyncio.timeout(60):
        for more in (20, 40):
            proxy.drop_traffic()
            wanted = len(acknowledged) + more
            while len(acknowledged) < wanted:
                await asyncio.sleep(0.01)
        stop.set()
        await asyncio.gather(*writers)

    assert others == []
    assert slowest < OUTAGE_SECONDS
    assert await stored(sql) == sorted(acknowledged)


@pytest.fixture
def hurried(monkeypatch):
    for name, seconds in {
        "CHECK_INTERVAL_SECONDS": 0.05,
        "SUSPECT_AFTER_SECONDS": 0.2,
        "QUERY_TIMEOUT_SECONDS": 0.3,
        "QUERY_RETRY_PAUSE_SECONDS": 0.1,
    }.items():
        monkeypatch.setattr(watchdog, name, seconds)


@pytest.mark.parametrize("is_asked", [True, False])
async def test_long_statement_is_cut_only_if_nothing_is_answered(
    hurried, proxy, open_database, is_asked
):
    database = open_database(proxy.url, pool_size=8, connect_timeout_seconds=1)
    long = CompiledStatement(text("SELECT pg_sleep(2)"))
    await asyncio.gather(*(database.fetch(ONE) for _ in range(2)))
    with capture_logs() as logs:
        sleeping = asyncio.create_task(database.fetch(long))
        await asyncio.sleep(0)
        proxy.is_unresponsive = True
        while is_asked and not sleeping.done():
            await database.fetch(ONE)
            await asyncio.sleep(0.05)
        outcome = (await asyncio.gather(sleeping, return_exceptions=True))[0]

    reasons = [line["reason"] for line in logs if line["event"] == "connection_terminated"]
    if is_asked:
        assert (len(outcome), reasons) == (1, [])
    else:
        assert "silent" in reasons


@pytest.mark.parametrize("stall", [0.4, 0.7, 1.5])
async def test_stall_of_this_process_is_no_silence(proxy, stall):
    own = await connect(proxy.url, timeout_seconds=5)
    asyncio.get_running_loop().call_soon(time.sleep, stall)

    assert await check_connection(own, timeout_seconds=0.3)

    proxy.drop_traffic()
    assert not await check_connection(own, timeout_seconds=0.3)
    assert own.is_closed()
