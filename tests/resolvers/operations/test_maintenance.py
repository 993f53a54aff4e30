"""Diagnosis, pruning and the hourly comparison of stores."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from domain.auth.roles import Role
from domain.errors.exceptions import StorageUnavailable
from integrations.storage.cloudinary_store import CloudinaryStore
from resilience.breaker_states import BreakerState
from resilience.circuit_breaker import ServiceGuard, ServiceGuardOptions
from resolvers.accounts import api_tokens
from resolvers.operations.maintenance import diagnose, prune, prune_outbox, run_maintenance
from resolvers.registration.register import register_team
from tests import factories
from tests.accounts import new_caller


async def test_correct_counters_show_no_drift(services):
    await register_team(services, factories.form(), key=None, request_id="request")

    result = await diagnose(services)

    assert (result.drift, result.store, result.unavailable_stores) == ([], "folder", ())


async def test_wrong_counters_are_reported(services, sql):
    team = (await register_team(services, factories.form(), key=None, request_id="request")).team
    await sql.execute("UPDATE team SET status = 'REJECTED'")

    result = (await diagnose(services)).drift

    tournament = await sql.fetchval("SELECT id FROM tournament")
    assert {(entry.entity, entry.taken, entry.live_teams) for entry in result} == {
        (f"tournament {tournament}", 1, 0),
        (f"church {team.church.id}", 1, 0),
    }


async def test_only_expired_idempotency_keys_are_deleted(services, sql, clock):
    await register_team(services, factories.form(0), key="key of yesterday", request_id="request")
    clock.advance(hours=1)
    await register_team(services, factories.form(1), key="key of today", request_id="request")
    clock.advance(hours=23)

    forgotten = [(await prune(services)).idempotency_records for _ in range(2)]

    assert forgotten == [1, 0]
    assert await sql.fetchval("SELECT key FROM idempotency_record") == "key of today"


async def test_expired_sessions_and_api_tokens_are_deleted(services, sql, clock):
    created = await api_tokens.create(
        services, await new_caller(services), name="export", role=Role.VIEWER, days=1
    )

    forgotten = [(await prune(services)).credentials]
    for hours in (12, 12):
        clock.advance(hours=hours)
        forgotten.append((await prune(services)).credentials)

    assert created.record.expires_at == clock.now
    assert forgotten == [0, 1, 1]
    assert await sql.fetchval("SELECT count(*) FROM organiser") == 1


MESSAGE = """
    INSERT INTO outbox_message (id, kind, payload, created_at, due_at, finished_at, dead_at)
    VALUES (gen_random_uuid(), $1, '{}', $2, $2, $3, $4)
"""


async def test_delivered_messages_are_deleted_after_their_retention(services, sql, clock):
    delivered_at = clock.now
    long_ago = clock.now - timedelta(days=400)
    await sql.execute(MESSAGE, "delivered", long_ago, delivered_at, None)
    await sql.execute(MESSAGE, "delivered later", long_ago, clock.now + timedelta(seconds=1), None)
    await sql.execute(MESSAGE, "dead", long_ago, None, long_ago)
    await sql.execute(MESSAGE, "pending", long_ago, None, None)
    clock.advance(days=30)
    early = await sql.fetch("SELECT * FROM outbox_message ORDER BY kind")

    before = (await prune(services)).outbox_messages
    kept = await sql.fetch("SELECT * FROM outbox_message ORDER BY kind")
    clock.advance(seconds=0.5)
    after = [(await prune(services)).outbox_messages for _ in range(2)]

    assert (before, kept) == (0, early)
    assert after == [1, 0]
    assert await sql.fetch("SELECT * FROM outbox_message ORDER BY kind") == [
        row for row in early if row["kind"] != "delivered"
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
async def test_messages_are_deleted_in_batches(services, sql, clock, count):
    for _ in range(count):
        await sql.execute(MESSAGE, "media.move", clock.now, clock.now, None)
    clock.advance(days=31)

    assert await prune_outbox(services, batch_size=2) == count
    assert await sql.fetchval("SELECT count(*) FROM outbox_message") == 0


async def test_unavailable_store_is_reported(services, settings):
    (settings.data_dir / "documents").write_bytes(b"a file where the folder should be")

    result = await diagnose(services)

    assert result.unavailable_stores == ("folder",)


@pytest.fixture
def cloudinary_services(services, stand_in):
    """Services with a Cloudinary store; `stand_in` counts three calls for one listing."""
    guard = ServiceGuard(
        "cloudinary",
        ServiceGuardOptions(attempts=3, retry_wait_seconds=0),
        transient=CloudinaryStore.TRANSIENT,
        unavailable=StorageUnavailable,
    )
    store = CloudinaryStore(stand_in.url, guard, timeout_seconds=5)
    storage = replace(services.storage, primary_store=store, stores={store.name: store})
    return replace(services, storage=storage)


async def test_store_is_listed_once_an_hour_by_all_processes(cloudinary_services, stand_in, clock):
    counts = []
    for minutes in (0, 1, 58, 1, 59, 1):
        clock.advance(minutes=minutes)
        await asyncio.gather(*(run_maintenance(cloudinary_services) for _ in range(5)))
        counts.append(stand_in.total_calls)

    assert counts == [3, 3, 3, 6, 6, 9]


@pytest.mark.parametrize("table", ["organiser_session", "idempotency_record"])
async def test_store_is_not_listed_again_while_another_step_fails(
    cloudinary_services, stand_in, sql, clock, table
):
    await sql.execute(
        "INSERT INTO idempotency_record (operation, key, fingerprint, team_id, expires_at)"
        " VALUES ('register', 'k', '', gen_random_uuid(), $1)",
        clock.now,
    )
    await sql.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'made to fail' USING ERRCODE = '23514'; END $$;"
        f"CREATE TRIGGER fail BEFORE DELETE ON {table} EXECUTE FUNCTION fail()"
    )

    try:
        for _ in range(10):
            with pytest.raises(Exception, match="made to fail"):
                await run_maintenance(cloudinary_services)
            clock.advance(minutes=1)
    finally:
        await sql.execute("DROP FUNCTION fail() CASCADE")

    assert stand_in.total_calls == 3


@pytest.mark.parametrize("mood", ["420", "429", "500", "503", "page", "401"])
async def test_store_that_refuses_a_listing_is_not_asked_again_within_the_hour(
    cloudinary_services, stand_in, clock, mood
):
    stand_in.mood = mood
    for _ in range(10):
        await run_maintenance(cloudinary_services)
        clock.advance(minutes=5)

    assert stand_in.total_calls == 1
    assert cloudinary_services.storage.primary_store.guard.state == BreakerState.CLOSED
