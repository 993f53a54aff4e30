"""Documents at a limit are accepted; above it they are refused before execution."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from graphql import build_schema, parse

from domain.auth.roles import ANONYMOUS, SYSTEM, Caller, CallerKind, Role
from schema.limits.complexity import (
    LIST_SIZES,
    MAX_COUNT,
    ComplexityVisitor,
    Limit,
    page_sizes,
)
from schema.limits.document_cache import MAX_PAGE_SIZE_VARIANTS
from schema.limits.query_limits import (
    LIMITS,
    ORGANISER_COST_BUDGET,
    PUBLIC_COST_BUDGET,
    cost_budget,
    document_cache,
)
from tests import factories
from tests.accounts import bearer_headers
from tests.graphql_client import GRAPHQL_TYPE, data, error_extensions, execute

ROOT = Path(__file__).parents[3]
SCHEMA = build_schema("""
  type Query { teams(first: Int, after: String, last: Int): Teams, team: Team, church: Church }
  type Teams { edges: [Edge!]!, nodes: [Team!]!, totalCount: Int! }
  type Edge { cursor: String!, node: Team! }
  type Team { id: ID!, name: String!, captain: Person!, viceCaptain: Person!, church: Church!
    players: [Player!]!, documents: [Document!]! }
  type Church { name: String!, teams(first: Int): Teams! }
  type Person { name: String!, phone: String, whatsapp: String, email: String }
  type Player { id: ID!, name: String!, documents: [Document!]! }
  type Document { id: ID!, kind: String! }
""")


def counts_of(text: str, variables: dict | None = None) -> dict[str, int]:
    """Return the non-zero counts of the first operation of a document."""
    document = parse(text)
    sizes = page_sizes(document.definitions[0], variables or {})
    totals = next(iter(ComplexityVisitor(SCHEMA, document, sizes).operations().values()))
    return {limit.value: number for limit, number in totals.counts.items() if number}


def operation_cost(text: str, variables: dict | None = None) -> int:
    return counts_of(text, variables)["cost"]


def registering(payload: str, head: str = "($input: RegisterTeamInput!)", more: str = "") -> str:
    return f"mutation {head} {{ registerTeam(input: $input) {{ team {{ {payload} }} }} {more} }}"


def repeated(text: str, count: int) -> str:
    """Repeat a text, with the number in place of `#`."""
    return " ".join(text.replace("#", str(number)) for number in range(count))


def document_with(limit: Limit, count: int) -> str:
    """Return a registration with this many occurrences of a counted element."""
    match limit:
        case Limit.TOKENS:
            return registering("name") + "#\n" * (count - 23)
        case Limit.ALIASES:
            return registering(repeated("a#: name", count))
        case Limit.ROOT_FIELDS:
            return registering("name", more=repeated("__typename", count - 1))
        case Limit.DIRECTIVES:
            return registering(repeated("name @skip(if: false)", count))
        case Limit.VARIABLES:
            variables = repeated("$v#: Int", count - 1)
            return registering("name", f"($input: RegisterTeamInput! {variables})")
        case _:
            return registering("a { " * (count - 3) + "a" + " }" * (count - 3))


@pytest.mark.parametrize(
    "limit", [Limit.TOKENS, Limit.ALIASES, Limit.ROOT_FIELDS, Limit.DIRECTIVES]
)
async def test_document_at_each_limit_is_answered(client, limit):
    document = document_with(limit, LIMITS[limit])

    assert data(await execute(client, document, {"input": factories.team()}))["registerTeam"]


@pytest.mark.parametrize("limit", [Limit.VARIABLES, Limit.DEPTH])
async def test_document_at_each_limit_is_validated(client, limit):
    answer = await execute(client, document_with(limit, LIMITS[limit]), {"input": factories.team()})

    assert answer.json()["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


@pytest.mark.parametrize("accept", ["application/json", GRAPHQL_TYPE])
@pytest.mark.parametrize(
    ("limit", "allowed"),
    [
        (Limit.TOKENS, 2_000),
        (Limit.ALIASES, 15),
        (Limit.ROOT_FIELDS, 10),
        (Limit.DIRECTIVES, 50),
        (Limit.VARIABLES, 200),
        (Limit.DEPTH, 10),
    ],
)
async def test_document_above_a_limit_is_refused_before_execution(
    client, sql, limit, allowed, accept
):
    document = document_with(limit, allowed + 1)

    answer = await execute(client, document, {"input": factories.team()}, Accept=accept)

    extensions = error_extensions(answer)
    assert answer.status_code == (400 if accept == GRAPHQL_TYPE else 200)
    assert extensions["code"] == "QUERY_TOO_COMPLEX"
    assert extensions["details"] == {"limit": limit, "allowed": allowed, "actual": allowed + 1}
    assert "data" not in answer.json()
    assert await sql.fetchval("SELECT count(*) FROM team") == 0


async def test_nested_values_are_parsed_up_to_depth_200(client):
    deep = [f"{{ churches(search: {'[' * n}{']' * n}) {{ totalCount }} }}" for n in (150, 220)]

    parse_document, stopped = [error_extensions(await execute(client, text)) for text in deep]

    assert parse_document["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert stopped["code"] == "QUERY_TOO_COMPLEX"
    assert stopped["details"] == {"limit": "nesting", "allowed": 200, "actual": 201}


async def test_too_expensive_validation_is_aborted(client):
    few, many = [f"{{ tournament {{ {'registration { taken } ' * n} }} }}" for n in (50, 300)]

    assert data(await execute(client, few)) == {"tournament": {"registration": {"taken": 0}}}
    extensions = error_extensions(await execute(client, many))
    assert extensions["code"] == "QUERY_TOO_COMPLEX"
    assert extensions["details"] == {"limit": "comparisons", "allowed": 50_000, "actual": 50_001}


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("{ team { name } }", {"depth": 2, "rootFields": 1, "cost": 2}),
        ("{ ...r } fragment r on Query { team { name } church { name } }",
         {"depth": 2, "rootFields": 2, "cost": 4}),
        ("{ ... { ... on Query { a: team { ...t } } } } fragment t on Team { b: captain { name } }",
         {"depth": 3, "rootFields": 1, "aliases": 2, "cost": 3}),
        ("{ team { ...t...t } } fragment t on Team @x { a: b @y ...i @x } fragment i on Team { b }",
         {"depth": 2, "rootFields": 1, "aliases": 2, "directives": 6, "cost": 5}),
        ("query ($a: Int @x, $b: Int) @x { team @x { ... @x { name } } }",
         {"depth": 2, "rootFields": 1, "variables": 2, "directives": 4, "cost": 2}),
        ("{ nothing { nothing { nothing } } ...missing ...wrong } fragment wrong on Nothing { a }",
         {"depth": 3, "rootFields": 2, "cost": 4}),
        ("{ }", {}),
    ],
)  # fmt: skip
def test_fragments_count_at_each_spread(text, counts):
    assert counts_of(text) == counts


@pytest.mark.parametrize(
    ("text", "variables", "cost"),
    [
        ("{ teams(first: 3) { totalCount } }", {}, 1 + 3),
        ("{ teams(last: 3) { nodes { name } } }", {}, 1 + 3 * 2),
        ("{ teams { totalCount } }", {}, 1 + 50),
        ("{ teams(first: null) { totalCount } }", {}, 1 + 50),
        ("{ teams(first: 0) { totalCount } }", {}, 1 + 1),
        ("{ teams(first: -7) { totalCount } }", {}, 1 + 1),
        ("{ teams(first: 1000) { totalCount } }", {}, 1 + 100),
        (f"{{ teams(first: {'9' * 10_000}) {{ totalCount }} }}", {}, 1 + 100),
        ("{ church { teams(first: 2) { nodes { church { teams(first: 5) { totalCount } } } } } }",
         {}, 2 + 2 * (3 + 5)),
        ("query ($n: Int) { teams(first: $n) { totalCount } }", {"n": 7}, 1 + 7),
        ("query ($n: Int) { teams(first: $n) { totalCount } }", {"n": 7.0}, 1 + 7),
        ("query ($n: Int) { teams(first: $n) { totalCount } }", {"n": float("inf")}, 1 + 100),
        ("query ($n: Int) { teams(first: $n) { totalCount } }", {"n": "7"}, 1 + 50),
        ("query ($n: Int) { teams(first: $n) { totalCount } }", {}, 1 + 50),
        ("query ($n: Int = 9) { teams(first: $n) { totalCount } }", {}, 1 + 9),
        ("query ($n: Int = 9) { teams(first: $n) { totalCount } }", {"n": None}, 1 + 50),
        ("query ($n: Int) { ...q } fragment q on Query { teams(first: $n) { totalCount } }",
         {"n": 4}, 1 + 4),
        ("{ team { players { name documents { kind } } } }", {}, 2 + 15 * (2 + 3)),
        ("{ team { documents { kind } } }", {}, 2 + 3),
        ("{ church(first: 9) { name } }", {}, 2),
    ],
)  # fmt: skip
def test_pages_and_lists_multiply_nested_costs(text, variables, cost):
    assert operation_cost(text, variables) == cost


class Watched:
    """Selections that count how often they are iterated."""

    def __init__(self, selections):
        self._selections = selections
        self.walks = 0

    def __iter__(self):
        self.walks += 1
        return iter(self._selections)


def doubling(levels: int) -> str:
    fragments = repeated("fragment f# on Query { ...g# ...g# }", levels)
    for number in range(levels):
        fragments = fragments.replace(f"...g{number} ", f"...f{number + 1} ")
    return f"{{ ...f0 }} {fragments} fragment f{levels} on Query {{ a: team {{ name }} }}"


@pytest.mark.parametrize("levels", [3, 100])
def test_fragment_is_visited_once(levels):
    document = parse(doubling(levels))
    selection_sets = [node.selection_set for node in document.definitions]
    for selection_set in selection_sets:
        object.__setattr__(selection_set, "selections", Watched(selection_set.selections))

    (totals,) = ComplexityVisitor(SCHEMA, document).operations().values()

    assert [item.selections.walks for item in selection_sets] == [1] * (levels + 2)
    assert totals.counts == {
        Limit.DEPTH: 2,
        Limit.ROOT_FIELDS: min(2**levels, MAX_COUNT),
        Limit.ALIASES: min(2**levels, MAX_COUNT),
        Limit.COST: min(2 ** (levels + 1), MAX_COUNT),
        Limit.DIRECTIVES: 0,
        Limit.VARIABLES: 0,
    }


async def test_doubling_fragments_are_refused(client):
    extensions = error_extensions(await execute(client, doubling(100)))

    assert extensions["code"] == "QUERY_TOO_COMPLEX"
    assert extensions["details"] == {"limit": "aliases", "allowed": 15, "actual": MAX_COUNT}


async def test_longest_chain_of_fragments_is_counted(client):
    row = repeated("fragment f# on Query { ...g# }", 246)
    for number in range(246):
        row = row.replace(f"...g{number} ", f"...f{number + 1} ")
    query = f"{{ ...f0 }} {row} fragment f246 on Query {{ __typename }}"

    answer = await execute(client, query, GraphQL_Cost="1")

    assert answer.json()["extensions"] == {"cost": {"requested": 1, "allowed": PUBLIC_COST_BUDGET}}


@pytest.mark.parametrize(
    ("fragments", "message"),
    [
        ("fragment A on Query { ...A }", "Cannot spread fragment 'A' within itself."),
        (
            "fragment A on Query { __typename ...B } fragment B on Query { __typename ...A }",
            "Cannot spread fragment 'A' within itself via 'B'.",
        ),
    ],
)
async def test_cyclic_fragments_are_refused_by_validation(client, fragments, message):
    answer = await execute(client, f"{{ ...A }} {fragments}")

    assert error_extensions(answer)["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert answer.json()["errors"][0]["message"] == message


async def test_limits_apply_to_every_operation_of_a_document(client):
    both = f"query Small {{ __typename }} query Large {{ {repeated('__typename', 11)} }}"

    answer = await ask_for(client, both, "Small")

    assert error_extensions(answer)["details"] == {
        "limit": "rootFields",
        "allowed": 10,
        "actual": 11,
    }


async def ask_for(client, query: str, operation: str, **headers):
    return await client.post(
        "/graphql",
        json={"query": query, "operationName": operation},
        headers={"Accept": GRAPHQL_TYPE} | headers,
    )


async def test_cost_is_that_of_the_named_operation(client):
    both = "query A { __typename } query B { churches(first: 5) { totalCount } }"

    costs = [
        (await ask_for(client, both, name, **{"GraphQL-Cost": "1"})).json()["extensions"]["cost"]
        for name in "AB"
    ]

    assert [cost["requested"] for cost in costs] == [1, 6]


CHURCH = "nodes { id name teamsRegistered limit remaining isFull }"
COSTLY = f"a: churches(first: 100) {{ {CHURCH} }} b: churches(first: 100) {{ {CHURCH} }}"
REST = "churches(first: 99) { nodes { id name limit remaining isFull } } __typename __typename"
AT_THE_BUDGET = f"{{ {COSTLY} {REST} __typename }}"
ABOVE_IT = f"{{ {COSTLY} {REST} __typename __typename }}"


async def test_public_budget_is_enforced(client):
    spent = await execute(client, AT_THE_BUDGET, GraphQL_Cost="1")
    answer = await execute(client, ABOVE_IT, GraphQL_Cost="1")

    assert spent.json()["extensions"] == {"cost": {"requested": 2_000, "allowed": 2_000}}
    assert data(spent)["a"] == {"nodes": []}
    extensions = error_extensions(answer)
    assert extensions["code"] == "QUERY_TOO_COMPLEX"
    assert extensions["details"] == {"limit": "cost", "allowed": 2_000, "actual": 2_001}
    assert answer.json()["extensions"] == {"cost": {"requested": 2_001, "allowed": 2_000}}


async def test_page_size_in_a_variable_counts(client):
    query = f"query ($n: Int) {{ a: churches(first: 100) {{ {CHURCH} }} b: churches(first: $n)"
    query += f" {{ {CHURCH} }} c: churches(first: $n) {{ {CHURCH} }} }}"

    small = await execute(client, query, {"n": 90}, GraphQL_Cost="1")
    large = await execute(client, query, {"n": 100})

    assert small.json()["extensions"]["cost"]["requested"] == 701 + 631 * 2
    assert error_extensions(large)["details"] == {
        "limit": "cost",
        "allowed": 2_000,
        "actual": 2_103,
    }


async def test_organisers_have_a_larger_budget(client, services):
    viewer = await bearer_headers(services, Role.VIEWER)

    answer = await execute(client, ABOVE_IT, GraphQL_Cost="1", **viewer)
    field = f"churches(first: 100) {{ nodes {{ {'name ' * 100} }} }}"
    refusal = await execute(client, f"{{ {repeated(f'a#: {field}', 10)} }}", **viewer)

    assert answer.json()["extensions"] == {"cost": {"requested": 2_001, "allowed": 100_000}}
    assert error_extensions(refusal)["details"] == {
        "limit": "cost",
        "allowed": 100_000,
        "actual": 101_010,
    }


def test_every_role_has_the_organiser_budget():
    organisers = [Caller(kind=CallerKind.ORGANISER, role=role) for role in Role]

    assert {cost_budget(item) for item in [*organisers, SYSTEM]} == {ORGANISER_COST_BUDGET}
    assert cost_budget(ANONYMOUS) == PUBLIC_COST_BUDGET
    assert cost_budget(replace(organisers[0], role=None)) == PUBLIC_COST_BUDGET


PAGE_OF_ORGANISERS = """
query Page($after: String) {
  teams(first: 100, after: $after) {
    totalCount
    edges { cursor node { ...summary captain { ...contact } viceCaptain { ...contact }
      players { a b c d e f g h i j documents { ...file } } documents { ...file } } }
  }
}
fragment summary on Team { a b c d e f g h i j church { name } }
fragment contact on Person { name phone whatsapp email }
fragment file on Document { id kind format byteSize review reviewNote uploadedAt link { url } }
"""


def test_page_of_the_organisers_client_is_within_all_limits():
    counts = counts_of(PAGE_OF_ORGANISERS)

    file = 9
    player = 10 + 1 + 3 * file
    team = 12 + 2 * 5 + 1 + 15 * player + 1 + 3 * file
    assert counts == {
        "depth": 7, "rootFields": 1, "variables": 1, "cost": 1 + 100 * (4 + team)
    }  # fmt: skip
    assert PUBLIC_COST_BUDGET < counts["cost"] < ORGANISER_COST_BUDGET
    assert all(counts.get(limit, 0) <= allowed for limit, allowed in LIMITS.items())


async def test_cost_is_reported_only_on_request(client):
    silent = await execute(client, "{ __typename }")
    told = await execute(client, "{ __typename }", GraphQL_Cost="1")
    unparsed = await execute(client, "{ __typename", GraphQL_Cost="1")

    assert silent.json() == {"data": {"__typename": "Query"}}
    assert told.json()["extensions"] == {"cost": {"requested": 1, "allowed": 2_000}}
    assert "extensions" not in unparsed.json()


def test_limits_page_has_the_current_numbers():
    page = (ROOT / "docs" / "reference" / "limits.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", page, re.MULTILINE))

    cost = (
        f"{PUBLIC_COST_BUDGET:,} for the public and captains;"
        f" {ORGANISER_COST_BUDGET:,} for organisers"
    )
    assert rows == {limit: f"{allowed:,}" for limit, allowed in LIMITS.items()} | {"cost": cost}
    assert all(
        f"`{name}` multiplies by {size}" in page or f"`{name}` by {size}" in page
        for name, size in LIST_SIZES.items()
    )


async def test_cached_document_is_not_counted_again(client):
    query = "query Known($n: Int) { churches(first: $n) { totalCount } }"
    for size in (3, 4):
        data(await execute(client, query, {"n": size}))
    known = document_cache.find(query)
    totals = dict(known.complexities)

    for size in (3, 4):
        data(await execute(client, query, {"n": size}))

    assert document_cache.find(query) is known
    assert [size for _, ((_, size),) in totals] == [3, 4]
    assert all(known.complexities[key] is total for key, total in totals.items())


async def test_complexity_is_cached_for_a_few_page_sizes(client):
    query = "query Sizes($n: Int) { churches(first: $n) { totalCount } }"

    for size in range(1, 30):
        data(await execute(client, query, {"n": size}))

    assert len(document_cache.find(query).complexities) <= MAX_PAGE_SIZE_VARIANTS
