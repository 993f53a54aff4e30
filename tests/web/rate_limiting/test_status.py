"""Rate limits in the headers of responses."""

import pytest

from domain.auth.roles import Role
from tests.accounts import bearer_headers
from tests.graphql_client import app_client, data, error_extensions, execute

NAME = "{ tournament { name } }"


@pytest.fixture
def counting(settings_with, database, database_url):
    """The application where a client may ask three times a minute."""
    settings = settings_with(enable_rate_limiting=True, rate_limit_queries=3)
    return lambda: app_client(settings, database_url)


async def test_every_counted_answer_tells_the_standing(counting):
    async with counting() as client:
        answers = [await execute(client, NAME) for _ in range(4)]
        uncounted = await client.get("/livez")

    told = [answer.headers["RateLimit"] for answer in answers]
    assert [one.partition(";t=")[0] for one in told] == [f'"queries";r={n}' for n in (2, 1, 0, 0)]
    assert told[0].endswith(";t=60")
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"queries";q=3;w=60'}
    extensions = error_extensions(answers[3])
    assert (answers[3].status_code, extensions["code"]) == (429, "RATE_LIMITED")
    assert told[3] == f'"queries";r=0;t={extensions["retryAfterSeconds"]}'
    assert "RateLimit" not in uncounted.headers


async def test_organisers_are_counted_wherever_they_are(counting, services):
    viewer, reviewer = [
        await bearer_headers(services, role) for role in (Role.VIEWER, Role.REVIEWER)
    ]
    async with counting() as client:
        for _ in range(3):
            data(await execute(client, NAME))
            data(await execute(client, NAME, **viewer))
        assert error_extensions(await execute(client, NAME))["code"] == "RATE_LIMITED"
        assert error_extensions(await execute(client, NAME, **viewer))["code"] == "RATE_LIMITED"

        data(await execute(client, NAME, **reviewer))


async def test_who_guesses_tokens_is_counted(counting):
    async with counting() as client:
        answers = [await execute(client, NAME, Authorization=f"Bearer ics_{n}") for n in range(5)]

    codes = [error_extensions(answer)["code"] for answer in answers]
    assert codes == ["UNAUTHENTICATED"] * 3 + ["RATE_LIMITED"] * 2


@pytest.mark.parametrize(
    "document", ["{ nothing }", "{ tournament", "{ " + "a " * 3_000 + "}"], ids=len
)
async def test_documents_that_never_run_are_counted(counting, document):
    async with counting() as client:
        answers = [await execute(client, document) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [400] * 3 + [429] * 2
    assert answers[0].headers["RateLimit"] == '"queries";r=2;t=60'


async def test_an_operation_that_ran_is_counted_once(counting):
    async with counting() as client:
        answer = await execute(client, "{ churches(first: 0) { totalCount } }")

    assert answer.headers["RateLimit"] == '"queries";r=2;t=60'
