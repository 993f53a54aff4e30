"""Long documents are read one after the other; one too many is told of documents."""

import httpx
import pytest

from server import create_app
from tests.graphql_client import data, error_extensions, execute
from web.graphql import endpoint


@pytest.mark.parametrize(
    "document",
    [
        "{ __typename }" + " " * 2_000,
        "{ __typename } #" + "x" * 2_000,
        "query Long { " + "a: __typename " * 200 + "}",
        "{ " * 2_000,
        "\ufeff{ __typename }" + "," * 2_000,
        '{ team(code: "' + "T" * 2_000 + '") { code } }',
    ],
    ids=["blanks", "comment", "fields", "broken", "commas", "text"],
)
async def test_document_that_waits_among_too_many_is_told_of_documents(
    settings, database, database_url, monkeypatch, document
):
    monkeypatch.setattr(endpoint, "MAX_WAITING_PARSERS", 0)
    app = create_app(settings, database_url)
    (graphql,) = (route.endpoint for route in app.routes if route.path == "/graphql")
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
            graphql._parsing.slot("another client"),
        ):
            answer = await execute(client, document)
            short = await execute(client, "{ __typename }")

    assert error_extensions(answer)["code"] == "SERVICE_UNAVAILABLE"
    assert answer.json()["errors"][0]["message"] == (
        "Many long GraphQL documents are being read. Try again in a moment."
    )
    assert data(short) == {"__typename": "Query"}
