"""Readiness is told in time and as it is, with a real PostgreSQL that stops in several ways."""

import asyncio
import os
import signal

import pytest
from structlog.testing import capture_logs

from persistence.embedded.server import EmbeddedPostgres
from tests.frozen_postgres import frozen
from tests.graphql_client import app_client

HANGING = {"query": "{ tournament { name } }"}


@pytest.fixture
def postgres(tmp_path):
    version = os.environ.get("TEST_POSTGRES_VERSION", "18")
    with EmbeddedPostgres(tmp_path / "data", version=version) as started:
        yield started


@pytest.fixture
async def client(settings_with, postgres):
    """Only the bound of the health check is short; one connection serves all requests."""
    settings = settings_with(
        database_pool_size=1, database_max_overflow=0, database_connect_timeout_seconds=60
    )
    async with app_client(settings, postgres.connected_url("icct26")) as opened:
        yield opened


def told(answer):
    return answer.status_code, answer.json()["status"]


async def test_frozen_database_is_down_while_requests_hang(client, postgres):
    assert told(await client.get("/readyz")) == (200, "OK")

    with frozen(postgres):
        hanging = [asyncio.create_task(client.post("/graphql", json=HANGING)) for _ in range(3)]
        answer = await client.get("/readyz")
        are_hanging = not any(request.done() for request in hanging)
    with capture_logs():
        await asyncio.gather(*hanging)

    assert told(answer) == (503, "DOWN")
    assert are_hanging
    assert told(await client.get("/readyz")) == (200, "OK")


async def test_killed_database_is_down_until_it_is_started_again(client, postgres):
    assert told(await client.get("/readyz")) == (200, "OK")
    with frozen(postgres):
        os.kill(postgres.postmaster_pid, signal.SIGKILL)

    # The children of a killed server answer until they notice.
    while (answer := await client.get("/readyz")).status_code == 200:
        pass
    assert told(answer) == (503, "DOWN")

    await asyncio.to_thread(postgres.start)
    assert told(await client.get("/readyz")) == (200, "OK")
