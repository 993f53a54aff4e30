import asyncio

import pytest

from domain.documents import DocumentKind
from domain.tournaments import TournamentRules

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
        values = {"capacity": 16, "required_documents": ()} | changes
        return lambda uow: uow.tournaments.add_default(**values, now=clock.now)

    return work


async def test_default_tournament_is_open_with_the_rules_of_the_event(empty_database, create):
    assert await empty_database.run(create())

    tournament = await empty_database.read(lambda uow: uow.tournaments.get_active())
    assert (tournament.name, tournament.code_prefix) == ("ICCT26 Cricket Tournament", "ICCT")
    assert (tournament.fee_amount, tournament.fee_currency, tournament.time_zone) == (
        2026,
        "INR",
        "Asia/Kolkata",
    )
    assert (tournament.venue, tournament.upi_id, tournament.upi_payee, tournament.taken) == (
        None,
        None,
        None,
        0,
    )
    assert tournament.rules == DEFAULT_RULES


async def test_default_tournament_uses_capacity_and_documents_of_the_settings(
    empty_database, create
):
    kinds = (DocumentKind.PASTOR_LETTER, DocumentKind.GROUP_PHOTO)
    await empty_database.run(create(capacity=None, required_documents=kinds))

    rules = (await empty_database.read(lambda uow: uow.tournaments.get_active())).rules
    assert (rules.capacity, rules.required_documents) == (None, kinds)


async def test_second_start_leaves_the_tournament_unchanged(empty_database, create):
    assert await empty_database.run(create()) is True
    before = await empty_database.read(lambda uow: uow.tournaments.get_active())

    assert await empty_database.run(create(capacity=99)) is False
    assert await empty_database.read(lambda uow: uow.tournaments.get_active()) == before


async def test_inactive_tournament_is_not_replaced(database, create, sql):
    await sql.execute("UPDATE tournament SET is_active = false")

    assert await database.run(create()) is False
    assert await sql.fetchval("SELECT count(*) FROM tournament") == 1


async def test_concurrent_starts_create_one_tournament(open_database, create):
    starting = [open_database() for _ in range(8)]

    results = await asyncio.gather(*(database.run(create()) for database in starting))

    assert sorted(results) == [False] * 7 + [True]
    assert (await starting[0].read(lambda uow: uow.tournaments.get_active())).rules == DEFAULT_RULES


async def test_raised_capacity_exceeds_present_teams_and_default_capacity(database, sql):
    await sql.execute("UPDATE tournament SET taken = 16, required_documents = '{PASTOR_LETTER}'")

    await database.run(lambda uow: uow.tournaments.open_for_demo_teams(count=5))

    tournament = await database.read(lambda uow: uow.tournaments.get_active())
    assert (tournament.taken, tournament.rules.capacity) == (16, 16 + 5 + 16)
    assert (tournament.rules.teams_per_church, tournament.rules.required_documents) == (None, ())


@pytest.mark.parametrize("capacity", [100, None])
async def test_sufficient_capacity_is_kept(database, sql, capacity):
    await sql.execute("UPDATE tournament SET taken = 16, capacity = $1", capacity)

    await database.run(lambda uow: uow.tournaments.open_for_demo_teams(count=5))

    assert (
        await database.read(lambda uow: uow.tournaments.get_active())
    ).rules.capacity == capacity
