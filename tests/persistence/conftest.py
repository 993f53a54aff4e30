import asyncpg
import pytest

from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from tests.databases import dsn
from tests.postgres_proxy import PostgresProxy


@pytest.fixture
async def open_database(database_url):
    """A function that opens the test's database with other options."""
    opened = []

    def open_with(url=database_url, **options):
        opened.append(Database(DatabaseOptions(url=url, **options)))
        return opened[-1]

    yield open_with
    for database in opened:
        await database.close()


@pytest.fixture
async def proxy(database_url):
    async with PostgresProxy(database_url) as opened:
        yield opened


@pytest.fixture
def proxied(proxy, open_database):
    return open_database(proxy.url)


@pytest.fixture
async def holder(database_url):
    """A connection that holds locks: within a transaction `sql` would not see new sessions."""
    connection = await asyncpg.connect(dsn(database_url))
    yield connection
    await connection.close()
