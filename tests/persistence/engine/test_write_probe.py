"""Whether the database takes writes, as health is told."""

import asyncio
from time import monotonic

import pytest

from persistence.engine import write_probe
from persistence.engine.write_probe import WriteProbe
from resolvers.tournaments import queries
from tests import make
from tests.persistence.engine.test_sqlstates import OTHERS

REFUSE = """
    CREATE FUNCTION refuse_writes() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $f$;
    CREATE TRIGGER refuse_writes BEFORE INSERT ON {table}
    EXECUTE FUNCTION refuse_writes();
"""
REFUSING = "53100 25006 58030 58000".split()
TABLES = "team idempotency_record church player audit_event outbox_message tournament".split()


@pytest.fixture
async def refuse(sql):
    """A function that makes PostgreSQL refuse to write to a table; undone by its second one."""

    async def undo():
        await sql.execute("DROP FUNCTION IF EXISTS refuse_writes CASCADE")

    async def begin(code, table="idempotency_record"):
        await undo()
        await sql.execute(REFUSE.format(code=code, table=table))

    yield begin, undo
    await undo()


@pytest.fixture
async def probe(database_url):
    made = WriteProbe(database_url, cache_seconds=0)
    yield made
    await made.close()


async def counts(sql):
    """Rows, and the transactions that wrote them."""
    return [
        await sql.fetchrow(f"SELECT count(*), max(xmin::text::bigint) FROM {table}")
        for table in TABLES
    ]


async def test_database_that_writes_is_found_out_and_nothing_stays(probe, database, sql):
    before = await counts(sql)

    assert await probe.accepts_writes(timeout_seconds=30)

    assert await counts(sql) == before


@pytest.mark.parametrize("code", REFUSING)
async def test_refused_write_is_told_until_one_is_done(probe, refuse, code):
    begin, undo = refuse
    await begin(code)
    assert not await probe.accepts_writes(timeout_seconds=30)
    assert not await probe.accepts_writes(timeout_seconds=30)

    await undo()

    assert await probe.accepts_writes(timeout_seconds=30)


@pytest.mark.parametrize("code", OTHERS[:-2])
async def test_other_failure_of_the_probe_is_not_one_of_writing(probe, refuse, code):
    begin, _ = refuse
    await begin(code)

    assert await probe.accepts_writes(timeout_seconds=30)


async def test_refused_write_of_the_service_counts_more_than_a_small_probe(database_url):
    probe = WriteProbe(database_url)
    probe.mark_refused()
    assert not await probe.accepts_writes(timeout_seconds=30)
    probe.mark_accepted()
    assert await probe.accepts_writes(timeout_seconds=30)
    await probe.close()


async def test_those_who_ask_together_cause_one_write(database_url, proxy):
    probe = WriteProbe(proxy.url)
    proxy.connect_response = b""

    answers = await asyncio.gather(*(probe.accepts_writes(timeout_seconds=30) for _ in range(20)))
    await probe.accepts_writes(timeout_seconds=30)

    # A database that cannot be reached is none that refuses to write.
    assert answers == [True] * 20
    assert proxy.refused_connections == 1
    await probe.close()


async def test_write_that_hangs_is_waited_for_as_long_as_asked_and_is_none(
    database_url, sql, monkeypatch
):
    monkeypatch.setattr(write_probe, "TIMEOUT_SECONDS", 0.3)
    probe = WriteProbe(database_url, cache_seconds=60)
    async with sql.transaction():
        await sql.execute("LOCK TABLE idempotency_record")
        began = monotonic()
        first = await probe.accepts_writes(timeout_seconds=0.01)
        waited = monotonic() - began
        second = await probe.accepts_writes(timeout_seconds=30)

    assert (first, second) == (True, False)
    assert waited < 1
    await probe.close()


@pytest.mark.parametrize("code", REFUSING)
async def test_health_says_that_nothing_can_be_written(services, client, refuse, code):
    begin, _ = refuse
    await begin(code)

    check = await queries.database_check(services)
    ready = await client.get("/readyz")

    assert (check.status, check.latency_ms is not None) == ("DOWN", True)
    assert (ready.status_code, ready.json()["status"]) == (503, "DOWN")


@pytest.mark.parametrize("code", [*REFUSING, "53000", "53200", "53400", "57P03", "26000", "55P03"])
@pytest.mark.parametrize("table", ["team", "idempotency_record"])
async def test_registration_that_cannot_be_written_is_unavailable_and_leaves_nothing(
    client, sql, refuse, code, table
):
    begin, undo = refuse
    await begin(code, table)
    before = await counts(sql)

    refused = await register(client)

    error = refused.json()["errors"][0]["extensions"]
    assert error["code"] == "SERVICE_UNAVAILABLE"
    assert (error["retryable"], error["retryAfterSeconds"]) == (True, 2)
    assert refused.headers["Retry-After"] == "2"
    assert await counts(sql) == before
    ready = await client.get("/readyz")
    assert ready.status_code == (503 if code in REFUSING else 200)

    await undo()
    done = await register(client)
    assert done.json()["data"]["registerTeam"]["team"]["code"] == "ICCT-001"
    assert (await client.get("/readyz")).status_code == 200


async def register(client):
    return await client.post(
        "/graphql",
        json={"query": make.REGISTER, "variables": {"input": make.team()}},
        headers={"Idempotency-Key": "a-key-of-mine"},
    )
