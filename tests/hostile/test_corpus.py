"""Hostile requests are answered, reveal no internals and change nothing."""

import pytest
from structlog.testing import capture_logs

from domain.auth.roles import Role
from schema.limits.complexity import Limit
from schema.limits.query_limits import LIMITS
from tests import factories
from tests.accounts import PASSWORD, SIGN_IN, new_organiser, role_email, with_real_clock
from tests.graphql_client import data, execute
from tests.hostile.corpus import CORPUS, Case, pages_of_others
from tests.hostile.response_checks import CANARY, check
from tests.schema.teams.test_corrections import rows

# One line for the request, and one at most for each root field that was refused.
LINES_MAX = 1 + LIMITS[Limit.ROOT_FIELDS]
LINE_LENGTH_MAX = 1_000


async def send(client, case: Case, **headers: str):
    return await client.request(
        case.method, case.path, content=case.content, headers={**case.headers, **headers}
    )


def test_corpus_has_more_than_100_cases():
    assert len(CORPUS) > 100
    assert len({name for name, _ in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("case", [case for _, case in CORPUS], ids=[name for name, _ in CORPUS])
async def test_hostile_request_is_answered_and_changes_nothing(client, sql, case):
    before = await rows(sql)

    with capture_logs() as written:
        answer = await send(client, case)

    check(answer)
    assert await rows(sql) == before
    assert len(written) <= LINES_MAX
    assert all(len(str(line)) < LINE_LENGTH_MAX for line in written)
    assert not [line for line in written if line["event"] == "unexpected_exception"]
    assert CANARY not in str([line for line in written if line["event"] != "request_finished"])


@pytest.mark.parametrize("case", list(pages_of_others()), ids=lambda case: case.name)
async def test_requests_of_foreign_pages_change_nothing(client, services, sql, case):
    await new_organiser(with_real_clock(services), Role.OWNER)
    wanted = {"email": role_email(Role.OWNER), "password": PASSWORD}
    signed_in = await execute(client, SIGN_IN, {"input": wanted})
    data(signed_in)
    before = await sql.fetch("SELECT name FROM tournament")

    answer = await send(client, case)

    check(answer)
    assert await sql.fetch("SELECT name FROM tournament") == before
    assert answer.json()["errors"]


async def test_service_works_after_the_whole_corpus(client):
    for _, case in CORPUS:
        await send(client, case)

    team = factories.team(7)
    assert data(await execute(client, factories.REGISTER, {"input": team}))["registerTeam"]["team"][
        "code"
    ]
