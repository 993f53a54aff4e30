"""Faults of the application's own background tasks: shown by health and measures, and mended."""

import pytest
from structlog.testing import capture_logs

from resilience import background_tasks as backgrounds
from resolvers.operations import maintenance
from tests.graphql_client import app_client, data, execute
from tests.server_processes import wait_until

HEALTH = "{ health { status checks { name status } } }"
FAIL = """
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'made to fail' USING ERRCODE = '{0}'; END $$;
    CREATE TRIGGER fail BEFORE {2} ON {1} EXECUTE FUNCTION fail();
"""
MEND = "DROP FUNCTION fail() CASCADE"


@pytest.fixture
def hurried(monkeypatch):
    """Pauses of a moment; the order of events stays as it is."""
    monkeypatch.setattr(maintenance, "INITIAL_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(maintenance, "PRUNE_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(backgrounds, "MIN_RESTART_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(backgrounds, "MAX_RESTART_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(backgrounds, "HEALTHY_AFTER_SECONDS", 0.05)


@pytest.fixture
async def client(hurried, settings_with, database, database_url):
    async with app_client(settings_with(outbox_in_server=True), database_url) as opened:
        yield opened


@pytest.fixture
async def unmended(sql):
    """Takes away a fault that a failed test has left."""
    yield
    await sql.execute("DROP FUNCTION IF EXISTS fail() CASCADE")


async def degraded(client):
    """Parts that are DEGRADED by /health and by the query `health`, asked one after the other."""
    body = (await client.get("/health")).json()
    asked = data(await execute(client, HEALTH))["health"]
    return [
        [check["name"] for check in checks if check["status"] == "DEGRADED"]
        for checks in (body["checks"], asked["checks"])
    ]


async def up(client, task):
    return f'background_task_up{{task="{task}"}} 1.0' in (await client.get("/metrics")).text


async def fails_and_recovers(client, task, mend):
    with capture_logs() as logs:

        async def is_degraded():
            return await degraded(client) == [[task], [task]]

        async def is_well():
            return await degraded(client) == [[], []]

        await wait_until(is_degraded, f"{task} is degraded")
        assert not await up(client, task)
        failures = [entry for entry in logs if entry["event"] == "background_task_failed"]
        await mend()
        await wait_until(is_well, f"{task} is well again")
        assert await up(client, task)
    again = [entry for entry in logs if entry["event"] == "background_task_failed"]
    assert [entry["task"] for entry in again] == [task]
    assert failures == again
    return failures[0]


@pytest.mark.parametrize(
    ("sqlstate", "table"),
    [
        ("53100", "idempotency_record"),
        ("25006", "idempotency_record"),
        ("23514", "idempotency_record"),
        ("XX000", "organiser_session"),
        ("53200", "organiser_session"),
        ("42501", "organiser_session"),
    ],
)
async def test_prune_that_fails_is_shown_and_goes_on_by_itself(
    client, sql, sqlstate, table, unmended
):
    await sql.execute(FAIL.format(sqlstate, table, "DELETE"))

    async def mend():
        await sql.execute(MEND)

    await fails_and_recovers(client, "prune", mend)


async def test_outbox_that_fails_is_shown_and_goes_on_by_itself(client, sql):
    await sql.execute("ALTER TABLE outbox_message RENAME COLUMN kind TO gone")
    try:
        await sql.execute("SELECT pg_notify('outbox', '')")

        async def mend():
            await sql.execute("ALTER TABLE outbox_message RENAME COLUMN gone TO kind")
            await sql.execute("SELECT pg_notify('outbox', '')")

        async def fails():
            return (await client.get("/health")).json()["status"] == "DEGRADED"

        await wait_until(fails, "a task fails")
        names = set((await degraded(client))[0])
        await mend()
    except BaseException:
        await sql.execute("ALTER TABLE outbox_message RENAME COLUMN gone TO kind")
        raise

    async def is_well():
        return await degraded(client) == [[], []]

    await wait_until(is_well, "all is well again")
    assert "outbox" in names


async def test_other_parts_are_pruned_while_one_fails(services, sql, clock, unmended):
    await sql.execute(
        "INSERT INTO idempotency_record (operation, key, fingerprint, team_id, expires_at)"
        " VALUES ('register', 'k', '', gen_random_uuid(), $1)",
        clock.now,
    )
    await sql.execute(FAIL.format("23514", "organiser_session", "DELETE"))

    with pytest.raises(Exception, match="made to fail"):
        await maintenance.prune(services)

    assert await sql.fetchval("SELECT count(*) FROM idempotency_record") == 0
