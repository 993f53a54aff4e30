"""Session settings, also behind pgbouncer, and databases that are away for some time."""

import asyncio
import os
import signal

import pytest
from sqlalchemy import bindparam, func, make_url, select, text
from structlog.testing import capture_logs

from domain.errors.exceptions import ServiceUnavailable
from persistence.embedded.server import EmbeddedPostgres
from persistence.engine.database import Database, DatabaseUnavailable
from persistence.engine.engine import DatabaseOptions
from persistence.fast.statement_pool import CompiledStatement
from resilience import background_tasks
from tests.postgres_proxy import NO_ANSWER, STARTING_UP

TIMEOUTS = "statement_timeout lock_timeout idle_in_transaction_session_timeout".split()
WRITE = "INSERT INTO idempotency_record VALUES ('test', 'key', '', gen_random_uuid(), now())"
PINGS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND query = 'SELECT 1' AND query_start > $1
"""


async def value(uow, query):
    return (await uow.session.exec(text(query))).scalar_one()


async def transaction_times(uow):
    return [await value(uow, "SELECT transaction_timestamp()") for _ in range(2)]


async def timeouts(uow):
    return [await value(uow, f"SHOW {name}") for name in TIMEOUTS]


async def timeouts_after_commit(uow):
    await (await uow.session.connection()).commit()
    return await timeouts(uow)


async def until(condition):
    """Wait until `condition` returns true."""
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.005)


async def wait_for_ping(sql):
    now = await sql.fetchval("SELECT clock_timestamp()")

    async def is_pinged():
        return await sql.fetchval(PINGS, now)

    await until(is_pinged)


async def test_read_runs_outside_a_transaction(database):
    first, second = await database.read(transaction_times)
    assert first < second

    first, second = await database.run(transaction_times)
    assert first == second


async def test_timeouts_are_set_on_every_session(open_database):
    database = open_database(
        statement_timeout_seconds=7, lock_timeout_seconds=0.25, idle_transaction_timeout_seconds=90
    )

    assert await database.run(timeouts) == ["7s", "250ms", "90s"]
    assert await database.read(timeouts) == ["7s", "250ms", "90s"]
    assert await database.run(timeouts_after_commit) == ["7s", "250ms", "90s"]


async def test_work_is_repeated_when_the_server_ends_its_idle_transaction(open_database, sql):
    database = open_database(idle_transaction_timeout_seconds=0.05)
    calls = []

    async def work(uow):
        calls.append(await value(uow, "SELECT pg_backend_pid()"))
        await uow.session.exec(text(WRITE))
        if len(calls) == 1:
            await until(is_gone)

    async def is_gone():
        return not await sql.fetchval("SELECT 1 FROM pg_stat_activity WHERE pid = $1", calls[0])

    await database.run(work)

    assert len(calls) == 2
    assert await sql.fetchval("SELECT count(*) FROM idempotency_record") == 1


async def test_behind_pgbouncer_timeouts_are_set_for_the_transaction(open_database):
    database = open_database(
        pgbouncer=True,
        statement_timeout_seconds=7,
        lock_timeout_seconds=0.25,
        idle_transaction_timeout_seconds=90,
    )

    assert await database.run(timeouts) == ["7s", "250ms", "90s"]
    assert await database.read(timeouts) == ["7s", "250ms", "90s"]
    assert await database.run(timeouts_after_commit) == ["0", "0", "0"]


async def test_behind_pgbouncer_reads_run_in_a_transaction(open_database):
    first, second = await open_database(pgbouncer=True).read(transaction_times)

    assert first == second


async def test_no_prepared_statements_remain_only_behind_pgbouncer(open_database):
    async def prepared(uow):
        counts = []
        for number in range(2):
            await value(uow, f"SELECT {number}")
            counts.append(await value(uow, "SELECT count(*) FROM pg_prepared_statements"))
        return counts

    assert await open_database(pgbouncer=True).run(prepared) == [0, 0]
    before, after = await open_database(pgbouncer=False).run(prepared)
    assert after == before + 1


async def test_behind_pgbouncer_work_is_committed_and_repeated(open_database, sql):
    database = open_database(pgbouncer=True)
    calls = []

    async def work(uow):
        calls.append(None)
        await uow.session.exec(text(WRITE))
        if len(calls) == 1:
            await uow.session.exec(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    await database.run(work)

    assert len(calls) == 2
    assert await sql.fetchval("SELECT count(*) FROM idempotency_record") == 1


async def test_ping_returns_milliseconds(database):
    assert await database.ping() > 0


@pytest.mark.parametrize("response", [NO_ANSWER, STARTING_UP])
async def test_server_that_rejects_connections_is_unavailable_until_it_accepts(
    proxy, proxied, response
):
    proxy.connect_response = response
    with pytest.raises(ServiceUnavailable):
        await proxied.ping()
    assert proxy.refused_connections == 1
    with pytest.raises(ServiceUnavailable):
        await proxied.run(transaction_times)
    assert proxy.refused_connections == 4

    proxy.connect_response = None

    assert await proxied.ping() > 0
    assert len(await proxied.run(transaction_times)) == 2


async def test_ping_is_not_repeated(proxy, proxied):
    await proxied.ping()
    proxy.connect_response = STARTING_UP
    proxy.close_connections()

    with pytest.raises(ServiceUnavailable):
        await proxied.ping()

    assert proxy.refused_connections == 1


BACKENDS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND backend_type = 'client backend'
"""
PID = CompiledStatement(select(func.pg_backend_pid().label("pid")))
SETTINGS = {
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    "lock_timeout": "5s",
    "statement_timeout": "5500ms",
}
SETTING = CompiledStatement(select(func.current_setting(bindparam("name")).label("value")))


async def backends(sql) -> set[int]:
    return {row["pid"] for row in await sql.fetch(BACKENDS)}


async def use_each_pool(database) -> list[int]:
    """The process ids of the sessions that a unit of work, a read and a write have."""
    work = await database.run(lambda uow: value(uow, "SELECT pg_backend_pid()"))
    [read] = await database.fetch(PID)
    [written] = await database.write(PID, {}, repeatable=True, map_error=lambda _: None)
    return [work, read["pid"], written["pid"]]


async def test_one_connection_of_each_pool_is_opened_before_it_is_used(open_database, sql):
    database = open_database()
    others = await backends(sql)

    await database.warm_up()

    opened = await backends(sql) - others
    assert len(opened) == 3
    assert set(await use_each_pool(database)) == opened
    assert await backends(sql) - others == opened
    for name, expected in SETTINGS.items():
        [row] = await database.write(
            SETTING, {"name": name}, repeatable=True, map_error=lambda _: None
        )
        assert row["value"] == expected


async def test_small_pool_opens_one_connection(open_database, sql):
    database = open_database(pool_size=2)
    others = await backends(sql)

    await database.warm_up()

    [opened] = await backends(sql) - others
    assert await use_each_pool(database) == [opened] * 3


async def test_behind_pgbouncer_no_connection_is_opened_in_advance(proxy, open_database):
    proxy.connect_response = STARTING_UP

    await open_database(proxy.url, pgbouncer=True).warm_up()

    assert proxy.refused_connections == 0


@pytest.mark.parametrize("response", [NO_ANSWER, STARTING_UP])
async def test_failure_to_open_connections_in_advance_is_logged(proxy, proxied, response):
    proxy.connect_response = response

    with capture_logs() as logs:
        await proxied.warm_up()

    assert proxy.refused_connections == 3
    [entry] = logs
    assert (entry["event"], entry["log_level"]) == ("database_warm_up_failed", "warning")
    assert len(entry["errors"]) == 3
    proxy.connect_response = None
    assert len(set(await use_each_pool(proxied))) == 3


async def test_ready_database_is_not_waited_for(proxy, proxied):
    await proxied.wait_until_ready()

    assert proxy.refused_connections == 0


async def test_starting_database_is_waited_for(proxy, proxied):
    proxy.connect_response = STARTING_UP

    async def is_refused():
        return proxy.refused_connections

    waiting = asyncio.create_task(proxied.wait_until_ready())
    await until(is_refused)
    proxy.connect_response = None
    await waiting

    assert proxy.refused_connections == 1


@pytest.mark.slow
async def test_start_fails_when_nothing_listens(open_database, database_url, tmp_path):
    url = make_url(database_url).update_query_dict({"host": str(tmp_path)})

    with pytest.raises(DatabaseUnavailable) as unavailable:
        await open_database(url.render_as_string()).wait_until_ready()

    assert isinstance(unavailable.value.__cause__.__cause__, FileNotFoundError)


@pytest.mark.slow
async def test_start_fails_after_four_pings(proxy, proxied):
    proxy.connect_response = STARTING_UP

    with pytest.raises(DatabaseUnavailable):
        await proxied.wait_until_ready()

    assert proxy.refused_connections == 4


async def test_database_object_works_again_after_a_server_restart(tmp_path):
    version = os.environ.get("TEST_POSTGRES_VERSION", "18")
    with EmbeddedPostgres(tmp_path / "data", version=version) as postgres:
        database = Database(DatabaseOptions(url=postgres.connected_url("icct26")))
        assert await database.run(timeouts) == ["30s", "5s", "30s"]
        pid = postgres.postmaster_pid

        os.kill(pid, signal.SIGINT)
        await until(lambda: _is_gone(database))
        with pytest.raises(ServiceUnavailable):
            await database.run(timeouts)
        with pytest.raises(ServiceUnavailable):
            await database.read(timeouts)

        await asyncio.to_thread(postgres.start)
        assert postgres.postmaster_pid != pid
        assert await database.run(timeouts) == ["30s", "5s", "30s"]
        assert await database.read(timeouts) == ["30s", "5s", "30s"]
        await database.close()


async def test_keep_alive_continues_after_the_database_was_away(
    proxy, open_database, sql, monkeypatch
):
    database = open_database(proxy.url, keep_alive_seconds=0.01)
    monkeypatch.setattr(background_tasks, "MIN_RESTART_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(background_tasks, "MAX_RESTART_DELAY_SECONDS", 0.01)
    tasks = background_tasks.BackgroundTasks()
    keeping = tasks.start("keepAlive", database.keep_alive, healthy_after_seconds=None)
    (state,) = tasks
    for _ in range(3):
        await wait_for_ping(sql)

    async def refused_twice():
        return proxy.refused_connections >= 2

    proxy.connect_response = STARTING_UP
    proxy.close_connections()
    await until(refused_twice)

    async def is_failing():
        return state.failure == "ServiceUnavailable"

    async def is_well():
        return state.is_healthy

    await until(is_failing)
    proxy.connect_response = None
    await wait_for_ping(sql)
    await until(is_well)

    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping


async def test_keep_alive_of_zero_seconds_sends_nothing(proxy, open_database):
    proxy.connect_response = STARTING_UP

    await open_database(proxy.url, keep_alive_seconds=0).keep_alive(
        background_tasks.BackgroundTask("keepAlive")
    )

    assert proxy.refused_connections == 0


async def _is_gone(database):
    try:
        await database.ping()
    except ServiceUnavailable as error:
        return isinstance(error.__cause__, OSError)
    return False
