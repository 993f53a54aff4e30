"""GraphQL requests of tests. Every error is checked against the published JSON Schema."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import lru_cache

import httpx
from graphql import FieldNode, GraphQLError, OperationDefinitionNode, OperationType, parse
from jsonschema import Draft202012Validator

from domain.errors.codes import CATALOG
from schema.error_docs import GENERAL_ERRORS, MUTATION_ERRORS, error_schema
from server import create_app

GRAPHQL_TYPE = "application/graphql-response+json"
# Nothing listens on this port.
UNREACHABLE_DATABASE = "postgresql+asyncpg://postgres@127.0.0.1:1/nowhere"

_SCHEMA = json.loads(error_schema())
_VALIDATOR = Draft202012Validator(_SCHEMA)
_EXTENSIONS = _SCHEMA["properties"]["errors"]["items"]["properties"]["extensions"]
_DETAILS = {
    rule["if"]["properties"]["code"]["const"]: rule["then"]["properties"]["details"]
    for rule in _EXTENSIONS["allOf"]
}


@asynccontextmanager
async def app_client(settings, url: str) -> AsyncGenerator[httpx.AsyncClient]:
    """Yield a client of the whole application with these settings and this database."""
    app = create_app(settings, url)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as opened:
            yield opened


async def execute(client, query: str, variables: dict | None = None, **headers) -> httpx.Response:
    """Send a GraphQL request. Header names have underscores for hyphens.

    The body is ASCII JSON, which can also carry lone surrogates.
    """
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await client.post(
        "/graphql",
        content=json.dumps({"query": query, "variables": variables}),
        headers={"Content-Type": "application/json", "Accept": GRAPHQL_TYPE} | sent,
    )
    check_codes(query, answer)
    return answer


def check_codes(query: str, answer: httpx.Response) -> None:
    """Assert that a mutation returns only error codes that it documents, or general ones."""
    is_json = "json" in answer.headers.get("Content-Type", "")
    if "mutation" not in query or not is_json:
        return
    body, roots = answer.json(), _mutations_by_key(query)
    for error in body.get("errors", ()):
        path = error.get("path", ())
        if not roots or not path:
            assert CATALOG[error["extensions"]["code"]] in GENERAL_ERRORS, error
        elif len(path) == 1:
            _check_code(roots[path[0]], error["extensions"]["code"])
    for key, name in roots.items():
        payload = (body.get("data") or {}).get(key)
        for result in payload.get("results", ()) if isinstance(payload, dict) else ():
            _check_bulk_result(name, result.get("error") or {})


def _check_bulk_result(mutation: str, error: dict) -> None:
    """Check the error of one team in a bulk mutation, as far as it was selected."""
    if "code" in error:
        _check_code(mutation, error["code"])
    if {"code", "details"} <= error.keys():
        Draft202012Validator(_DETAILS[error["code"]]).validate(error["details"])


def _check_code(mutation: str, code: str) -> None:
    assert CATALOG[code] in (*GENERAL_ERRORS, *MUTATION_ERRORS[mutation]), (mutation, code)


@lru_cache
def _mutations_by_key(query: str) -> dict[str, str]:
    """Map response keys of a document to mutations; empty for an invalid document."""
    try:
        document = parse(query)
    except (GraphQLError, RecursionError):
        return {}
    return {
        field.alias.value if field.alias else field.name.value: field.name.value
        for operation in document.definitions
        if isinstance(operation, OperationDefinitionNode)
        and operation.operation == OperationType.MUTATION
        for field in operation.selection_set.selections
        if isinstance(field, FieldNode)
    }


def check_envelope(body: dict) -> None:
    _VALIDATOR.validate(body)


def error_extensions(response: httpx.Response) -> dict:
    """Check the error envelope and return the `extensions` of its only error."""
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
