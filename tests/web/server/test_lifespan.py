"""The start of the application with a database that is away."""

import pytest

from tests.graphql_client import app_client
from tests.postgres_proxy import NO_ANSWER, STARTING_UP, PostgresProxy


@pytest.fixture
async def proxy(database_url):
    async with PostgresProxy(database_url) as opened:
        yield opened


@pytest.mark.parametrize("response", [NO_ANSWER, STARTING_UP])
async def test_application_starts_without_a_database_and_works_when_it_is_back(
    settings_with, proxy, response
):
    proxy.connect_response = response

    async with app_client(settings_with(), proxy.url) as client:
        refused = proxy.refused_connections
        alive = await client.get("/livez")
        away = await client.get("/readyz")
        proxy.connect_response = None
        back = await client.get("/readyz")

    assert refused == 3
    assert (alive.status_code, away.status_code, back.status_code) == (200, 503, 200)


async def test_application_starts_while_the_database_does_not_answer(
    settings_with, proxy, monkeypatch
):
    monkeypatch.setattr("web.server.lifespan.WARM_UP_SECONDS", 0.05)
    proxy.is_unresponsive = True

    # Longer than any test takes: the start does not wait for the end of the attempts.
    settings = settings_with(database_connect_timeout_seconds=60)
    async with app_client(settings, proxy.url) as client:
        assert (await client.get("/livez")).status_code == 200
