"""The write probe, and the health status of a database that rejects writes."""

import asyncio
from time import monotonic

import pytest

from persistence.engine import write_probe
from persistence.engine.write_probe import WriteProbe
from resolvers.operations import health
from tests import factories
from tests.persistence.engine.test_sqlstates import OTHERS

REJECTING_TRIGGER = """
    CREATE FUNCTION refuse_writes() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $f$;
    CREATE TRIGGER refuse_writes BEFORE INSERT ON {table}
    EXECUTE FUNCTION refuse_writes();
"""
REJECTION_CODES = "53100 25006 58030 58000".split()
TABLES = "team idempotency_record church player audit_event outbox_message tournament".split()


@pytest.fixture
async def reject_writes(sql):
    """Two functions: make PostgreSQL reject writes to a table, and undo that."""

    async def undo():
        await sql.execute("DROP FUNCTION IF EXISTS refuse_writes CASCADE")

    async def begin(code, table="idempotency_record"):
        await undo()
        await sql.execute(REJECTING_TRIGGER.format(code=code, table=table))

    yield begin, undo
    await undo()


@pytest.fixture
async def probe(database_url):
    probe = WriteProbe(database_url, cache_seconds=0)
    yield probe
    await probe.close()


async def snapshot(sql):
    """The number of rows and the newest transaction id of each table."""
    return [
        await sql.fetchrow(f"SELECT count(*), max(xmin::text::bigint) FROM {table}")
        for table in TABLES
    ]


async def test_probe_of_a_writable_database_leaves_nothing_behind(probe, database, sql):
    before = await snapshot(sql)

    assert await probe.accepts_writes(timeout_seconds=30)

    assert await snapshot(sql) == before


@pytest.mark.parametrize("code", REJECTION_CODES)
async def test_rejected_probe_counts_until_one_succeeds(probe, reject_writes, code):
    begin, undo = reject_writes
    await begin(code)
    assert not await probe.accepts_writes(timeout_seconds=30)
    assert not await probe.accepts_writes(timeout_seconds=30)

    await undo()

    assert await probe.accepts_writes(timeout_seconds=30)


@pytest.mark.parametrize("code", OTHERS[:-2])
async def test_other_error_of_the_probe_does_not_count_as_rejected(probe, reject_writes, code):
    begin, _ = reject_writes
    await begin(code)

    assert await probe.accepts_writes(timeout_seconds=30)


async def test_rejected_write_of_the_service_outweighs_the_probe(database_url):
    probe = WriteProbe(database_url)
    probe.mark_refused()
    assert not await probe.accepts_writes(timeout_seconds=30)
    probe.mark_accepted()
    assert await probe.accepts_writes(timeout_seconds=30)
    await probe.close()


async def test_concurrent_callers_share_one_write(database_url, proxy):
    probe = WriteProbe(proxy.url)
    proxy.connect_response = b""

    results = await asyncio.gather(*(probe.accepts_writes(timeout_seconds=30) for _ in range(20)))
    await probe.accepts_writes(timeout_seconds=30)

    # An unreachable database does not count as one that rejects writes.
    assert results == [True] * 20
    assert proxy.refused_connections == 1
    await probe.close()


async def test_hanging_write_ends_with_the_timeouts_and_counts_as_rejected(
    database_url, sql, monkeypatch
):
    monkeypatch.setattr(write_probe, "TIMEOUT_SECONDS", 0.3)
    probe = WriteProbe(database_url, cache_seconds=60)
    async with sql.transaction():
        await sql.execute("LOCK TABLE idempotency_record")
        started_at = monotonic()
        first = await probe.accepts_writes(timeout_seconds=0.01)
        waited = monotonic() - started_at
        second = await probe.accepts_writes(timeout_seconds=30)

    assert (first, second) == (True, False)
    assert waited < 1
    await probe.close()


@pytest.mark.parametrize("code", REJECTION_CODES)
async def test_health_is_down_when_writes_are_rejected(services, client, reject_writes, code):
    begin, _ = reject_writes
    await begin(code)

    check = await health.check_database(services)
    ready = await client.get("/readyz")

    assert (check.status, check.latency_ms is not None) == ("DOWN", True)
    assert (ready.status_code, ready.json()["status"]) == (503, "DOWN")


@pytest.mark.parametrize(
    "code", [*REJECTION_CODES, "53000", "53200", "53400", "57P03", "26000", "55P03"]
)
@pytest.mark.parametrize("table", ["team", "idempotency_record"])
async def test_registration_whose_write_is_rejected_is_unavailable_and_leaves_nothing(
    client, sql, reject_writes, code, table
):
    begin, undo = reject_writes
    await begin(code, table)
    before = await snapshot(sql)

    rejected = await register(client)

    error = rejected.json()["errors"][0]["extensions"]
    assert error["code"] == "SERVICE_UNAVAILABLE"
    assert (error["retryable"], error["retryAfterSeconds"]) == (True, 2)
    assert rejected.headers["Retry-After"] == "2"
    assert await snapshot(sql) == before
    ready = await client.get("/readyz")
    assert ready.status_code == (503 if code in REJECTION_CODES else 200)

    await undo()
    accepted = await register(client)
    assert accepted.json()["data"]["registerTeam"]["team"]["code"] == "ICCT-001"
    assert (await client.get("/readyz")).status_code == 200


async def register(client):
    return await client.post(
        "/graphql",
        json={"query": factories.REGISTER, "variables": {"input": factories.team()}},
        headers={"Idempotency-Key": "a-key-of-mine"},
    )
