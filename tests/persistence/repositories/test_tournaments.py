import asyncio
from functools import partial

import pytest

from domain.documents import DocumentKind
from domain.tournaments import TournamentRules
from persistence.repositories import tournaments

DEFAULT_RULES = TournamentRules(
    squad_min=11,
    squad_max=15,
    teams_per_church=2,
    capacity=16,
    opens_at=None,
    closes_at=None,
    required_documents=(),
    consent_version=None,
)


@pytest.fixture
def empty_database(open_database):
    return open_database()


@pytest.fixture
def create(clock):
    def work(**changes):
        wanted = {"capacity": 16, "required_documents": ()} | changes
        return partial(tournaments.create_default, **wanted, now=clock.now)

    return work


async def test_default_tournament_is_open_with_the_rules_of_the_event(empty_database, create):
    assert await empty_database.run(create())

    found = await empty_database.read(tournaments.get_active)
    assert (found.name, found.code_prefix) == ("ICCT26 Cricket Tournament", "ICCT")
    assert (found.fee_amount, found.fee_currency, found.time_zone) == (2026, "INR", "Asia/Kolkata")
    assert (found.venue, found.upi_id, found.upi_payee, found.taken) == (None, None, None, 0)
    assert found.rules == DEFAULT_RULES


async def test_default_tournament_takes_capacity_and_documents_of_the_settings(
    empty_database, create
):
    kinds = (DocumentKind.PASTOR_LETTER, DocumentKind.GROUP_PHOTO)
    await empty_database.run(create(capacity=None, required_documents=kinds))

    rules = (await empty_database.read(tournaments.get_active)).rules
    assert (rules.capacity, rules.required_documents) == (None, kinds)


async def test_second_start_leaves_the_tournament_as_it_is(empty_database, create):
    assert await empty_database.run(create()) is True
    before = await empty_database.read(tournaments.get_active)

    assert await empty_database.run(create(capacity=99)) is False
    assert await empty_database.read(tournaments.get_active) == before


async def test_tournament_that_is_over_is_not_replaced(database, create, sql):
    await sql.execute("UPDATE tournament SET is_active = false")

    assert await database.run(create()) is False
    assert await sql.fetchval("SELECT count(*) FROM tournament") == 1


async def test_starts_at_once_make_one_tournament(open_database, create):
    starting = [open_database() for _ in range(8)]

    made = await asyncio.gather(*(database.run(create()) for database in starting))

    assert sorted(made) == [False] * 7 + [True]
    assert (await starting[0].read(tournaments.get_active)).rules == DEFAULT_RULES


async def test_room_is_made_beyond_the_teams_that_are_there_and_the_default_capacity(database, sql):
    await sql.execute("UPDATE tournament SET taken = 16, required_documents = '{PASTOR_LETTER}'")

    await database.run(partial(tournaments.raise_capacity, count=5))

    found = await database.read(tournaments.get_active)
    assert (found.taken, found.rules.capacity) == (16, 16 + 5 + 16)
    assert (found.rules.teams_per_church, found.rules.required_documents) == (None, ())


@pytest.mark.parametrize("capacity", [100, None])
async def test_room_that_is_there_is_not_taken_away(database, sql, capacity):
    await sql.execute("UPDATE tournament SET taken = 16, capacity = $1", capacity)

    await database.run(partial(tournaments.raise_capacity, count=5))

    assert (await database.read(tournaments.get_active)).rules.capacity == capacity
