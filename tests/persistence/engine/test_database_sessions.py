"""Connections: what they are set to, behind pgbouncer too, and databases that come and go."""

import asyncio
import os
import signal

import pytest
from sqlalchemy import make_url, text

from domain.errors.exceptions import ServiceUnavailable
from persistence.embedded.server import EmbeddedPostgres
from persistence.engine.database import Database, DatabaseUnavailable
from persistence.engine.engine import DatabaseOptions
from resilience import background_tasks
from tests.postgres_proxy import NO_ANSWER, STARTING_UP

LIMITS = "statement_timeout lock_timeout idle_in_transaction_session_timeout".split()
WRITE = "INSERT INTO idempotency_record VALUES ('test', 'key', '', gen_random_uuid(), now())"
PINGS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND query = 'SELECT 1' AND query_start > $1
"""


async def value(connection, query):
    return (await connection.execute(text(query))).scalar_one()


async def times(connection):
    return [await value(connection, "SELECT transaction_timestamp()") for _ in range(2)]


async def limits(connection):
    return [await value(connection, f"SHOW {name}") for name in LIMITS]


async def limits_after_the_commit(connection):
    await connection.commit()
    return await limits(connection)


async def until(condition):
    """Returns once `condition` answers true."""
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.005)


async def pinged_from_now_on(sql):
    now = await sql.fetchval("SELECT clock_timestamp()")

    async def pinged():
        return await sql.fetchval(PINGS, now)

    await until(pinged)


async def test_read_runs_outside_a_transaction(database):
    first, second = await database.read(times)
    assert first < second

    first, second = await database.run(times)
    assert first == second


async def test_limits_are_set_on_every_session(open_database):
    database = open_database(
        statement_timeout_seconds=7, lock_timeout_seconds=0.25, idle_transaction_timeout_seconds=90
    )

    assert await database.run(limits) == ["7s", "250ms", "90s"]
    assert await database.read(limits) == ["7s", "250ms", "90s"]
    assert await database.run(limits_after_the_commit) == ["7s", "250ms", "90s"]


async def test_transaction_left_idle_is_ended_by_the_server_and_work_runs_again(open_database, sql):
    database = open_database(idle_transaction_timeout_seconds=0.05)
    calls = []

    async def work(connection):
        calls.append(await value(connection, "SELECT pg_backend_pid()"))
        await connection.execute(text(WRITE))
        if len(calls) == 1:
            await until(gone)

    async def gone():
        return not await sql.fetchval("SELECT 1 FROM pg_stat_activity WHERE pid = $1", calls[0])

    await database.run(work)

    assert len(calls) == 2
    assert await sql.fetchval("SELECT count(*) FROM idempotency_record") == 1


async def test_behind_pgbouncer_limits_are_of_the_transaction(open_database):
    database = open_database(
        pgbouncer=True,
        statement_timeout_seconds=7,
        lock_timeout_seconds=0.25,
        idle_transaction_timeout_seconds=90,
    )

    assert await database.run(limits) == ["7s", "250ms", "90s"]
    assert await database.read(limits) == ["7s", "250ms", "90s"]
    assert await database.run(limits_after_the_commit) == ["0", "0", "0"]


async def test_behind_pgbouncer_reads_run_in_a_transaction(open_database):
    first, second = await open_database(pgbouncer=True).read(times)

    assert first == second


async def test_only_behind_pgbouncer_no_prepared_statement_is_left(open_database):
    async def prepared(connection):
        counts = []
        for number in range(2):
            await value(connection, f"SELECT {number}")
            counts.append(await value(connection, "SELECT count(*) FROM pg_prepared_statements"))
        return counts

    assert await open_database(pgbouncer=True).run(prepared) == [0, 0]
    before, after = await open_database(pgbouncer=False).run(prepared)
    assert after == before + 1


async def test_behind_pgbouncer_work_is_committed_and_repeated_alike(open_database, sql):
    database = open_database(pgbouncer=True)
    calls = []

    async def work(connection):
        calls.append(None)
        await connection.execute(text(WRITE))
        if len(calls) == 1:
            await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    await database.run(work)

    assert len(calls) == 2
    assert await sql.fetchval("SELECT count(*) FROM idempotency_record") == 1


async def test_ping_answers_milliseconds(database):
    assert await database.ping() > 0


@pytest.mark.parametrize("refusal", [NO_ANSWER, STARTING_UP])
async def test_server_that_refuses_is_unavailable_until_it_does_not(proxy, proxied, refusal):
    proxy.connect_response = refusal
    with pytest.raises(ServiceUnavailable):
        await proxied.ping()
    assert proxy.refused_connections == 1
    with pytest.raises(ServiceUnavailable):
        await proxied.run(times)
    assert proxy.refused_connections == 4

    proxy.connect_response = None

    assert await proxied.ping() > 0
    assert len(await proxied.run(times)) == 2


async def test_ping_is_not_repeated(proxy, proxied):
    await proxied.ping()
    proxy.connect_response = STARTING_UP
    proxy.close_connections()

    with pytest.raises(ServiceUnavailable):
        await proxied.ping()

    assert proxy.refused_connections == 1


async def test_service_does_not_wait_for_a_database_that_is_ready(proxy, proxied):
    await proxied.wait_until_ready()

    assert proxy.refused_connections == 0


async def test_service_waits_for_a_database_that_is_starting(proxy, proxied):
    proxy.connect_response = STARTING_UP

    async def refused():
        return proxy.refused_connections

    waiting = asyncio.create_task(proxied.wait_until_ready())
    await until(refused)
    proxy.connect_response = None
    await waiting

    assert proxy.refused_connections == 1


@pytest.mark.slow
async def test_service_gives_up_when_nothing_listens(open_database, database_url, tmp_path):
    url = make_url(database_url).update_query_dict({"host": str(tmp_path)})

    with pytest.raises(DatabaseUnavailable) as unavailable:
        await open_database(url.render_as_string()).wait_until_ready()

    assert isinstance(unavailable.value.__cause__.__cause__, FileNotFoundError)


@pytest.mark.slow
async def test_database_that_stays_away_is_asked_four_times(proxy, proxied):
    proxy.connect_response = STARTING_UP

    with pytest.raises(DatabaseUnavailable):
        await proxied.wait_until_ready()

    assert proxy.refused_connections == 4


async def test_same_database_object_works_again_after_the_server_was_gone(tmp_path):
    version = os.environ.get("TEST_POSTGRES_VERSION", "18")
    with EmbeddedPostgres(tmp_path / "data", version=version) as postgres:
        opened = Database(DatabaseOptions(url=postgres.connected_url("icct26")))
        assert await opened.run(limits) == ["30s", "5s", "30s"]
        process = postgres.postmaster_pid

        os.kill(process, signal.SIGINT)
        await until(lambda: _is_gone(opened))
        with pytest.raises(ServiceUnavailable):
            await opened.run(limits)
        with pytest.raises(ServiceUnavailable):
            await opened.read(limits)

        await asyncio.to_thread(postgres.start)
        assert postgres.postmaster_pid != process
        assert await opened.run(limits) == ["30s", "5s", "30s"]
        assert await opened.read(limits) == ["30s", "5s", "30s"]
        await opened.close()


async def test_database_is_kept_awake_and_asked_again_after_it_was_away(
    proxy, open_database, sql, monkeypatch
):
    database = open_database(proxy.url, keep_alive_seconds=0.01)
    monkeypatch.setattr(background_tasks, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(background_tasks, "LONGEST_PAUSE_SECONDS", 0.01)
    tasks = background_tasks.BackgroundTasks()
    keeping = tasks.start("keepAlive", database.keep_alive, steady_seconds=None)
    (state,) = tasks
    for _ in range(3):
        await pinged_from_now_on(sql)

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
    await pinged_from_now_on(sql)
    await until(is_well)

    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping


async def test_database_may_sleep_when_it_is_not_to_be_kept_awake(proxy, open_database):
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
