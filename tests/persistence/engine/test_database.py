"""Units of work, and their retries after failures of PostgreSQL."""

import asyncio
from collections import Counter
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs

from domain.errors.exceptions import ServiceUnavailable
from observability.redaction import render_exception
from persistence.engine.errors import sqlstate, violated_constraint
from tests.postgres_proxy import TERMINATED

WRITE = text("INSERT INTO idempotency_record VALUES ('test', :key, '', gen_random_uuid(), now())")
TAKE_LOCK = text("SELECT pg_advisory_xact_lock(:lock)")
# A constant, so that the code quoted by a traceback does not contain it.
NAME = "Asha Rao"
TERMINATE_SELF = text("SELECT pg_terminate_backend(pg_backend_pid())")


async def write(uow, key):
    await uow.session.exec(WRITE, params={"key": key})


async def stored_keys(sql):
    return [row["key"] for row in await sql.fetch("SELECT key FROM idempotency_record ORDER BY 1")]


async def backend_pid(uow):
    return (await uow.session.exec(text("SELECT pg_backend_pid()"))).scalar_one()


async def kill(sql, pid):
    """Terminate a server process and wait until it is gone."""
    assert await sql.fetchval("SELECT pg_terminate_backend($1, 10000)", pid)


def recording_work(calls):
    """Work that counts its calls in `calls` and writes a row with the number of the call."""

    async def work(uow):
        calls.append(None)
        await write(uow, f"call {len(calls)}")
        return len(calls)

    return work


async def test_work_is_committed_and_its_result_returned(database, sql):
    calls = []

    assert await database.run(recording_work(calls)) == 1
    assert await stored_keys(sql) == ["call 1"]


async def test_work_whose_connection_is_terminated_is_repeated_from_the_start(database, sql):
    calls = []

    async def work(uow):
        await recording_work(calls)(uow)
        if len(calls) == 1:
            await kill(sql, await backend_pid(uow))
        await write(uow, f"end of call {len(calls)}")
        return len(calls)

    assert await database.run(work) == 2
    assert await stored_keys(sql) == ["call 2", "end of call 2"]


@pytest.mark.parametrize("attempts", [1, 2, 3])
async def test_work_fails_after_the_configured_attempts(open_database, sql, attempts):
    database = open_database(attempts=attempts)
    calls = []

    async def work(uow):
        await recording_work(calls)(uow)
        await uow.session.exec(TERMINATE_SELF)

    with pytest.raises(ServiceUnavailable) as raised:
        await database.run(work)

    assert raised.value.retry_after_seconds == 2
    assert len(calls) == attempts
    assert await stored_keys(sql) == []


async def test_terminated_idle_connection_costs_no_attempt(open_database, sql):
    database = open_database(attempts=1)
    ended = asyncio.Event()

    async def watch_termination(uow):
        driver = (await (await uow.session.connection()).get_raw_connection()).driver_connection
        driver.add_termination_listener(lambda _: ended.set())
        return await backend_pid(uow)

    await kill(sql, await database.run(watch_termination))
    await ended.wait()
    calls = []

    assert await database.run(recording_work(calls)) == 1
    assert await stored_keys(sql) == ["call 1"]


@pytest.mark.parametrize("repeatable", [True, False])
async def test_connection_with_a_termination_message_is_replaced(proxy, proxied, sql, repeatable):
    received = asyncio.Event()

    async def watch_messages(uow):
        driver = (await (await uow.session.connection()).get_raw_connection()).driver_connection
        transport = driver._transport
        protocol = transport.get_protocol()

        class Watching(asyncio.Protocol):
            def data_received(self, data):
                protocol.data_received(data)
                received.set()

            def connection_lost(self, error):
                protocol.connection_lost(error)

        return lambda: transport.set_protocol(Watching())

    start_watching = await proxied.run(watch_messages)
    start_watching()
    proxy.send(TERMINATED)
    await received.wait()
    calls = []

    assert await proxied.run(recording_work(calls), repeatable=repeatable) == 2
    assert await stored_keys(sql) == ["call 2"]


async def test_read_is_repeated_when_its_connection_is_terminated(database, sql):
    calls = []

    async def work(uow):
        calls.append(None)
        if len(calls) == 1:
            await kill(sql, await backend_pid(uow))
        return (await uow.session.exec(text("SELECT 26"))).scalar_one()

    assert await database.read(work) == 26
    assert len(calls) == 2


async def test_both_units_of_work_succeed_after_a_deadlock(database, sql):
    both_hold_a_lock = asyncio.Barrier(2)
    calls = Counter()

    async def take_both(name, first, second, uow):
        calls[name] += 1
        await uow.session.exec(text("SET LOCAL deadlock_timeout = '10ms'"))
        await uow.session.exec(TAKE_LOCK, params={"lock": first})
        if calls[name] == 1:
            await both_hold_a_lock.wait()
        await uow.session.exec(TAKE_LOCK, params={"lock": second})
        await write(uow, name)

    await asyncio.gather(
        database.run(partial(take_both, "one", 1, 2)),
        database.run(partial(take_both, "two", 2, 1)),
    )

    assert sorted(calls.values()) == [1, 2]
    assert await stored_keys(sql) == ["one", "two"]


async def test_work_is_repeated_after_a_serialization_failure(database, sql):
    read_values = []

    async def work(uow):
        await uow.session.exec(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        read_values.append(
            (await uow.session.exec(text("SELECT taken FROM tournament"))).scalar_one()
        )
        if len(read_values) == 1:
            await sql.execute("UPDATE tournament SET taken = 10")
        await uow.session.exec(text("UPDATE tournament SET taken = taken + 1"))

    await database.run(work)

    assert read_values == [0, 10]
    assert await sql.fetchval("SELECT taken FROM tournament") == 11


async def test_rejected_commit_is_repeated_even_if_not_repeatable(database, sql):
    """Two transactions each write what the other has read, so the later commit fails."""
    calls = []
    other = sql.transaction(isolation="serializable")

    async def work(uow):
        await uow.session.exec(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
        await uow.session.exec(text("SELECT count(*) FROM idempotency_record"))
        await recording_work(calls)(uow)
        if len(calls) == 1:
            await write_and_commit()

    async def write_and_commit():
        await sql.execute(str(WRITE).replace(":key", "'the other'"))
        await other.commit()

    await other.start()
    assert await stored_keys(sql) == []
    await database.run(work, repeatable=False)

    assert len(calls) == 2
    assert await stored_keys(sql) == ["call 2", "the other"]


async def test_lock_timeout_is_not_repeated(open_database, sql):
    database = open_database(lock_timeout_seconds=0.05)
    calls = []

    async def work(uow):
        await recording_work(calls)(uow)
        await uow.session.exec(text("SELECT FROM tournament FOR UPDATE"))

    async with sql.transaction():
        await sql.execute("SELECT FROM tournament FOR UPDATE")
        with pytest.raises(ServiceUnavailable) as raised:
            await database.run(work)

    assert sqlstate(raised.value.__cause__) == "55P03"
    assert len(calls) == 1
    assert await stored_keys(sql) == []


async def test_statement_timeout_is_not_repeated(open_database, sql):
    database = open_database(statement_timeout_seconds=0.05)
    calls = []

    async def work(uow):
        await recording_work(calls)(uow)
        await uow.session.exec(text("SELECT pg_sleep(60)"))

    with pytest.raises(ServiceUnavailable) as raised:
        await database.run(work)

    assert sqlstate(raised.value.__cause__) == "57014"
    assert len(calls) == 1
    assert await stored_keys(sql) == []


async def test_pool_timeout_is_not_repeated_and_work_not_called(open_database, sql):
    database = open_database(pool_size=1, max_overflow=0, pool_timeout_seconds=0.1)
    started, finish = asyncio.Event(), asyncio.Event()
    calls = []

    async def hold(uow):
        await write(uow, "holder")
        started.set()
        await finish.wait()

    holder = asyncio.create_task(database.run(hold))
    await started.wait()
    with capture_logs() as logs, pytest.raises(ServiceUnavailable):
        await database.run(recording_work(calls))
    finish.set()
    await holder

    assert calls == []
    assert [line["event"] for line in logs] == ["database_unavailable"]
    assert await stored_keys(sql) == ["holder"]


async def test_cancelled_work_is_rolled_back_and_frees_its_connection(open_database, sql):
    database = open_database(pool_size=1, max_overflow=0)
    started = asyncio.Event()

    async def hang(uow):
        await write(uow, "cancelled")
        started.set()
        await asyncio.Event().wait()

    hanging = asyncio.create_task(database.run(hang))
    await started.wait()
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging

    assert await database.run(recording_work([])) == 1
    assert await stored_keys(sql) == ["call 1"]


@pytest.mark.parametrize(("delivers", "rows"), [(True, ["call 1", "call 2"]), (False, ["call 2"])])
async def test_commit_without_an_answer_is_repeated(proxy, proxied, sql, delivers, rows):
    proxy.connections_to_cut, proxy.delivers_commit = 1, delivers
    calls = []

    assert await proxied.run(recording_work(calls)) == 2
    assert await stored_keys(sql) == rows


@pytest.mark.parametrize(("delivers", "rows"), [(True, ["call 1"]), (False, [])])
async def test_commit_without_an_answer_is_not_repeated_for_unrepeatable_work(
    proxy, proxied, sql, delivers, rows
):
    proxy.connections_to_cut, proxy.delivers_commit = 1, delivers
    calls = []

    with pytest.raises(ServiceUnavailable):
        await proxied.run(recording_work(calls), repeatable=False)

    assert len(calls) == 1
    assert await stored_keys(sql) == rows


async def test_unrepeatable_work_is_repeated_before_its_commit(database, sql):
    calls = []

    async def work(uow):
        await recording_work(calls)(uow)
        if len(calls) == 1:
            await uow.session.exec(TERMINATE_SELF)

    await database.run(work, repeatable=False)

    assert len(calls) == 2
    assert await stored_keys(sql) == ["call 2"]


async def test_constraint_violation_is_raised_unchanged(database, sql):
    calls = []

    async def work(uow):
        await recording_work(calls)(uow)
        await write(uow, "call 1")

    with pytest.raises(IntegrityError) as raised:
        await database.run(work)

    assert sqlstate(raised.value) == "23505"
    assert violated_constraint(raised.value) == "pk_idempotency_record"
    assert len(calls) == 1
    assert await stored_keys(sql) == []


async def test_error_of_the_work_itself_is_raised_unchanged(database, sql):
    calls = []
    error = ValueError("of the test")

    async def work(uow):
        await recording_work(calls)(uow)
        raise error

    with pytest.raises(ValueError, match="of the test") as raised:
        await database.run(work)

    assert raised.value is error
    assert len(calls) == 1
    assert await stored_keys(sql) == []


async def test_error_messages_do_not_contain_values(database):
    async def work(uow):
        await write(uow, NAME)
        await write(uow, NAME)

    with pytest.raises(IntegrityError) as raised:
        await database.run(work)

    assert NAME not in str(raised.value)
    assert NAME not in render_exception(raised.value)
