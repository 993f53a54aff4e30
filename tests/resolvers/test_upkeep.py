from domain.roles import Role
from resolvers import api_tokens
from resolvers.registration import register_team
from resolvers.upkeep import examine, prune
from tests import make
from tests.signing_in import caller


async def test_counts_that_are_right_show_no_drift(services):
    await register_team(services, make.form(), key=None, request_id="request")

    found = await examine(services)

    assert (found.drift, found.store, found.stores_away) == ([], "folder", ())


async def test_counts_that_are_wrong_are_named(services, sql):
    team = (await register_team(services, make.form(), key=None, request_id="request")).team
    await sql.execute("UPDATE team SET status = 'REJECTED'")

    found = (await examine(services)).drift

    tournament = await sql.fetchval("SELECT id FROM tournament")
    assert {(entry.of, entry.taken, entry.live_teams) for entry in found} == {
        (f"tournament {tournament}", 1, 0),
        (f"church {team.church.id}", 1, 0),
    }


async def test_expired_keys_are_forgotten_and_others_kept(services, sql, clock):
    await register_team(services, make.form(0), key="key of yesterday", request_id="request")
    clock.advance(hours=1)
    await register_team(services, make.form(1), key="key of today", request_id="request")
    clock.advance(hours=23)

    forgotten = [(await prune(services)).idempotency_records for _ in range(2)]

    assert forgotten == [1, 0]
    assert await sql.fetchval("SELECT key FROM idempotency_record") == "key of today"


async def test_sessions_and_api_tokens_that_have_ended_are_forgotten(services, sql, clock):
    made = await api_tokens.create(
        services, await caller(services), name="export", role=Role.VIEWER, days=1
    )

    forgotten = [(await prune(services)).credentials]
    for hours in (12, 12):
        clock.advance(hours=hours)
        forgotten.append((await prune(services)).credentials)

    assert made.record.expires_at == clock.now
    assert forgotten == [0, 1, 1]
    assert await sql.fetchval("SELECT count(*) FROM organiser") == 1


async def test_a_store_that_does_not_work_is_named(services, settings):
    (settings.data_dir / "documents").write_bytes(b"a file where the folder should be")

    found = await examine(services)

    assert found.stores_away == ("folder",)
