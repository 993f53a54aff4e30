"""JSON rendered by PostgreSQL equals the responses of the other executors byte for byte."""

import random
from contextlib import AsyncExitStack

import orjson
import pytest

from domain.auth.roles import Role
from resolvers.security.secrets import manage_token
from tests.accounts import bearer_headers
from tests.graphql_client import app_client, data, error_extensions, execute
from tests.schema.executions import executions
from tests.schema.teams.test_decisions import register
from tests.statement_recorder import record_statements

PERSON = ("__typename", "name", "phone", "whatsapp", "email")
CHURCH = ("__typename", "id", "name", "teamsRegistered", "limit", "remaining", "isFull")
PLAYER = ("__typename", "id", "code", "position", "name", "role", "jerseyNumber", "dateOfBirth")
TEAM = ("__typename", "id", "code", "name", "status", "registeredAt", "updatedAt", "version")
BELOW = {"church": CHURCH, "captain": PERSON, "viceCaptain": PERSON, "players": PLAYER}
TYPES = {"church": "Church", "captain": "Person", "viceCaptain": "Person", "players": "Player"}
# What no plan has: the whole selection is read as records then.
OTHERS = ("readiness { isReady }", "documents { id }", "players { team { code } }")
ODD = [
    '"quoted" \\ back',
    "ஆனந்த் ராஜ்",
    "line\nline\ttab",
    "\u2028\u2029",
    "🏏",
    "\x01\x1f\x7f",
    "</x>",
]
PLAIN = """
{ teams { nodes { code name players { name role } } pageInfo { hasNextPage endCursor } } }
"""


def selection(chance: random.Random, names: tuple[str, ...]) -> str:
    """Return fields in random order, repeated, with aliases and conditions."""
    parts = []
    for name in chance.choices(names, k=chance.randint(1, 6)):
        alias = f"{chance.choice('abc')}{name.strip('_')}: " if chance.random() < 0.2 else ""
        condition = chance.choice([" @include(if: $yes)", " @skip(if: $yes)", " @skip(if: false)"])
        parts.append(f"{alias}{name}{condition if chance.random() < 0.2 else ''}")
    return " ".join(["always: __typename", *parts])


def team_selection(chance: random.Random, *, others: float) -> str:
    parts = ["used: code @include(if: $yes)", selection(chance, TEAM)]
    for name in chance.choices(list(BELOW), k=chance.randint(0, 5)):
        inner = selection(chance, BELOW[name])
        if chance.random() < 0.3:
            inner = f"... on {TYPES[name]} {{ {inner} }}"
        parts.append(f"{name} {{ {inner} }}")
    if chance.random() < others:
        parts.append(chance.choice(OTHERS))
    chance.shuffle(parts)
    return " ".join(parts)


def operation(chance: random.Random, code: str, token: str) -> str:
    team = team_selection(chance, others=0.15)
    size = chance.randint(1, 3)
    direction = chance.choice(["ASC", "DESC"])
    order = f"orderBy: {{field: {chance.choice(['CODE', 'NAME', 'REGISTERED', 'CHURCH'])}"
    order += f", direction: {direction}}}"
    body = chance.choice(
        [
            f'team(code: "{code}") {{ ...team }}',
            f'one: team(code: "{code}") {{ ...team }} two: team(code: "{code}") {{ code }}',
            f"teams({order}, first: {size}) {{ nodes {{ ...team }} pageInfo {{ endCursor }} }}",
            f"teams({order}, last: {size}) {{ edges {{ cursor node {{ ...team }} }} totalCount }}",
            "teams { nodes { ...team } edges { node { code } } }",
            f'myTeam(token: "{token}") {{ ...team }}',
        ]
    )
    if chance.random() < 0.3:
        # Of these nothing is read of a team.
        place = f"{code}-P{chance.randint(1, 16):02}"
        others = selection(chance, CHURCH), selection(chance, PLAYER)
        body = chance.choice(
            [
                f"churches(first: {size}) {{ nodes {{ {others[0]} }} pageInfo {{ endCursor }} }}",
                f'churches(search: "csi") {{ edges {{ cursor node {{ {others[0]} }} }} }}',
                f'player(code: "{place}") {{ {others[1]} }}',
            ]
        )
        return f"query Q($yes: Boolean = true) {{ {body} used: __typename @include(if: $yes) }}"
    return f"query Q($yes: Boolean = true) {{ {body} }} fragment team on Team {{ {team} }}"


@pytest.fixture
async def tokens(odd, sql, services) -> dict[str, str]:
    """Manage tokens by the codes of their teams."""
    ids = {item["code"]: item["id"] for item in await sql.fetch("SELECT id, code FROM team")}
    return {code: manage_token(services.secrets, ids[code]) for code in odd}


@pytest.fixture
async def odd(client, sql) -> list[str]:
    """Codes of teams with unusual texts in all columns."""
    await sql.execute("UPDATE tournament SET capacity = NULL WHERE is_active")
    codes = [await register(client, number) for number in range(4)]
    for number, text in enumerate(ODD):
        await sql.execute("UPDATE player SET name = $1 WHERE position = $2", text, number + 1)
        await sql.execute(
            "UPDATE team SET name = $1, captain_name = $1, captain_email = $1 WHERE code = $2",
            f"{text}{number}",
            codes[number % 4],
        )
    await sql.execute("UPDATE church SET name = name || $1", ODD[0])
    await sql.execute(
        "UPDATE player SET role = 'WICKET_KEEPER', jersey_number = position,"
        " date_of_birth = '0987-01-02' WHERE position % 2 = 0"
    )
    return codes


async def answers(settings_with, url: str, queries: list[str], headers: dict) -> list[list[bytes]]:
    """Return the bodies of all responses for each executor."""
    ways = [
        {},
        {"rendered_plans": False},
        {"compiled_execution": False},
    ]
    async with AsyncExitStack() as stack:
        found = []
        for way in ways:
            client = await stack.enter_async_context(app_client(settings_with(**way), url))
            # Plans are made when a document is sent again.
            for query in queries if way.get("compiled_execution", True) else ():
                await execute(client, query, **headers)
            found.append([(await execute(client, query, **headers)).content for query in queries])
        return found


# Sixty operations each.
SEEDS = [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 54))]


@pytest.mark.parametrize("seed", SEEDS)
async def test_all_executors_return_the_same_bytes(
    settings_with, database_url, odd, tokens, reviewer, seed
):
    chance = random.Random(seed)
    queries = [operation(chance, code, tokens[code]) for code in chance.choices(odd, k=60)]
    before = executions("rendered")

    rendered, compiled, plain = await answers(settings_with, database_url, queries, reviewer)

    # Some ask for too many aliases: their errors have the id of the request.
    answered = [
        found
        for found in zip(queries, rendered, compiled, plain, strict=True)
        if b'"errors"' not in found[3]
    ]
    assert len(answered) > 50
    for query, one, two, three in answered:
        assert one == three, query
        assert two == three, query
    assert executions("rendered") > before + 30


@pytest.mark.parametrize("limit", [None, 1, 2])
async def test_rendered_church_limits_equal_compiled_ones(
    settings_with, database_url, odd, reviewer, sql, limit
):
    await sql.execute("UPDATE tournament SET teams_per_church = $1 WHERE is_active", limit)
    query = f"{{ teams {{ nodes {{ church {{ {' '.join(CHURCH)} }} }} }} }}"

    rendered, compiled, plain = await answers(settings_with, database_url, [query], reviewer)

    assert rendered == compiled == plain


@pytest.mark.parametrize("way", ["first: 1, after", "last: 1, before"])
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("field", ["CODE", "NAME", "REGISTERED", "CHURCH"])
async def test_rendered_team_pages_equal_compiled_ones(
    settings_with, database_url, odd, reviewer, field, direction, way
):
    cursor, seen = "null", []
    for _ in odd:
        query = f"""{{ teams(orderBy: {{field: {field}, direction: {direction}}}, {way}: {cursor})
            {{ nodes {{ code name }} edges {{ cursor }}
              pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}"""

        (rendered,), (compiled,), (plain,) = await answers(
            settings_with, database_url, [query], reviewer
        )

        assert rendered == compiled == plain
        page = orjson.loads(plain)["data"]["teams"]
        seen += [node["code"] for node in page["nodes"]]
        cursor = f'"{page["edges"][0]["cursor"]}"'
    assert sorted(seen) == odd


async def test_rendered_church_pages_equal_compiled_ones(
    settings_with, database_url, odd, sql, reviewer
):
    cursor, seen = "null", []
    for _ in range(await sql.fetchval("SELECT count(*) FROM church")):
        query = f"""{{ churches(first: 1, after: {cursor}) {{ nodes {{ name }} edges {{ cursor }}
            totalCount pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}"""

        (rendered,), (compiled,), (plain,) = await answers(
            settings_with, database_url, [query], reviewer
        )

        assert rendered == compiled == plain
        page = orjson.loads(plain)["data"]["churches"]
        seen += [node["name"] for node in page["nodes"]]
        cursor = f'"{page["edges"][0]["cursor"]}"'
    assert len(seen) == len(set(seen)) > 1


ALONE = {
    "team": 'team(code: "ICCT-001") { name players { name } }',
    "player": 'player(code: "ICCT-001-P02") { name role }',
    "myTeam": 'myTeam(token: "<token>") { name church { name } }',
    "churches": "churches { nodes { name isFull } }",
}


@pytest.mark.parametrize("field", ALONE)
async def test_rendered_root_field_takes_one_statement(client, tokens, reviewer, field):
    query = "{ " + ALONE[field].replace("<token>", tokens["ICCT-001"]) + " }"
    data(await execute(client, query, **reviewer))
    before = executions("rendered")

    with record_statements() as sent:
        answer = data(await execute(client, query, **reviewer))

    assert answer[field]
    assert executions("rendered") == before + 1
    # The other one is whose token it is.
    assert ["to_json" in statement for statement in sent] == [False, True]


async def test_replaced_manage_token_is_refused(client, tokens, sql):
    await sql.execute("UPDATE team SET manage_generation = 2 WHERE code = 'ICCT-001'")
    query = f'{{ myTeam(token: "{tokens["ICCT-001"]}") {{ name }} }}'

    for _ in range(2):
        assert error_extensions(await execute(client, query))["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("code", ["ICCT-001-P16", "ICCT-999-P01", "nonsense", "é-001-P01"])
async def test_unknown_player_is_null(client, odd, reviewer, code):
    query = "query One($code: String!) { player(code: $code) { name } }"

    for _ in range(2):
        assert data(await execute(client, query, {"code": code}, **reviewer)) == {"player": None}


@pytest.mark.parametrize("code", ["\ud800", "ICCT-\0001", "\ud800-001-P01", "\0-001-P01"])
@pytest.mark.parametrize(
    "selected", ["team(code: $code) { name }", "team(code: $code) { readiness { isReady } }",
                 "player(code: $code) { name }"],
)  # fmt: skip
async def test_code_that_cannot_be_stored_is_refused(client, odd, reviewer, code, selected):
    query = f"query One($code: String!) {{ {selected} }}"

    for _ in range(2):
        response = await execute(client, query, {"code": code}, **reviewer)

        assert error_extensions(response)["code"] == "BAD_USER_INPUT"


async def test_rendered_page_takes_one_statement(client, odd, reviewer):
    await execute(client, PLAIN, **reviewer)

    with record_statements() as sent:
        page = data(await execute(client, PLAIN, **reviewer))

    assert len(page["teams"]["nodes"]) == 4
    assert sum("to_json" in item for item in sent) == 1
    assert not [
        statement for statement in sent if "FROM player" in statement and "to_json" not in statement
    ]


async def test_viewers_never_get_rendered_objects(client, odd, services):
    before = executions("rendered")
    viewer = await bearer_headers(services, Role.VIEWER)

    for _ in range(2):
        await execute(client, '{ player(code: "ICCT-001-P01") { name } }', **viewer)
        page = data(await execute(client, "{ teams { nodes { captain { phone } } } }", **viewer))

    assert all(
        "•" in node["captain"]["phone"] or "*" in node["captain"]["phone"]
        for node in page["teams"]["nodes"]
    )
    assert executions("rendered") == before


@pytest.mark.parametrize("reference", ["ICCT-999", "0" * 32])
async def test_unknown_team_is_null(client, reviewer, reference):
    key = "id" if len(reference) == 32 else "code"

    for _ in range(2):
        response = await execute(client, f'{{ team({key}: "{reference}") {{ code }} }}', **reviewer)

        assert data(response) == {"team": None}
