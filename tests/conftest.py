"""One PostgreSQL for the run, one migrated template in it, one database per worker.

The worker's database is emptied before each test that asks for it; commits are real.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Generator
from datetime import timedelta
from pathlib import Path

import asyncpg
import httpx
import pytest
import structlog
from argon2 import PasswordHasher

from domain.documents import RetentionClass
from integrations.storage.folder import FolderStore
from integrations.storage.upload_buffer import UploadBuffer
from persistence.embedded.server import EmbeddedPostgres
from persistence.engine import migrate
from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from resolvers.accounts.passwords import Passwords
from resolvers.security.secrets import Secrets
from resolvers.services import Accounts, Services, Storage
from server import create_app
from settings import Settings, load_settings
from tests.clock import FakeClock
from tests.databases import create_database, dsn, empty

# structlog's own choice is rich, which takes up to a minute to draw the traceback of a request.
_PLAIN = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _PLAIN])

SECRET = "a secret of the tests, long enough to be taken"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """A folder that all workers of the run share."""
    folder: Path = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def cluster(run_folder) -> Generator[EmbeddedPostgres]:
    """The PostgreSQL of the run; every worker attaches to the same one.

    It does not wait for the disk: tests that kill a database have one of their own.
    """
    version = os.environ.get("TEST_POSTGRES_VERSION", "18")
    with EmbeddedPostgres(run_folder / "cluster", version=version) as postgres:
        asyncio.run(turn_off_durability(postgres.connected_url("postgres")))
        yield postgres


async def turn_off_durability(url: str) -> None:
    connection = await asyncpg.connect(dsn(url))
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        await connection.execute(f"ALTER SYSTEM SET {name} = off")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


@pytest.fixture(scope="session")
def template(cluster) -> str:
    """The name of a database with the newest schema and no rows."""
    return create_database(cluster, "template_icct26", migrate.upgrade)


@pytest.fixture(scope="session")
def worker_url(cluster, template) -> str:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    name = create_database(cluster, f"worker_{worker}", template=template)
    return cluster.connected_url(name)


@pytest.fixture
def database_url(worker_url) -> str:
    """A database with nothing but the default tournament."""
    asyncio.run(empty(worker_url))
    return worker_url


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def database(database_url, clock) -> AsyncGenerator[Database]:
    opened = Database(DatabaseOptions(url=database_url))
    await opened.run(
        lambda uow: uow.tournaments.add_default(capacity=16, required_documents=(), now=clock.now)
    )
    yield opened
    await opened.close()


@pytest.fixture
def storage(tmp_path) -> Storage:
    """Documents in a folder of the test's own, in the places that the application uses too."""
    media = FolderStore(tmp_path / "documents")
    return Storage(
        primary_store=media,
        stores={"folder": media},
        upload_buffer=UploadBuffer(tmp_path / "uploads"),
        ticket_lifetime=timedelta(hours=2),
        link_lifetime=timedelta(minutes=10),
        unclaimed_ttl=timedelta(hours=24),
        retention=dict.fromkeys(RetentionClass, timedelta(days=180)),
    )


@pytest.fixture
def accounts() -> Accounts:
    """With passwords that cost next to nothing."""
    return Accounts(
        passwords=Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)),
        session_idle_timeout=timedelta(hours=12),
        session_max_age=timedelta(days=7),
        invitation_lifetime=timedelta(days=7),
    )


@pytest.fixture
def services(database, clock, storage, accounts) -> Services:
    return Services(
        database=database,
        secrets=Secrets(current=SECRET),
        storage=storage,
        accounts=accounts,
        guards=(),
        clock=clock,
        idempotency_ttl=timedelta(hours=24),
        outbox_retention=timedelta(days=30),
        version="0.1.0",
    )


@pytest.fixture
async def sql(database, database_url) -> AsyncGenerator[asyncpg.Connection]:
    """A connection of the test's own, to look at rows and to change them."""
    connection = await asyncpg.connect(dsn(database_url))
    yield connection
    await connection.close()


@pytest.fixture
def settings_with(tmp_path) -> Callable[..., Settings]:
    """Settings of the tests with changes; nothing happens in the background."""

    def build(**changes) -> Settings:
        wanted = {
            "environment": "test",
            "data_dir": tmp_path,
            "secret_key": SECRET,
            "enable_rate_limiting": False,
            "outbox_in_server": False,
        }
        return load_settings(None, **(wanted | changes))

    return build


@pytest.fixture
def settings(settings_with) -> Settings:
    return settings_with()


@pytest.fixture
async def client(settings, database, database_url) -> AsyncGenerator[httpx.AsyncClient]:
    """The whole application, middleware and all, without a socket."""
    app = create_app(settings, database_url)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as opened:
            yield opened
