"""Connections whose peer disappears silently are detected soon and invalidated together."""

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

MAX_OUTAGE_SECONDS = 5
ONE = CompiledStatement(text("SELECT 1 AS number"))
KEYED = CompiledStatement(text("SELECT key FROM unnest(CAST(:keys AS text[])) AS key"))
WRITE = """
    INSERT INTO idempotency_record VALUES ('test', :key, '', gen_random_uuid(), now()) RETURNING key
"""
WRITE_ONE = CompiledStatement(text(WRITE))
# Leaves one row when it is repeated after a commit whose answer was lost.
UPSERT = WRITE.replace(
    "RETURNING", "ON CONFLICT (operation, key) DO UPDATE SET key = excluded.key RETURNING"
)
UPSERT_ONE = CompiledStatement(text(UPSERT))
LOCK = "SELECT id FROM tournament FOR UPDATE"
LOCK_ONE = CompiledStatement(
    text("UPDATE tournament SET taken = taken RETURNING pg_backend_pid() AS pid")
)


def no_mapping(_error):
    return None


async def select(uow):
    return (await uow.session.exec(text("SELECT 1"))).scalar_one()


async def write(uow, key):
    return (await uow.session.exec(text(WRITE), params={"key": key})).scalar_one()


async def upsert(uow, key):
    return (await uow.session.exec(text(UPSERT), params={"key": key})).scalar_one()


async def write_one(database, key, statement=WRITE_ONE):
    rows = await database.write(statement, {"key": key}, repeatable=True, map_error=no_mapping)
    return rows[0]["key"]


async def lock(database):
    return (await database.write(LOCK_ONE, {}, repeatable=True, map_error=no_mapping))[0]["pid"]


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


@pytest.mark.parametrize(
    ("silence", "last"), [("drop_traffic", str), ("drop_responses", asyncpg.UniqueViolationError)]
)
async def test_statement_on_a_silent_connection_is_retried_on_another(
    proxy, proxied, sql, silence, last
):
    """The server gets nothing, or its responses are lost: then the insert is a duplicate."""
    await asyncio.gather(*every_call(proxied, "before"))
    getattr(proxy, silence)()

    started_at = monotonic()
    results = await asyncio.gather(*every_call(proxied, "after"), return_exceptions=True)
    outage_seconds = monotonic() - started_at

    assert outage_seconds < MAX_OUTAGE_SECONDS
    assert results[0][0]["number"] == 1
    assert results[1]["key"] == "found"
    assert results[2:4] == [1, "run after"]
    assert type(results[4]) is last
    assert await stored(sql) == ["run after", "run before", "write after", "write before"]


async def test_silent_connections_delay_one_caller_and_no_later_one(proxy, open_database, sql):
    database = open_database(proxy.url, pool_size=8)
    await asyncio.gather(*(database.run(partial(write, key=f"first {n}")) for n in range(5)))
    proxy.drop_traffic()

    with capture_logs() as logs:
        await database.run(partial(write, key="second"))
    started_at = monotonic()
    for number in range(10):
        await database.run(partial(write, key=f"third {number}"))
        await write_one(database, f"fourth {number}")
    later_seconds = monotonic() - started_at

    events = [line["event"] for line in logs if line["event"] != "connection_terminated"]
    assert events == ["database_retried"]
    assert later_seconds < 1
    assert len(await stored(sql)) == 5 + 1 + 20


async def test_each_silent_connection_delays_one_of_many_concurrent_callers(
    proxy, open_database, sql
):
    """All pools have room for callers beside those on silent connections."""
    database = open_database(proxy.url, pool_size=20, max_overflow=0)

    def calls(name, runs, fetches, writes):
        return [
            *(database.run(partial(write, key=f"{name} run {n}")) for n in range(runs)),
            *(database.fetch(ONE) for _ in range(fetches)),
            *(write_one(database, f"{name} write {n}") for n in range(writes)),
        ]

    await asyncio.gather(*calls("before", 2, 2, 1))
    assert proxy.open_connections == 5
    proxy.drop_traffic()

    with capture_logs() as logs:
        async with asyncio.timeout(MAX_OUTAGE_SECONDS):
            results = await asyncio.gather(*calls("during", 6, 5, 2))
    retried = [line for line in logs if line["event"] == "database_retried"]
    with capture_logs() as logs:
        later_results = await asyncio.gather(*calls("after", 6, 5, 2))

    assert len(retried) <= 5
    assert results[:6] == [f"during run {n}" for n in range(6)]
    assert [rows[0]["number"] for rows in results[6:11]] == [1] * 5
    assert results[11:] == ["during write 0", "during write 1"]
    assert len(later_results) == 13
    assert logs == []
    assert len(await stored(sql)) == (2 + 1) + 2 * (6 + 2)


async def test_silent_idle_connection_is_replaced_before_anything_is_sent(
    proxy, proxied, sql, monkeypatch
):
    for module in (connection_pool, engine_pool):
        monkeypatch.setattr(module, "CHECK_AFTER_IDLE_SECONDS", 0)
    await asyncio.gather(*every_call(proxied, "before"))
    proxy.drop_traffic()

    started_at = monotonic()
    # These may not be repeated, but were never sent.
    written = await proxied.write(
        WRITE_ONE, {"key": "once"}, repeatable=False, map_error=no_mapping
    )
    result = await proxied.run(partial(write, key="again"), repeatable=False)
    outage_seconds = monotonic() - started_at

    assert (written[0]["key"], result) == ("once", "again")
    assert outage_seconds < MAX_OUTAGE_SECONDS
    assert await stored(sql) == ["again", "once", "run before", "write before"]


async def test_wait_for_a_lock_is_not_taken_for_silence(proxied, sql):
    before = await lock(proxied)

    async with sql.transaction():
        await sql.execute(LOCK)
        waiting = asyncio.create_task(lock(proxied))
        with capture_logs() as logs:
            done, _ = await asyncio.wait([waiting], timeout=3)
        assert not done

    assert await waiting == before
    assert logs == []


async def test_locks_of_a_silent_session_are_released(proxy, proxied, sql):
    async def lock_and_drop_traffic(uow):
        await uow.session.exec(text(LOCK))
        if not proxy.refused_connections:
            proxy.refused_connections += 1
            proxy.drop_traffic()
        await uow.session.exec(text("SELECT 1"))

    started_at = monotonic()
    await proxied.run(lock_and_drop_traffic)
    await lock(proxied)

    assert monotonic() - started_at < MAX_OUTAGE_SECONDS
    assert proxy.refused_connections == 1


async def test_completely_silent_database_is_unavailable_in_time(proxy, open_database, sql):
    database = open_database(proxy.url, connect_timeout_seconds=2, lock_timeout_seconds=2)
    await asyncio.gather(*every_call(database, "before"))
    proxy.drop_traffic()
    proxy.is_unresponsive = True

    started_at = monotonic()
    results = await asyncio.gather(*every_call(database, "during"), return_exceptions=True)
    outage_seconds = monotonic() - started_at
    proxy.is_unresponsive = False
    restored_at = monotonic()
    await asyncio.gather(*every_call(database, "after"))

    assert {type(result) for result in results} == {ServiceUnavailable}
    assert outage_seconds < 2 * MAX_OUTAGE_SECONDS
    assert monotonic() - restored_at < MAX_OUTAGE_SECONDS
    assert await stored(sql) == ["run after", "run before", "write after", "write before"]


async def test_statement_behind_pgbouncer_has_a_time_limit(proxy, open_database):
    database = open_database(
        proxy.url, pgbouncer=True, statement_timeout_seconds=0.1, lock_timeout_seconds=0.05
    )

    async def drop_traffic(uow):
        if not proxy.refused_connections:
            proxy.refused_connections += 1
            proxy.drop_traffic()
        return await select(uow)

    started_at = monotonic()
    assert await database.run(drop_traffic) == 1
    assert monotonic() - started_at < MAX_OUTAGE_SECONDS


async def test_tcp_keepalive_is_enabled_on_every_connection(proxy, proxied):
    async def options(uow):
        driver = (await (await uow.session.connection()).get_raw_connection()).driver_connection
        return socket_options(driver)

    connection = await connect(proxy.url, timeout_seconds=5)

    assert socket_options(connection) == await proxied.run(options)
    assert socket_options(connection) == (1, KEEPALIVE_IDLE_SECONDS, USER_TIMEOUT_MS)
    connection.terminate()


def socket_options(driver):
    client_socket = driver._transport.get_extra_info("socket")
    tcp = socket.IPPROTO_TCP
    return (
        client_socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        client_socket.getsockopt(tcp, socket.TCP_KEEPIDLE),
        client_socket.getsockopt(tcp, socket.TCP_USER_TIMEOUT),
    )


async def test_consecutive_callers_wait_for_two_time_limits_at_most(proxy, open_database, sql):
    database = open_database(proxy.url, pool_size=8, max_overflow=0)
    acknowledged, slowest_seconds, errors = [], 0.0, []
    stop = asyncio.Event()

    async def keep_writing(name):
        nonlocal slowest_seconds
        number = 0
        while not stop.is_set():
            key, number = f"{name} {number}", number + 1
            started_at = monotonic()
            try:
                if number % 2:
                    acknowledged.append(await write_one(database, key, UPSERT_ONE))
                else:
                    acknowledged.append(await database.run(partial(upsert, key=key)))
            except Exception as error:  # noqa: BLE001 - counted
                errors.append(error)
            slowest_seconds = max(slowest_seconds, monotonic() - started_at)
            await asyncio.sleep(0.02)

    writers = [asyncio.create_task(keep_writing(f"writer {n}")) for n in range(4)]
    async with asyncio.timeout(60):
        for more in (20, 40):
            proxy.drop_traffic()
            target = len(acknowledged) + more
            while len(acknowledged) < target:
                await asyncio.sleep(0.01)
        stop.set()
        await asyncio.gather(*writers)

    assert errors == []
    assert slowest_seconds < MAX_OUTAGE_SECONDS
    assert await stored(sql) == sorted(acknowledged)


@pytest.fixture
def short_watchdog_times(monkeypatch):
    for name, seconds in {
        "CHECK_INTERVAL_SECONDS": 0.05,
        "SUSPECT_AFTER_SECONDS": 0.2,
        "QUERY_TIMEOUT_SECONDS": 0.3,
        "QUERY_RETRY_PAUSE_SECONDS": 0.1,
    }.items():
        monkeypatch.setattr(watchdog, name, seconds)


@pytest.mark.parametrize("is_server_answering", [True, False])
async def test_long_statement_is_ended_only_if_the_server_answers_nothing_else(
    short_watchdog_times, proxy, open_database, is_server_answering
):
    database = open_database(proxy.url, pool_size=8, connect_timeout_seconds=1)
    sleep = CompiledStatement(text("SELECT pg_sleep(2)"))
    await asyncio.gather(*(database.fetch(ONE) for _ in range(2)))
    with capture_logs() as logs:
        sleeping = asyncio.create_task(database.fetch(sleep))
        await asyncio.sleep(0)
        proxy.is_unresponsive = True
        while is_server_answering and not sleeping.done():
            await database.fetch(ONE)
            await asyncio.sleep(0.05)
        outcome = (await asyncio.gather(sleeping, return_exceptions=True))[0]

    reasons = [line["reason"] for line in logs if line["event"] == "connection_terminated"]
    if is_server_answering:
        assert (len(outcome), reasons) == (1, [])
    else:
        assert "silent" in reasons


@pytest.mark.parametrize("stall_seconds", [0.4, 0.7, 1.5])
async def test_stall_of_this_process_is_not_taken_for_silence(proxy, stall_seconds):
    connection = await connect(proxy.url, timeout_seconds=5)
    asyncio.get_running_loop().call_soon(time.sleep, stall_seconds)

    assert await check_connection(connection, timeout_seconds=0.3)

    proxy.drop_traffic()
    assert not await check_connection(connection, timeout_seconds=0.3)
    assert connection.is_closed()
