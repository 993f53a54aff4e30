"""CORS: headers for allowed origins, preflight requests, refusals with the envelope."""

import re

import pytest

from tests.web.middleware.applications import ORIGIN, client_of, extensions

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


@pytest.fixture
async def client():
    async with client_of() as opened:
        yield opened


@pytest.mark.parametrize("path", ["/ok", "/broken", "/away", "/nowhere"])
async def test_allowed_origin_may_read_responses_and_errors(client, path):
    response = await client.get(path, headers={"Origin": ORIGIN})

    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["access-control-allow-credentials"] == "true"
    assert response.headers["access-control-expose-headers"] == (
        "X-Request-ID, Retry-After, RateLimit, RateLimit-Policy, Upload-Offset, Upload-Length, "
        "Content-Disposition"
    )


async def test_other_origin_gets_no_cors_headers(client):
    response = await client.get("/ok", headers={"Origin": "https://evil.example"})

    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD"])
async def test_preflight_request_is_answered(client, method):
    wanted = "authorization, content-range, graphql-cost, idempotency-key, x-requested-with"
    response = await client.options(
        "/graphql",
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": wanted,
        },
    )

    assert response.status_code == 204
    assert response.content == b""
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["x-content-type-options"] == "nosniff"
    assert ULID.fullmatch(response.headers["x-request-id"])


@pytest.mark.parametrize(
    "header",
    [
        "traceparent",
        "tracestate",
        "baggage",
        "sentry-trace",
        "apollographql-client-name",
        "apollographql-client-version",
        "apollo-require-preflight",
        "x-apollo-operation-name",
        "x-apollo-operation-id",
        "x-app-build",
        "traceparent, sentry-trace, baggage, content-type, x-app-build",
    ],
)
async def test_preflight_naming_a_header_of_clients_or_of_the_setting_passes(client, header):
    response = await client.options(
        "/graphql",
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": header,
        },
    )

    assert response.status_code == 204
    allowed = response.headers["access-control-allow-headers"].lower().split(", ")
    assert set(header.split(", ")) <= set(allowed)


@pytest.mark.parametrize(
    "changed",
    [
        {"Origin": "https://evil.example"},
        {"Access-Control-Request-Method": "DELETE"},
        {"Access-Control-Request-Headers": "x-other"},
    ],
)
async def test_refused_preflight_request_has_the_envelope(client, changed):
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"} | changed

    response = await client.options("/graphql", headers=headers)

    assert response.status_code == 400
    assert extensions(response)["code"] == "BAD_USER_INPUT"
