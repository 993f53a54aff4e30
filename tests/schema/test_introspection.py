import httpx
import pytest

from server import create_app
from settings import load_settings
from tests.conftest import SECRET

SCHEMA = "{ __schema { queryType { name } } }"
IN_A_FRAGMENT = "query { ...q } fragment q on Query { s: __schema { queryType { name } } }"


@pytest.fixture
async def closed(tmp_path, database, database_url):
    """The application where anonymous callers may not introspect."""
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


@pytest.mark.parametrize("query", [SCHEMA, IN_A_FRAGMENT])
async def test_schema_is_refused_where_it_is_not_shown(closed, query):
    for _ in range(2):
        answer = (await closed.post("/graphql", json={"query": query})).json()

        assert "data" not in answer
        assert [error["extensions"]["code"] for error in answer["errors"]] == [
            "GRAPHQL_VALIDATION_FAILED"
        ]


async def test_names_of_types_and_the_word_itself_stay_allowed(closed):
    query = (
        '{ __typename __type(name: "Team") { name } churches(search: "__schema") { totalCount } }'
    )

    answer = (await closed.post("/graphql", json={"query": query})).json()

    assert answer == {
        "data": {"__typename": "Query", "__type": {"name": "Team"}, "churches": {"totalCount": 0}}
    }


async def test_schema_is_shown_in_development_and_test(client):
    answer = (await client.post("/graphql", json={"query": SCHEMA})).json()

    assert answer == {"data": {"__schema": {"queryType": {"name": "Query"}}}}
