"""Asking the application over HTTP, with every refusal held against the published JSON Schema."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
from jsonschema import Draft202012Validator

from schema.catalog import error_schema
from server import create_app

GRAPHQL_TYPE = "application/graphql-response+json"
# Nobody listens there.
AWAY = "postgresql+asyncpg://postgres@127.0.0.1:1/nowhere"

_VALIDATOR = Draft202012Validator(json.loads(error_schema()))


@asynccontextmanager
async def serving(settings, url: str) -> AsyncGenerator[httpx.AsyncClient]:
    """The whole application with settings, or a database, of the test's own."""
    app = create_app(settings, url)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as opened:
            yield opened


async def ask(client, query: str, variables: dict | None = None, **headers) -> httpx.Response:
    """Headers are named in Python's way. The body is ASCII: half a character can be sent too."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(
        "/graphql",
        content=json.dumps({"query": query, "variables": variables}),
        headers={"Content-Type": "application/json", "Accept": GRAPHQL_TYPE} | sent,
    )


def check_envelope(body: dict) -> None:
    _VALIDATOR.validate(body)


def refused(response: httpx.Response) -> dict:
    """The `extensions` of the one error of an answer whose whole envelope is right."""
    body = response.json()
    check_envelope(body)
    (error,) = body["errors"]
    extensions = error["extensions"]
    assert extensions["requestId"] == response.headers["X-Request-ID"]
    assert extensions["docUrl"] == f"/errors#{extensions['code']}"
    after = extensions["retryAfterSeconds"]
    assert response.headers.get("Retry-After") == (None if after is None else str(after))
    return extensions


def data(response: httpx.Response) -> dict:
    body = response.json()
    assert "errors" not in body, body
    return body["data"]
