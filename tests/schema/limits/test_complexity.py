"""Limits on the work of a document, independent of its size."""

import pytest
from graphql import parse

from domain.auth.roles import Role
from domain.errors.codes import CATALOG
from domain.errors.issues import MAX_ISSUES, MAX_ISSUES_PER_LIST
from persistence.repositories import organisers, sessions
from persistence.repositories.audit import MAX_TEAM_EVENTS
from schema import schema
from schema.limits.complexity import LIST_SIZES, ComplexityVisitor, Limit, count_argument_values
from schema.limits.query_limits import LIMITS, PUBLIC_COST_BUDGET
from schema.teams.readiness import MAX_PLAYERS_ELSEWHERE
from tests import factories
from tests.accounts import bearer_headers
from tests.graphql_client import UNREACHABLE_DATABASE, app_client, data, error_extensions, execute
from web.graphql.negotiation import GRAPHQL_TYPE

CORE = schema._schema
HEAD = "query ($input: RegisterTeamInput!)"
VALID = "validateTeam(input: $input) { isValid }"
ISSUES = "validateTeam(input: $input) { issues { code path } }"
DOCUMENT = {"kind": "PHOTO", "documentId": "0" * 32}


def counted_values(document: str, variables: dict) -> int:
    parse_document = parse(document)
    (totals,) = ComplexityVisitor(CORE, parse_document).operations().values()
    return count_argument_values(
        totals, parse_document.definitions[0], variables, stop_above=1_000_000
    )


def operation_cost(document: str) -> int:
    (totals,) = ComplexityVisitor(CORE, parse(document)).operations().values()
    return totals.counts[Limit.COST]


def form_with(documents: int) -> dict:
    return factories.team(documents=[DOCUMENT] * documents)


F = "fragment F on Query { a(x: $v) }"
G = "fragment G on Query { ...F ...F }"


@pytest.mark.parametrize(
    ("document", "variables", "values"),
    [
        ("query ($v: V) { a(x: $v) }", {"v": [1, 2, 3]}, 4),
        ("query ($v: V) { a(x: $v) b: a(x: $v) c: a(x: $v) }", {"v": [1, 2, 3]}, 12),
        ("query ($v: V) { a(x: {y: $v, z: [$v, $v]}) }", {"v": [1, 2, 3]}, 2 + 3 * 4),
        ("query ($v: V) { a(x: $v, y: $v) { b(x: $v) } }", {"v": 1}, 3),
        (f"query ($v: V) {{ ...F ...F x {{ ...F }} }} {F}", {"v": {"a": [{}]}}, 3 * 3),
        (f"query ($v: V) {{ ...G ...G }} {G} {F}", {"v": [1]}, 4 * 2),
        ("query ($v: V) { ... { a(x: $v) } ... on Query { a(x: $v) } }", {"v": [1]}, 4),
        ("query ($v: V = [1, 2]) { a(x: $v) b: a(x: $v) }", {}, 2 * 3),
        ("query ($v: V = [1, 2]) { a(x: $v) b: a(x: $v) }", {"v": None}, 2),
        ("query ($v: V) { a }", {"v": [1, 2]}, 3),
        ("{ a }", {"other": [[1], {"b": 2}]}, 5),
        ("{ a(x: [1, {b: 2, c: [3]}]) }", {}, 6),
        ("{ ...L ...L } fragment L on Query { a(x: [1, 2]) }", {}, 6),
    ],
)  # fmt: skip
def test_variable_values_count_at_each_use(document, variables, values):
    assert counted_values(document, variables) == values


def test_doubling_fragments_are_counted_up_to_the_maximum():
    levels = " ".join(f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }}" for n in range(100))
    document = f"query ($v: V) {{ ...f0 }} {levels} fragment f100 on Query {{ a(x: $v) }}"
    parse_document = parse(document)

    (totals,) = ComplexityVisitor(CORE, parse_document).operations().values()

    assert (
        count_argument_values(totals, parse_document.definitions[0], {"v": 1}, stop_above=2_000)
        == 2_001
    )


@pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "interpreted"])
@pytest.mark.parametrize(
    "fields",
    [
        " ".join(f"a{n}: {VALID}" for n in range(5)),
        "...F ...G",
        f"{VALID} ... {{ b: {VALID} }} c: {VALID} d: {VALID} e: {VALID}",
    ],
    ids=["aliases", "fragments", "inline fragments"],
)
async def test_variable_used_too_often_is_refused(
    settings_with, database, database_url, fields, is_compiled
):
    fragments = " ".join(
        f"fragment {name} on Query {{ {name}1: {VALID} {name}2: {VALID} {name}3: {VALID} }}"
        for name in "FG"
        if f"...{name}" in fields
    )
    settings = settings_with(compiled_execution=is_compiled)
    async with app_client(settings, database_url) as client:
        few = await execute(client, f"{HEAD} {{ {fields} }} {fragments}", {"input": form_with(10)})
        many = await execute(
            client, f"{HEAD} {{ {fields} }} {fragments}", {"input": form_with(300)}
        )

    assert {item["isValid"] for item in data(few).values()} == {False}
    details = {"limit": "values", "allowed": 2_000, "actual": 2_001}
    assert (error_extensions(many)["code"], error_extensions(many)["details"]) == (
        "QUERY_TOO_COMPLEX",
        details,
    )


async def test_defaults_and_literals_count_like_variables(client):
    items = ", ".join('{kind: PHOTO, documentId: "x"}' for _ in range(150))
    default = f"query ($d: [TeamDocumentInput!] = [{items}], $input: RegisterTeamInput!)"
    uses = " ".join(
        f'a{n}: validateTeam(input: {{teamName: "x", churchName: "x", documents: $d, players: [],'
        f" captain: {{}}, viceCaptain: {{}}}}) {{ isValid }}"
        for n in range(5)
    )
    document = f"{default} {{ {uses} b: {VALID} }}"

    extensions = error_extensions(await execute(client, document, {"input": factories.team()}))

    assert extensions["details"] == {"limit": "values", "allowed": 2_000, "actual": 2_001}


@pytest.mark.parametrize(
    ("document", "cost"),
    [
        ("{ errorCatalog { code cause: description } }", 1 + 40 * 2),
        ("{ errorCatalog { code details { name type } } }", 1 + 40 * (2 + 5 * 2)),
        ("{ validateTeam { issues { code message } blockers } }", 250 + 1 + 200 * 2 + 1),
        ("{ myTeam { history { action actor { kind } } } }", 2 + 100 * 3),
        ("{ myTeam { readiness { blockers { code } playersElsewhere { playerCode } } } }",
         2 + 1 + 50 + 1 + 50),
        ("mutation { confirmTeams { results { team { name } error { code } } } }", 2 + 100 * 4),
        ("{ sessions { id } apiTokens { id } organisers { id } }", 3 + 3 * 500),
        ("{ registrationRules { text { name } } }", 2 + 10),
        ("{ teamStats { registeredByDay { day } byStatus { status } } }", 3 + 100 + 10),
        ("{ health { checks { name } } }", 50 + 1 + 10),
        ("{ teams(first: 2) { edges { node { name } } nodes { name } } }", 1 + 2 * 5),
        ("{ __schema { types { fields { args { name } } } } }", 5),
    ],
)  # fmt: skip
def test_list_costs_its_maximum_length(document, cost):
    assert operation_cost(document) == cost


def test_maximum_list_lengths_match_their_costs():
    assert len(CATALOG) <= LIST_SIZES["errorCatalog"]
    assert max(len(error.documented_details) for error in CATALOG.values()) <= LIST_SIZES["details"]
    assert (
        LIST_SIZES["issues"],
        LIST_SIZES["history"],
        LIST_SIZES["playersElsewhere"],
    ) == (MAX_ISSUES, MAX_TEAM_EVENTS, MAX_PLAYERS_ELSEWHERE)
    assert LIST_SIZES["organisers"] == organisers.MAX_LISTED
    assert (LIST_SIZES["sessions"], LIST_SIZES["apiTokens"]) == (sessions.MAX_LISTED,) * 2


PLAYERS_OF_A_PAGE = "{ teams(first: 100) { nodes { players { name documents { kind } } } } }"


@pytest.mark.parametrize(
    ("squad", "document", "cost"),
    [
        (50, "{ myTeam { players { name } } }", 2 + 50),
        (50, PLAYERS_OF_A_PAGE, 1 + 100 * (2 + 50 * (2 + 3))),
        (50, "{ myTeam { readiness { blockers { code } } } }", 3 + 155),
        (22, "{ myTeam { players { name documents { kind } } } }", 2 + 22 * 5),
        (22, "{ myTeam { readiness { blockers { code } } } }", 3 + 71),
        (16, '{ player(code: "x") { team { players { name } } } }', 3 + 16),
        (15, "{ myTeam { players { name } } }", 2 + 15),
        (11, "{ myTeam { players { name } } }", 2 + 15),
        (50, "{ myTeam { history { action } } }", 2 + 100),
        (50, "{ teams(first: 3) { nodes { history { action items } } } }", 1 + 3 * (2 + 200)),
    ],
)
async def test_cost_uses_the_maximum_squad_of_the_season(
    client, services, sql, squad, document, cost
):
    await sql.execute("UPDATE tournament SET squad_min = 1, squad_max = $1", squad)

    answer = await execute(client, document, GraphQL_Cost="1", **await bearer_headers(services))

    assert answer.json()["extensions"]["cost"]["requested"] == cost


@pytest.mark.parametrize("is_known", [False, True], ids=["new", "known"])
async def test_operation_too_large_for_the_squads_of_the_season_is_refused(
    client, services, sql, is_known
):
    owner = await bearer_headers(services)
    fields = " ".join("abcdefghi")
    document = PLAYERS_OF_A_PAGE.replace(
        "name", f"name {' '.join(f'{item}: name' for item in fields.split())}"
    )
    document = document.replace("kind", "id kind format byteSize review reviewNote")
    if is_known:
        for _ in range(3):
            data(await execute(client, document, **owner))
    await sql.execute("UPDATE tournament SET squad_max = 50")

    answer = await execute(client, document, **owner)
    await sql.execute("UPDATE tournament SET squad_max = 15")

    details = {"limit": "cost", "allowed": 100_000, "actual": 1 + 100 * (2 + 50 * (11 + 18))}
    assert error_extensions(answer)["details"] == details
    data(await execute(client, document, **owner))


async def test_cost_is_reported_without_a_database(settings):
    async with app_client(settings, UNREACHABLE_DATABASE) as client:
        answer = await execute(client, "{ myTeam { players { name } } }", GraphQL_Cost="1")

    assert answer.json()["extensions"]["cost"]["requested"] == 2 + 15


@pytest.mark.parametrize(
    "fields",
    [
        " ".join(f"a{n}: {VALID}" for n in range(10)),
        " ".join(f"a{n}: {ISSUES}" for n in range(4)),
        " ".join(
            f"a{n}: errorCatalog {{ code category description docUrl httpStatus }}"
            for n in range(9)
        )
        + VALID,
    ],
    ids=["forms", "issues", "catalogues"],
)  # fmt: skip
async def test_aliased_expensive_fields_exceed_the_public_budget(client, fields):
    answer = await execute(client, f"{HEAD} {{ {fields} }}", {"input": factories.team()})

    details = error_extensions(answer)["details"]
    assert (details["limit"], details["allowed"]) == ("cost", PUBLIC_COST_BUDGET)
    assert details["actual"] > PUBLIC_COST_BUDGET


async def issues_of(client, form: dict) -> list[dict]:
    return data(await execute(client, factories.VALIDATE, {"input": form}))["validateTeam"][
        "issues"
    ]


async def test_form_with_thousands_of_issues_reports_some_of_each_list(client):
    documents = await issues_of(client, form_with(600))
    many = [{"name": "x", "documents": [DOCUMENT] * 40} for _ in range(15)]
    players = await issues_of(client, factories.team(players=many))

    assert [issue["path"] for issue in documents] == [
        ["input", "documents", number, "kind"] for number in range(MAX_ISSUES_PER_LIST)
    ]
    assert len(players) == 15 * (1 + MAX_ISSUES_PER_LIST)
    assert players[0]["code"] == "NAME_TOO_SHORT"


async def test_form_reports_at_most_200_issues(client, sql):
    await sql.execute("UPDATE tournament SET squad_max = 50")
    wrong = {
        "name": "",
        "role": "x",
        "jerseyNumber": -1,
        "dateOfBirth": "x",
        "documents": [DOCUMENT] * 2,
    }
    form = factories.team(players=[wrong] * 50)

    issues = await issues_of(client, form)
    registered = refused_issues(await execute(client, factories.REGISTER, {"input": form}))

    assert len(issues) == len(registered) == MAX_ISSUES
    assert [issue["path"] for issue in issues] == [issue["path"] for issue in registered]
    assert await sql.fetchval("SELECT count(*) FROM team") == 0


def refused_issues(answer) -> list[dict]:
    return answer.json()["errors"][0]["extensions"]["issues"]


TEAMS = "{ teams(first: 50) { nodes { id code name captain { name phone email } } } }"
PATHS = {
    "printed": {"compiled_execution": True, "rendered_plans": True},
    "compiled": {"compiled_execution": True, "rendered_plans": False},
    "interpreted": {"compiled_execution": False, "rendered_plans": False},
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
async def test_too_large_response_is_refused(
    settings_with, database, database_url, services, monkeypatch, path
):
    reviewer = await bearer_headers(services, Role.REVIEWER)
    several = TEAMS.replace("{ teams", "{ b: teams", 1)[:-1] + TEAMS[1:]
    async with app_client(settings_with(**path), database_url) as client:
        for number in range(5):
            data(await execute(client, factories.REGISTER, {"input": factories.team(number)}))
        # Twice, since it is executed otherwise when it is known.
        whole = [await execute(client, TEAMS, **reviewer) for _ in range(2)]
        size = len(whole[0].content)
        monkeypatch.setitem(LIMITS, Limit.ANSWER_BYTES, size)
        as_large = [await execute(client, TEAMS, **reviewer) for _ in range(2)]
        twice = [await execute(client, several, **reviewer) for _ in range(2)]
        monkeypatch.setitem(LIMITS, Limit.ANSWER_BYTES, size - 1)
        larger = [await execute(client, TEAMS, **reviewer) for _ in range(2)]

    assert [data(answer) for answer in as_large] == [data(answer) for answer in whole]
    for answer in (*larger, *twice):
        extensions = error_extensions(answer)
        assert (answer.status_code, extensions["code"]) == (400, "QUERY_TOO_COMPLEX")
        assert extensions["details"]["limit"] == "answerBytes"
        assert "data" not in answer.json()
        assert answer.json()["errors"][0]["message"].startswith("The answer is too large.")


REGISTERED = "registerTeam(input: $input) { team { code players { name } } replayed }"
TWO = f"""
mutation Two($input: RegisterTeamInput!, $other: RegisterTeamInput!) {{
  a: {REGISTERED} b: {REGISTERED.replace("$input", "$other")}
}}
"""
ONE = f"mutation One($input: RegisterTeamInput!) {{ {REGISTERED} }}"
IN_A_FRAGMENT = f"""
mutation Three($input: RegisterTeamInput!) {{ ...F }} fragment F on Mutation {{ {REGISTERED} }}
"""


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
@pytest.mark.parametrize("document", [ONE, TWO, IN_A_FRAGMENT], ids=["one", "two", "fragment"])
async def test_mutation_response_has_no_size_limit(
    settings_with, database, database_url, monkeypatch, sql, path, document
):
    monkeypatch.setitem(LIMITS, Limit.ANSWER_BYTES, 20)
    async with app_client(settings_with(**path), database_url) as client:
        # Twice, since it is executed otherwise when it is known.
        answers = [
            await execute(
                client,
                document,
                {"input": factories.team(number), "other": factories.team(number + 10)},
                Accept=accept,
            )
            for number, accept in enumerate(("application/json", GRAPHQL_TYPE))
        ]

    registered = [team["team"] for answer in answers for team in data(answer).values()]
    codes = await sql.fetch("SELECT code FROM team ORDER BY code")
    assert [team["code"] for team in registered] == [row["code"] for row in codes]
    assert {len(team["players"]) for team in registered} == {len(factories.team(0)["players"])}
    assert [answer.status_code for answer in answers] == [200, 200]


async def test_refused_mutation_reports_all_issues_and_writes_nothing(client, sql, monkeypatch):
    monkeypatch.setitem(LIMITS, Limit.ANSWER_BYTES, 20)
    form = factories.team(1) | {"teamName": "1", "churchName": "-"}

    answer = await execute(client, ONE, {"input": form})

    assert error_extensions(answer)["code"] == "VALIDATION_FAILED"
    assert len(refused_issues(answer)) == 2
    assert await sql.fetchval("SELECT count(*) FROM team") == 0


def test_response_limit_is_four_mebibytes():
    assert LIMITS[Limit.ANSWER_BYTES] == 4 * 1024 * 1024


async def test_history_is_the_newest_hundred_events(client, services, sql):
    reviewer = await bearer_headers(services, Role.REVIEWER)
    for number in range(2):
        data(await execute(client, factories.REGISTER, {"input": factories.team(number)}))
    await sql.execute(
        "INSERT INTO audit_event (id, at, actor, action, team_id, request_id, changes)"
        " SELECT ('ffff' || lpad(to_hex(n), 4, '0') || '-ffff-7fff-bfff-ffffffffffff')::uuid,"
        " now(), 'system', 'event.' || n, team.id, 'x', '{}'"
        " FROM team, generate_series(1, 150) AS n"
        " WHERE team.code = 'ICCT-001'"
    )

    query = "{ teams(first: 10) { nodes { code history { action changes } } } }"
    nodes = data(await execute(client, query, **reviewer))["teams"]["nodes"]
    histories = {node["code"]: node["history"] for node in nodes}

    assert [event["action"] for event in histories["ICCT-002"]] == ["TEAM_REGISTERED"]
    assert histories["ICCT-001"] == [
        {"action": "OTHER", "changes": {"action": f"event.{number}"}} for number in range(51, 151)
    ]
