"""Fixtures for tests with real server processes."""

from collections.abc import Callable, Generator
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest

from persistence.embedded.server import EmbeddedPostgres
from tests.conftest import SECRET
from tests.databases import create_database
from tests.server_processes import ServerProcess

StartServer = Callable[..., ServerProcess]


@pytest.fixture
def own_url(cluster, template) -> str:
    """The URL of a migrated, empty database for this test."""
    return cluster.connected_url(create_database(cluster, f"e2e_{uuid4().hex}", template=template))


@pytest.fixture
def make_server(tmp_path) -> Generator[StartServer]:
    """Create servers with a shared secret and separate folders; kill them at the end."""
    created: list[ServerProcess] = []
    numbers = count(1)

    def make_one(**variables: str) -> ServerProcess:
        folder = tmp_path / f"server{next(numbers)}"
        defaults = {
            "SECRET_KEY": SECRET,
            "DATA_DIR": str(folder / "data"),
            "DATABASE_POOL_SIZE": "8",
            "TOURNAMENT_CAPACITY": "1000",
        }
        created.append(ServerProcess(folder, defaults | variables))
        return created[-1]

    yield make_one
    for server in created:
        server.clean_up()


@pytest.fixture
def data_dir(tmp_path) -> Generator[Path]:
    """A folder for an embedded PostgreSQL, which is stopped at the end."""
    folder = tmp_path / "data"
    yield folder
    if folder.exists():
        with EmbeddedPostgres(folder):
            pass
