"""Teams that a unit of work reads and changes."""

from dataclasses import replace
from datetime import date

import pytest

from domain.errors.exceptions import InvalidForm
from domain.registration.forms import PlayerRole, ValidPlayer
from domain.teams.status import TeamStatus
from persistence.ids import new_id
from persistence.models import Team
from persistence.pagination import PageRequest
from persistence.repositories.team_search import (
    Include,
    TeamFilter,
    TeamOrderField,
    TeamQuery,
    keyset_order,
)
from persistence.repositories.teams import PlayerValues
from tests import factories
from tests.schema.teams.test_decisions import everything, register
from tests.statement_recorder import record_statements


def player_values(player, **changes):
    """The values of a player's record, with changes."""
    valid_player = ValidPlayer(
        name=player.name,
        normalized_name=player.name.lower(),
        role=player.role,
        jersey_number=player.jersey_number,
        date_of_birth=player.date_of_birth,
    )
    return PlayerValues(
        id=player.id, position=player.position, valid_player=replace(valid_player, **changes)
    )


@pytest.fixture
async def code(client):
    return await register(client, 1, players=factories.players(11))


async def test_team_is_read_with_two_statements(database, code):
    with record_statements() as statements:
        team = await database.read(lambda uow: uow.teams.find(code))

    assert (team.code, len(team.players)) == (code, 11)
    assert len(statements) == 2


@pytest.mark.parametrize(
    ("include", "count"),
    [
        (Include(), 3),
        (Include(documents=False), 2),
        (Include(players=False), 2),
        (Include(players=False, documents=False), 1),
    ],
)
async def test_page_takes_one_statement_and_one_for_each_relation(
    database, client, code, include, count
):
    await register(client, 2, players=factories.players(11))
    query = TeamQuery(
        filters=TeamFilter(),
        order=keyset_order(TeamOrderField.CODE),
        request=PageRequest(size=10),
    )

    with record_statements() as statements:
        page = await database.read(
            lambda uow: uow.team_search.page(query, include=include, with_contacts=True)
        )

    assert [team.code for team in page.rows] == ["ICCT-001", "ICCT-002"]
    assert [len(team.players) for team in page.rows] == [11 if include.players else 0] * 2
    assert len(statements) == count


async def test_team_that_the_session_holds_is_read_again_after_an_update(database, clock, code):
    async def work(uow):
        before = await uow.teams.find(code)
        entity = await uow.session.get_one(Team, before.id)
        locked = replace(await uow.teams.lock(code), request_fingerprint=b"request")
        await uow.teams.set_status(locked, TeamStatus.REJECTED, now=clock())
        after = await uow.teams.find(code)
        return before, after, await uow.teams.lock(code), entity.code

    before, after, locked, _ = await database.run(work)

    assert (before.status, before.version) == (TeamStatus.PENDING, 1)
    assert (after.status, after.version) == (TeamStatus.REJECTED, 2)
    assert (locked.version, locked.last_change) == (2, b"request")


async def test_added_changed_and_removed_players_are_read_in_the_same_unit_of_work(database, code):
    async def work(uow):
        team = await uow.teams.find(code)
        entity = await uow.session.get_one(Team, team.id)
        first, second, third, *_ = team.players
        swapped = [
            player_values(first, jersey_number=second.jersey_number),
            player_values(second, jersey_number=first.jersey_number, name="Second Player"),
        ]
        await uow.teams.update_players(swapped)
        await uow.teams.remove_players([third.id])
        added = PlayerValues(
            id=new_id(),
            position=12,
            valid_player=ValidPlayer(
                name="New Player",
                normalized_name="new player",
                role=PlayerRole.BOWLER,
                jersey_number=third.jersey_number,
                date_of_birth=date(2000, 2, 29),
            ),
        )
        await uow.teams.add_players(team.id, [added])
        return team, await uow.teams.find(code), entity.code

    before, after, _ = await database.run(work)

    first, second, third, *others = before.players
    assert after.players[:-1] == (
        replace(first, jersey_number=second.jersey_number),
        replace(second, jersey_number=first.jersey_number, name="Second Player"),
        *others,
    )
    new_player = after.players[-1]
    assert (new_player.position, new_player.name, new_player.role) == (
        12,
        "New Player",
        PlayerRole.BOWLER,
    )
    assert (new_player.jersey_number, new_player.date_of_birth) == (
        third.jersey_number,
        date(2000, 2, 29),
    )


async def test_name_of_another_live_team_is_refused_when_a_team_is_reopened(
    client, database, clock, sql, code
):
    await sql.execute("UPDATE team SET status = 'REJECTED'")
    await register(client, 1)
    before = await everything(sql)

    async def reopen(uow):
        locked = await uow.teams.lock(code)
        await uow.teams.set_status(locked, TeamStatus.PENDING, now=clock())

    with pytest.raises(InvalidForm):
        await database.run(reopen)

    assert await everything(sql) == before
