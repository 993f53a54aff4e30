"""Demo teams."""

from datetime import date

from domain.registration.validation import validate_form
from domain.tournaments import TournamentRules
from resolvers.registration.demo import demo_form, seed_demo


def test_demo_teams_are_valid_and_share_no_unique_value():
    checked = [
        validate_form(demo_form(n), TournamentRules(), today=date(2026, 11, 23)) for n in range(500)
    ]

    assert [entry.issues for entry in checked if entry.issues] == []
    assert len({entry.keys.captain_email for entry in checked}) == 500
    assert len({entry.keys.captain_phone for entry in checked}) == 500
    assert len({(entry.keys.church, entry.keys.team_name) for entry in checked}) == 500


async def test_demo_teams_are_added_once_even_without_their_keys(services, sql, clock):
    added = [await seed_demo(services, 3), await seed_demo(services, 3)]
    clock.advance(hours=25)
    added.append(await seed_demo(services, 4))

    assert added == [3, 0, 1]
    assert await sql.fetchval("SELECT count(*) FROM team") == 4
