"""Counters of slots in churches and tournaments."""

import pytest

from tests.schema.teams.test_decisions import register


@pytest.fixture
def slots(client, database, sql):
    """A function that calls a method of `uow.slots` for the only team.

    Returns its result and the counters of church and tournament.
    """

    async def call(method):
        async def work(uow):
            return await getattr(uow.slots, method)(await uow.teams.lock("ICCT-001"))

        result = await database.run(work)
        counters = await sql.fetchrow(
            "SELECT c.taken, t.taken FROM church c JOIN tournament t ON t.id = c.tournament_id"
        )
        return result, *counters

    return call


@pytest.mark.parametrize(
    ("method", "taken"), [("take_in_church", (2, 1)), ("take_in_tournament", (1, 2))]
)
async def test_slot_is_taken_only_below_the_limit(client, slots, sql, method, taken):
    await register(client)
    await sql.execute("UPDATE tournament SET capacity = 2, teams_per_church = 2")

    assert await slots(method) == (True, *taken)
    assert await slots(method) == (False, *taken)


@pytest.mark.parametrize(
    ("method", "taken"), [("take_in_church", (4, 1)), ("take_in_tournament", (1, 4))]
)
async def test_slots_without_a_limit_are_always_free(client, slots, sql, method, taken):
    await register(client)
    await sql.execute("UPDATE tournament SET capacity = NULL, teams_per_church = NULL")

    results = [await slots(method) for _ in range(3)]

    assert [result[0] for result in results] == [True, True, True]
    assert results[-1] == (True, *taken)


async def test_release_frees_the_slots_of_church_and_tournament(client, slots):
    await register(client)

    assert await slots("release") == (None, 0, 0)
