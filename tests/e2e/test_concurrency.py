"""Concurrent registrations over HTTP with one and two server processes."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from tests import factories
from tests.e2e.rows import registered_codes
from tests.server_processes import register, team_codes, team_or_error_code, wait_until


@pytest.fixture(params=[1, 2], ids=["one-process", "two-processes"])
def processes(request) -> int:
    return request.param


@pytest.fixture
async def serve(make_server, own_url, processes):
    """Start the servers; yield one client for each."""
    async with AsyncExitStack() as stack:

        async def start(**variables):
            servers = [make_server(DATABASE_URL=own_url, **variables) for _ in range(processes)]
            await asyncio.gather(*(server.start() for server in servers))
            return [await stack.enter_async_context(server.client()) for server in servers]

        yield start


async def send_all(clients, teams, keys=None):
    """Send all requests concurrently, distributed over the clients; return the bodies."""
    keys = keys or [None] * len(teams)
    return await asyncio.gather(
        *(
            register(clients[n % len(clients)], team, key)
            for n, (team, key) in enumerate(zip(teams, keys, strict=True))
        )
    )


async def test_200_teams_get_200_consecutive_codes(serve, own_url):
    clients = await serve()
    teams = [factories.team(number) for number in range(200)]

    answers = await send_all(clients, teams)

    assert sorted(map(team_or_error_code, answers)) == team_codes(1, 200)
    expected = {
        team["captain"]["email"]: team_or_error_code(answer)
        for team, answer in zip(teams, answers, strict=True)
    }
    assert await registered_codes(own_url) == expected


async def test_twenty_requests_with_one_key_register_one_team(serve, own_url):
    clients = await serve()
    team, key = factories.team(), "the-one-key"

    answers = await send_all(clients, [team] * 20, [key] * 20)
    late = [
        n for n, body in enumerate(answers) if team_or_error_code(body) == "IDEMPOTENCY_IN_PROGRESS"
    ]
    for n in late:
        assert answers[n]["errors"][0]["extensions"]["retryable"] is True

        async def is_replayed(n=n):
            answers[n] = await register(clients[n % len(clients)], team, key)
            return team_or_error_code(answers[n]) != "IDEMPOTENCY_IN_PROGRESS"

        await wait_until(is_replayed, "the answer is replayed")

    payloads = [body["data"]["registerTeam"] for body in answers]
    assert Counter(payload.pop("replayed") for payload in payloads) == {False: 1, True: 19}
    assert payloads == [payloads[0]] * 20
    assert await registered_codes(own_url) == {team["captain"]["email"]: "ICCT-001"}


async def test_forty_requests_for_sixteen_slots_register_sixteen_teams(serve, own_url):
    clients = await serve(TOURNAMENT_CAPACITY="16")
    teams = [factories.team(number) for number in range(40)]

    answers = await send_all(clients, teams)

    outcomes = Counter(map(team_or_error_code, answers))
    assert outcomes == {"TOURNAMENT_FULL": 24, **dict.fromkeys(team_codes(1, 16), 1)}
    assert list((await registered_codes(own_url)).values()) == team_codes(1, 16)


async def test_ten_requests_for_two_slots_of_a_church_register_two_teams(serve, own_url):
    clients = await serve()
    teams = [factories.team(number, churchName="CSI Christ Church") for number in range(10)]

    answers = await send_all(clients, teams)

    outcomes = Counter(map(team_or_error_code, answers))
    assert outcomes == {"CHURCH_LIMIT_REACHED": 8, **dict.fromkeys(team_codes(1, 2), 1)}
    assert list((await registered_codes(own_url)).values()) == team_codes(1, 2)


async def test_ten_forms_of_one_captain_register_one_team(serve, own_url):
    clients = await serve()
    captain = factories.person(1000)
    teams = [factories.team(number, captain=captain) for number in range(10)]

    answers = await send_all(clients, teams)

    outcomes = Counter(map(team_or_error_code, answers))
    assert outcomes == {"VALIDATION_FAILED": 9, "ICCT-001": 1}
    assert await registered_codes(own_url) == {captain["email"]: "ICCT-001"}
