"""TrustedHost: names that are served, and probes by address."""

import pytest

from tests.web.middleware.applications import client_of, extensions


@pytest.fixture
async def client():
    async with client_of() as opened:
        yield opened


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("api.example", 200),
        ("API.Example:8000", 200),
        ("api.example.", 200),
        ("a.teams.example", 200),
        ("[::1]:8000", 200),
        ("teams.example", 400),
        ("evil.example", 400),
        ("api.example.evil.example", 400),
        ("evil.example#api.example", 400),
        ("api.example:80:80", 400),
        ("", 400),
    ],
)
async def test_only_allowed_hosts_are_served(client, host, status):
    response = await client.get("/ok", headers={"Host": host})

    assert response.status_code == status
    if status == 400:
        assert extensions(response)["code"] == "BAD_USER_INPUT"
        assert "evil" not in response.text


async def test_two_hosts_are_refused(client):
    hosts = [("Host", "api.example"), ("Host", "evil.example")]

    assert (await client.get("/ok", headers=hosts)).status_code == 400


async def test_probes_may_call_by_address(client):
    assert (await client.get("/livez", headers={"Host": "10.2.3.4:8000"})).status_code == 200
