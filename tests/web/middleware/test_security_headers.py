"""SecurityHeaders: on every response, unless it sets its own."""

import pytest

from tests.web.middleware.applications import client_of


@pytest.fixture
async def client():
    async with client_of() as opened:
        yield opened


@pytest.mark.parametrize("path", ["/ok", "/nowhere", "/broken"])
async def test_every_response_has_the_security_headers(client, path):
    response = await client.get(path)

    headers = response.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "camera=()" in headers["permissions-policy"]
    assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


async def test_headers_of_the_response_itself_stay(client):
    response = await client.get("/own-headers")

    assert response.headers["content-security-policy"] == "default-src 'self'"
    assert response.headers["cache-control"] == "max-age=9"


@pytest.mark.parametrize(
    ("environment", "scheme", "strict"),
    [
        ("production", "https", True),
        ("production", "http", True),
        ("development", "https", False),
    ],
)
async def test_strict_transport_is_for_production_where_a_proxy_ends_tls(
    environment, scheme, strict
):
    async with client_of(scheme, environment=environment) as client:
        response = await client.get("/ok")

    assert ("strict-transport-security" in response.headers) is strict
