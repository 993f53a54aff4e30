from resolvers.registration import register_team
from resolvers.upkeep import drift, prune
from tests import make


async def test_counts_that_are_right_show_no_drift(services):
    await register_team(services, make.form(), key=None, request_id="request")

    assert await drift(services) == []


async def test_counts_that_are_wrong_are_named(services, sql):
    team = (await register_team(services, make.form(), key=None, request_id="request")).team
    await sql.execute("UPDATE team SET status = 'REJECTED'")

    found = await drift(services)

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

    assert [await prune(services), await prune(services)] == [1, 0]
    assert await sql.fetchval("SELECT key FROM idempotency_record") == "key of today"
