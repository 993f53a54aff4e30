"""Omitted or null form fields become issues beside the others."""

import pytest

from tests import factories
from tests.graphql_client import data, error_extensions, execute
from tests.schema.teams.test_corrections import rows

PARTS = """
query Parts(
  $team: String!, $captain: PersonInput!, $phone: PhoneNumber!, $players: [PlayerInput!]!
) {
  validateTeam(input: {
    teamName: $team, churchName: $team, captain: $captain, players: $players
    viceCaptain: {name: "Anand Raj", phone: $phone, email: "a@church.example"}
  }) { issues { pointer code } }
}
"""
PERSON = {"name": "NAME_TOO_SHORT", "phone": "PHONE_INVALID", "email": "EMAIL_INVALID"}


def without(number: int, *path) -> dict:
    """Return a form without the value at this path."""
    form = factories.team(number)
    part = form
    for step in path[:-1]:
        part = part[step]
    del part[path[-1]]
    return form


def with_null(number: int, *path) -> dict:
    form = factories.team(number)
    part = form
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = None
    return form


PLACES = [
    (("teamName",), [("/input/teamName", "NAME_TOO_SHORT")]),
    (("churchName",), [("/input/churchName", "NAME_TOO_SHORT")]),
    (("captain",), [(f"/input/captain/{name}", code) for name, code in PERSON.items()]),
    (("viceCaptain",), [(f"/input/viceCaptain/{name}", code) for name, code in PERSON.items()]),
    (("captain", "name"), [("/input/captain/name", "NAME_TOO_SHORT")]),
    (("captain", "phone"), [("/input/captain/phone", "PHONE_INVALID")]),
    (("captain", "email"), [("/input/captain/email", "EMAIL_INVALID")]),
    (("viceCaptain", "email"), [("/input/viceCaptain/email", "EMAIL_INVALID")]),
    (("players",), [("/input/players", "SQUAD_TOO_SMALL")]),
    (("players", 4, "name"), [("/input/players/4/name", "NAME_TOO_SHORT")]),
]


@pytest.mark.parametrize("make_form", [without, with_null])
@pytest.mark.parametrize(("path", "issues"), PLACES, ids=lambda one: str(one)[:40])
async def test_omitted_field_is_an_issue(client, sql, make_form, path, issues):
    variables = {"input": make_form(0, *path)}

    # The first is answered by graphql-core, the second by the plan of the operation.
    for _ in range(2):
        refusal = error_extensions(await execute(client, factories.REGISTER, variables))
        report = data(await execute(client, factories.VALIDATE, variables))["validateTeam"]

        found = [(issue["pointer"], issue["code"]) for issue in refusal["issues"]]
        assert (refusal["code"], found) == ("VALIDATION_FAILED", issues)
        assert [(item["pointer"], item["code"]) for item in report["issues"]] == issues
    assert await sql.fetchval("SELECT count(*) FROM team") == 0


async def test_all_omitted_fields_are_reported_at_once(client, sql):
    form = factories.team()
    form["documents"] = [{"kind": "PASTOR_LETTER"}, {"documentId": "0" * 32}, None]
    form["players"][3] = None
    form["players"][5] = {"documents": [{}]}
    del form["captain"]["email"], form["teamName"]

    refusal = error_extensions(await execute(client, factories.REGISTER, {"input": form}))

    assert [(issue["pointer"], issue["code"]) for issue in refusal["issues"]] == [
        ("/input/teamName", "NAME_TOO_SHORT"),
        ("/input/captain/email", "EMAIL_INVALID"),
        ("/input/players/3/name", "NAME_TOO_SHORT"),
        ("/input/players/5/name", "NAME_TOO_SHORT"),
        ("/input/players/5/documents/0/kind", "DOCUMENT_WRONG_KIND"),
        ("/input/documents/0/documentId", "DOCUMENT_UNKNOWN"),
        ("/input/documents/1/kind", "DOCUMENT_WRONG_KIND"),
        ("/input/documents/2/kind", "DOCUMENT_WRONG_KIND"),
    ]
    assert await sql.fetchval("SELECT count(*) FROM team") == 0


async def test_empty_form_has_an_issue_for_each_field(client):
    refusal = error_extensions(await execute(client, factories.REGISTER, {"input": {}}))

    assert [issue["pointer"] for issue in refusal["issues"]] == [
        "/input/teamName",
        "/input/churchName",
        *(f"/input/captain/{name}" for name in PERSON),
        *(f"/input/viceCaptain/{name}" for name in PERSON),
        "/input/players",
    ]


async def test_omitted_fields_of_separate_variables_are_issues(client):
    for _ in range(2):
        report = data(await execute(client, PARTS, {"team": "Zion XI"}))["validateTeam"]

        assert [(issue["pointer"], issue["code"]) for issue in report["issues"]] == [
            *((f"/input/captain/{name}", code) for name, code in PERSON.items()),
            ("/input/viceCaptain/phone", "PHONE_INVALID"),
            ("/input/players", "SQUAD_TOO_SMALL"),
        ]


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, "$input"),
        ({"input": None}, "$input"),
        ({"input": {"teamName": 5}}, "$input.teamName"),
        ({"input": {"captain": "Anand"}}, "$input.captain"),
        ({"input": {"colour": "red"}}, "$input"),
        ({"input": {"players": [[]]}}, "$input.players[0]"),
    ],
)
async def test_mistakes_of_programs_are_errors_without_issues(client, variables, place):
    answer = await execute(client, factories.REGISTER, variables)

    assert error_extensions(answer)["code"] == "BAD_USER_INPUT"
    assert place in answer.json()["errors"][0]["message"]


async def test_ids_and_versions_stay_required(client, sql, reviewer):
    query = "mutation U($input: UpdateTeamInput!) { updateTeam(input: $input) { __typename } }"
    before = await rows(sql)

    answer = await execute(
        client, query, {"input": {"teamId": "ICCT-001", "captain": {}}}, **reviewer
    )

    assert error_extensions(answer)["code"] == "BAD_USER_INPUT"
    assert "expectedVersion" in answer.json()["errors"][0]["message"]
    assert await rows(sql) == before
