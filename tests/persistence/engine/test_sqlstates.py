"""Classification of SQLSTATEs, and its effect on units of work and single statements."""

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domain.errors.exceptions import ServiceUnavailable
from persistence.engine.errors import (
    invalidates_connections,
    is_disconnect,
    is_transient,
    is_unavailable,
    sqlstate,
)
from persistence.engine.sqlstates import ErrorClass, classify
from persistence.fast.statement_pool import CompiledStatement

# Read-only, disk full, out of memory, limits, I/O errors, a replaced server.
REFUSED = """
    25006 53000 53100 53200 53300 53400 58000 58030 58P01 57P03 08001 08004 25P03 26000 34000 42P05
""".split()
LOST = "08000 08003 08006 08007 08P01 57P01 57P02 57P04 57P05 40003".split()
CONFLICTS = "40001 40P01 55000 72000".split()
TIMED_OUT = "55P03 57014 57000".split()
LOGIN_REJECTED = "28000 28P01 3D000".split()
# Defects, constraint violations and errors that statements raise on purpose.
OTHERS = "22012 22P02 23505 23503 42601 42P01 42501 P0001 XX000 IC001 00000".split()
RAISE = "CREATE FUNCTION {name}() RETURNS text LANGUAGE plpgsql AS $f$ {body} $f$"
# The first calls fail. A sequence counts them, since a rollback does not reset it.
BODY = """
    BEGIN
        IF nextval('failing') <= {times} THEN RAISE EXCEPTION USING ERRCODE = '{code}'; END IF;
        RETURN CAST(pg_backend_pid() AS text);
    END
"""
WRITE = """
    INSERT INTO idempotency_record
    VALUES ('test', failing(), '', gen_random_uuid(), now()) RETURNING key
"""
WRITE_ONE = CompiledStatement(text(WRITE))
PID = CompiledStatement(text("SELECT CAST(pg_backend_pid() AS text) AS pid"))


@pytest.fixture
async def failing(sql):
    """A function that creates the SQL function `failing()`, which raises a code some times."""

    async def create(code, times):
        await sql.execute("CREATE SEQUENCE failing")
        body = BODY.format(times=times, code=code)
        await sql.execute(RAISE.format(name="failing", body=body))

    yield create
    await sql.execute("DROP FUNCTION IF EXISTS failing")
    await sql.execute("DROP SEQUENCE IF EXISTS failing")


def no_mapping(_error):
    return None


async def work(uow):
    return (await uow.session.exec(text(WRITE))).scalar_one()


async def pid(uow):
    return (await uow.session.exec(text(PID.text))).scalar_one()


async def write(database):
    rows = await database.write(WRITE_ONE, {}, repeatable=False, map_error=no_mapping)
    return rows[0]["key"]


async def read_pid(database):
    return (await database.fetch(PID))[0]["pid"]


async def stored(sql):
    return [row["key"] for row in await sql.fetch("SELECT key FROM idempotency_record ORDER BY 1")]


@pytest.mark.parametrize("code", REFUSED)
def test_server_refusal_invalidates_connections_and_is_retryable(code):
    assert classify(code) == ErrorClass(
        invalidates_connections=True,
        is_retryable=True,
        is_unavailable=True,
        is_outcome_unknown=False,
    )


@pytest.mark.parametrize("code", LOST)
def test_lost_connection_leaves_the_outcome_unknown(code):
    assert classify(code) == ErrorClass(
        invalidates_connections=True,
        is_retryable=True,
        is_unavailable=True,
        is_outcome_unknown=True,
    )


@pytest.mark.parametrize("code", CONFLICTS)
def test_conflict_is_retryable_and_keeps_connections(code):
    assert classify(code) == ErrorClass(is_retryable=True, is_unavailable=True)


@pytest.mark.parametrize("code", TIMED_OUT)
def test_timeout_is_not_retryable(code):
    assert classify(code) == ErrorClass(is_unavailable=True)


@pytest.mark.parametrize("code", LOGIN_REJECTED)
def test_rejected_login_is_unavailable_and_not_retryable(code):
    assert classify(code) == ErrorClass(invalidates_connections=True, is_unavailable=True)


@pytest.mark.parametrize("code", [*OTHERS, "", None])
def test_other_codes_have_no_consequences(code):
    assert classify(code) == ErrorClass()
    assert classify(code, "ERROR") == ErrorClass()


@pytest.mark.parametrize("severity", ["FATAL", "PANIC"])
def test_closing_severity_counts_as_a_lost_connection(severity):
    assert classify("XX000", severity) == classify("08006")


async def test_asyncpg_error_is_classified_by_severity():
    error = asyncpg.PostgresError.new({"C": "XX000", "S": "FATAL", "V": "FATAL", "M": "gone"})

    assert is_disconnect(error)
    assert invalidates_connections(error)
    assert is_transient(error)
    assert is_unavailable(error)


@pytest.mark.parametrize("code", REFUSED)
async def test_work_refused_once_succeeds_on_another_connection(database, sql, failing, code):
    first = await database.run(pid)
    reader = await read_pid(database)
    await failing(code, 1)

    second = await database.run(work, repeatable=False)

    assert second != first
    # One failure invalidates every pool.
    assert await read_pid(database) != reader
    assert await stored(sql) == [second]


@pytest.mark.parametrize("code", REFUSED)
async def test_statement_refused_once_succeeds_on_another_connection(database, sql, failing, code):
    reader, worker = await read_pid(database), await database.run(pid)
    await failing(code, 1)

    third = await write(database)

    assert len({reader, worker, third}) == 3
    assert await read_pid(database) != reader
    assert await database.run(pid) != worker
    assert await stored(sql) == [third]


@pytest.mark.parametrize(
    ("codes", "calls"),
    [(REFUSED, 3), (LOST[:5], 1), (CONFLICTS, 3), (TIMED_OUT, 1), (LOGIN_REJECTED, 1)],
)
async def test_statement_refused_always_is_unavailable_and_writes_nothing(
    database, sql, failing, codes, calls
):
    for code in codes:
        await failing(code, 1000)
        with pytest.raises(ServiceUnavailable) as unavailable:
            await write(database)
        called = await sql.fetchval("SELECT last_value FROM failing")
        await sql.execute("DROP FUNCTION failing; DROP SEQUENCE failing")

        cause = unavailable.value.__cause__
        assert (code, sqlstate(cause) or sqlstate(cause.__cause__)) == (code, code)
        assert (code, called, unavailable.value.retry_after_seconds) == (code, calls, 2)
    assert await stored(sql) == []


@pytest.mark.parametrize("code", OTHERS[:-1])
async def test_other_codes_are_raised_unchanged_and_keep_the_connection(
    database, sql, failing, code
):
    reader = await read_pid(database)
    await failing(code, 1000)

    with pytest.raises(asyncpg.PostgresError) as raised:
        await write(database)
    with pytest.raises(DBAPIError) as raised_by_work:
        await database.run(work)

    assert (sqlstate(raised.value), sqlstate(raised_by_work.value)) == (code, code)
    assert await sql.fetchval("SELECT last_value FROM failing") == 2
    assert await read_pid(database) == reader
    assert await stored(sql) == []
