import httpx
import pytest
from graphql import get_introspection_query

from schema.limits.complexity import Limit
from schema.limits.query_limits import LIMITS
from server import create_app
from settings import load_settings
from tests.accounts import bearer_headers
from tests.conftest import SECRET
from tests.graphql_client import data, error_extensions, execute

SCHEMA = "{ __schema { queryType { name } } }"
IN_A_FRAGMENT = "query { ...q } fragment q on Query { s: __schema { queryType { name } } }"
BY_A_TYPE = '{ __type(name: "Query") { fields { name } } }'
STANDARD = get_introspection_query(
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
    one_of=True,
)


@pytest.fixture
async def closed(tmp_path, database, database_url):
    """The application without anonymous introspection."""
    app = create_app(
        load_settings(
            environment="test",
            data_dir=tmp_path,
            secret_key=SECRET,
            anonymous_introspection=False,
        ),
        database_url,
    )
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as opened:
            yield opened


@pytest.mark.parametrize("query", [SCHEMA, IN_A_FRAGMENT, BY_A_TYPE, STANDARD])
async def test_introspection_is_refused_for_anonymous_callers(closed, query):
    for _ in range(2):
        answer = (await closed.post("/graphql", json={"query": query})).json()

        assert "data" not in answer
        assert [error["extensions"]["code"] for error in answer["errors"]] == [
            "GRAPHQL_VALIDATION_FAILED"
        ]


async def test_typename_and_type_names_stay_allowed(closed):
    query = (
        '{ __typename __type(name: "Team") { name } churches(search: "__schema") { totalCount } }'
    )

    answer = (await closed.post("/graphql", json={"query": query})).json()

    assert answer == {
        "data": {"__typename": "Query", "__type": {"name": "Team"}, "churches": {"totalCount": 0}}
    }


async def test_introspection_is_allowed_in_development_and_test(client):
    answer = (await client.post("/graphql", json={"query": SCHEMA})).json()

    assert answer == {"data": {"__schema": {"queryType": {"name": "Query"}}}}


async def test_standard_introspection_query_is_answered(client, closed, services):
    anonymous = await execute(client, STANDARD)
    organiser = await execute(closed, STANDARD, **await bearer_headers(services))

    assert data(anonymous) == data(organiser)
    assert data(anonymous)["__schema"]["queryType"] == {"name": "Query", "kind": "OBJECT"}


async def test_depth_limit_ignores_introspection_only(client):
    deep = LIMITS[Limit.DEPTH] + 1
    types = f"{{ __schema {{ queryType {{ {'ofType { ' * deep} name {'} ' * deep} }} }} }}"
    fields = f"{{ __schema {{ queryType {{ name }} }} {'a { ' * deep} a {'} ' * deep} }}"

    answer = await execute(client, types)
    beside = error_extensions(await execute(client, fields))

    assert data(answer)["__schema"]["queryType"] == {"ofType": None}
    assert beside["details"] == {"limit": "depth", "allowed": 10, "actual": 12}


async def test_nested_introspection_is_limited(client):
    twice, thrice = [
        f'{{ __type(name: "Team") {{ {"fields { type { " * n} name {"} } " * n} }} }}'
        for n in (2, 3)
    ]

    assert data(await execute(client, twice))
    answer = await execute(client, thrice)
    assert error_extensions(answer)["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert answer.json()["errors"][0]["message"] == "Maximum introspection depth exceeded"


SUGGESTED = {
    "{ tournamen { name } }": (
        "Cannot query field 'tournamen' on type 'Query'.",
        " Did you mean 'tournament'?",
    ),
    '{ churches(serch: "a") { totalCount } }': (
        "Unknown argument 'serch' on field 'Query.churches'.",
        " Did you mean 'search'?",
    ),
    "{ ... on Tem { name } }": ("Unknown type 'Tem'.", " Did you mean 'Team'?"),
    "{ tournament }": (
        "Field 'tournament' of type 'Tournament!' must have a selection of subfields.",
        " Did you mean 'tournament { ... }'?",
    ),
}


@pytest.mark.parametrize(("query", "said"), SUGGESTED.items())
async def test_suggestions_need_permission_to_introspect(client, closed, services, query, said):
    message, suggestion = said
    organiser = await bearer_headers(services)

    answers = [
        await execute(closed, query),
        await execute(closed, query, **organiser),
        await execute(client, query),
        await execute(closed, query),
    ]

    assert [answer.json()["errors"][0]["message"] for answer in answers] == [
        message,
        message + suggestion,
        message + suggestion,
        message,
    ]
