"""Date-times from clients: one notation, refused at their path by all executors."""

import base64
import json

import pytest
from graphql import parse_value

from domain.auth.roles import Role
from domain.errors.issue_codes import IssueCode
from schema import schema
from schema.scalars import InvalidScalar
from tests import factories
from tests.accounts import bearer_headers
from tests.domain.test_datetimes import INVALID_DATETIMES
from tests.graphql_client import app_client, data, error_extensions, execute
from tests.schema.teams.test_corrections import rows
from tests.schema.teams.test_decisions import register

CORE = schema._schema
UPDATE = """mutation U($input: UpdateTournamentInput!) {
  updateTournament(input: $input) { tournament { registration { opensAt closesAt } } }
}"""
UPDATE_AT = """mutation U($at: DateTime) {
  updateTournament(input: {closesAt: $at}) { tournament { registration { closesAt } } }
}"""
WINDOW = "{ tournament { registration { state opensAt closesAt } } registrationRules { squadMin } }"
EXPORT = "mutation E($input: ExportTeamsInput!) { exportTeams(input: $input) { url } }"
MESSAGE = (
    "Please enter date, time and offset, such as 2026-11-23T09:30:00+05:30, in the years 1900 to"
    " 2200."
)
# Where a moment can be given: a document with the moment as a literal, and the place of it.
PLACES = {
    "opensAt": (
        "mutation { updateTournament(input: {name: %s, opensAt: %s}) { tournament { id } } }",
        ["input", "opensAt"],
    ),
    "closesAt": (
        "mutation { updateTournament(input: {name: %s, closesAt: %s}) { tournament { id } } }",
        ["input", "closesAt"],
    ),
    "registeredFrom": (
        "{ teams(filter: {text: %s, registeredFrom: %s}) { totalCount } }",
        ["filter", "registeredFrom"],
    ),
    "registeredUntil": (
        "{ teams(filter: {text: %s, registeredUntil: %s}) { totalCount } }",
        ["filter", "registeredUntil"],
    ),
    "since": (
        "{ auditLog(filter: {teamId: %s, since: %s}) { totalCount } }",
        ["filter", "since"],
    ),
    "until": (
        "{ auditLog(filter: {teamId: %s, until: %s}) { totalCount } }",
        ["filter", "until"],
    ),
    "export": (
        "mutation { exportTeams(input: {format: CSV, filter: {text:%s, registeredFrom: %s}}){url}}",
        ["input", "filter", "registeredFrom"],
    ),
}


@pytest.fixture
async def owner(services) -> dict[str, str]:
    return await bearer_headers(services, Role.OWNER)


def check_refusal(answer, path: list[str], shown: str) -> None:
    extensions = error_extensions(answer)
    assert (answer.status_code, extensions["code"]) == (400, "BAD_USER_INPUT")
    assert answer.json()["errors"][0]["message"] == f"{shown}: {MESSAGE}"
    (issue,) = extensions["issues"]
    assert (issue["path"], issue["code"]) == (path, "DATE_TIME_INVALID")
    assert issue["pointer"] == "/" + "/".join(path)


async def test_invalid_date_time_variable_is_refused_and_writes_nothing(client, owner, sql):
    before = await rows(sql), await sql.fetch("SELECT * FROM tournament")

    for text in INVALID_DATETIMES:
        for name in ("opensAt", "closesAt"):
            answer = await execute(
                client, UPDATE, {"input": {name: text, "venue": "Hall"}}, **owner
            )
            check_refusal(answer, ["input", name], f"$input.{name}")
        check_refusal(await execute(client, UPDATE_AT, {"at": text}, **owner), ["at"], "$at")

    assert (await rows(sql), await sql.fetch("SELECT * FROM tournament")) == before
    assert data(await execute(client, WINDOW))["tournament"]["registration"]["state"] == "OPEN"


@pytest.mark.parametrize("place", PLACES)
async def test_invalid_date_time_literal_is_refused_at_its_argument(client, owner, sql, place):
    document, path = PLACES[place]
    before = await rows(sql), await sql.fetch("SELECT * FROM tournament")

    for text in ("2027-01-31", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "\0"):
        answer = await execute(client, document % ('"x"', json.dumps(text)), **owner)
        check_refusal(answer, path, ".".join(path))
    for literal in ("20270131", "2.5", "true", "NOW", "[]", '{at: "2027-01-31T12:00:00Z"}'):
        answer = await execute(client, document % ('"x"', literal), **owner)
        check_refusal(answer, path, ".".join(path))

    assert (await rows(sql), await sql.fetch("SELECT * FROM tournament")) == before


@pytest.mark.parametrize("value", [20270131, 2.5, True, [], {}, ["2027-01-31T12:00:00Z"]])
async def test_non_string_date_times_are_refused(client, owner, value):
    check_refusal(await execute(client, UPDATE_AT, {"at": value}, **owner), ["at"], "$at")


async def test_invalid_date_time_default_is_refused(client, owner):
    document = UPDATE_AT.replace("DateTime", 'DateTime = "2027-01-31"')

    answer = await execute(client, document, **owner)

    assert error_extensions(answer)["code"] == "BAD_USER_INPUT"
    assert answer.json()["errors"][0]["message"] == MESSAGE


@pytest.mark.parametrize("compiled", [True, False])
async def test_all_executors_accept_the_same_date_times(
    settings_with, database, database_url, services, owner, compiled
):
    taken = "2099-01-31t23:59:59.1234567+05:30"
    shown = "2099-01-31T18:29:59.123456Z"
    changes = {"compiled_execution": compiled, "rendered_plans": compiled}
    async with app_client(settings_with(**changes), database_url) as client:
        for _ in range(2):
            # The second time the operation is known.
            answer = await execute(client, UPDATE_AT, {"at": taken}, **owner)
            window = data(answer)["updateTournament"]["tournament"]["registration"]
            assert window == {"closesAt": shown}
            answer = await execute(client, UPDATE_AT, {"at": "2027-01-31"}, **owner)
            check_refusal(answer, ["at"], "$at")

        literal = UPDATE_AT.replace("($at: DateTime)", "").replace("$at", json.dumps(taken))
        answer = await execute(client, literal, **owner)
        window = data(answer)["updateTournament"]["tournament"]["registration"]
        assert window == {"closesAt": shown}


async def test_cursor_with_an_invalid_date_time_is_refused(client, owner):
    await register(client, 1)
    document = """query T($after: String) {
      teams(orderBy: {field: REGISTERED}, after: $after) { totalCount pageInfo { endCursor } }
    }"""
    real = data(await execute(client, document, **owner))["teams"]["pageInfo"]["endCursor"]
    name, moment, key = json.loads(base64.urlsafe_b64decode(real))

    for text in (*INVALID_DATETIMES, moment.replace("+00:00", ""), 5, None, [moment], {}):
        cursor = base64.urlsafe_b64encode(json.dumps([name, text, key]).encode()).decode()
        answer = await execute(client, document, {"after": cursor}, **owner)
        assert error_extensions(answer)["code"] == "BAD_USER_INPUT"
        if len(cursor) <= 2_000:
            message = answer.json()["errors"][0]["message"]
            assert (
                message == "after is not a cursor of this list. Please start from the first page."
            )

    assert (
        data(await execute(client, document, {"after": real}, **owner))["teams"]["totalCount"] == 1
    )


async def test_export_keeps_the_date_times_of_its_filter(client, owner):
    await register(client, 1)
    await register(client, 2)

    for bounds, count in (
        ({"registeredFrom": "1900-01-01T00:00:00Z"}, 30),
        ({"registeredUntil": "2200-12-31T23:59:59.9999999Z"}, 30),
        ({"registeredFrom": "2200-12-31t23:59:59z"}, 0),
        ({"registeredUntil": "1900-01-01T14:00:00+14:00"}, 0),
    ):
        wanted = {"format": "CSV", "filter": bounds}
        url = data(await execute(client, EXPORT, {"input": wanted}, **owner))["exportTeams"]["url"]
        answer = await client.get(url)

        assert answer.status_code == 200
        assert len(answer.text.splitlines()) == 1 + count


async def test_earliest_and_latest_date_times_are_returned_unchanged(client, owner):
    wanted = {"opensAt": "1900-01-01T00:00:00Z", "closesAt": "2200-12-31T23:59:59.9999999Z"}

    data(await execute(client, UPDATE, {"input": wanted}, **owner))

    window = data(await execute(client, WINDOW))["tournament"]["registration"]
    assert window == {
        "state": "OPEN",
        "opensAt": "1900-01-01T00:00:00.000000Z",
        "closesAt": "2200-12-31T23:59:59.999999Z",
    }
    data(await execute(client, factories.REGISTER, {"input": factories.team(1)}))


@pytest.mark.parametrize("name", ["JSON", "IssuePath"])
@pytest.mark.parametrize("value", [None, "x", 1, [], {}, [{"a": 1}]])
def test_scalars_of_responses_refuse_every_argument(name, value):
    scalar = CORE.get_type(name)

    with pytest.raises(InvalidScalar) as refusal:
        scalar.coerce_input_value(value)

    assert refusal.value.code == IssueCode.VALUE_INVALID
    with pytest.raises(InvalidScalar):
        scalar.parse_literal(parse_value('{a: [1, "x"]}'), None)
