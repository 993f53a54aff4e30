"""Pings of a database that is busy, frozen, killed or out of reach."""

import asyncio
import os
import signal
import socket

import pytest
from sqlalchemy import text

from domain.errors.exceptions import ServiceUnavailable
from persistence.embedded.server import EmbeddedPostgres
from persistence.engine.database import PING_TIMEOUT_SECONDS, Database, PoolUsage
from persistence.engine.engine import DatabaseOptions
from persistence.engine.health_probe import HealthProbe
from tests.frozen_postgres import frozen
from tests.postgres_proxy import STARTING_UP

SHORT_SECONDS = 0.05
# Longer than the test run: a wait never ends by this limit.
NEVER_SECONDS = 3_600.0


@pytest.fixture
def postgres(tmp_path):
    version = os.environ.get("TEST_POSTGRES_VERSION", "18")
    with EmbeddedPostgres(tmp_path / "data", version=version) as started:
        yield started


@pytest.fixture
async def busy(open_database):
    """A function that opens a database whose only connection stays in use."""
    holding = []

    async def open_busy(url):
        database = open_database(
            url,
            pool_size=1,
            max_overflow=0,
            pool_timeout_seconds=NEVER_SECONDS,
            connect_timeout_seconds=60,
        )
        taken = asyncio.Event()

        async def hold(uow):
            await uow.session.exec(text("SELECT 1"))
            taken.set()
            await asyncio.Event().wait()

        holding.append(asyncio.create_task(database.run(hold)))
        await taken.wait()
        return database

    yield open_busy
    for task in holding:
        task.cancel()
    await asyncio.gather(*holding, return_exceptions=True)


@pytest.fixture
def black_hole():
    """A URL at which connections are accepted and never answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        yield f"postgresql+asyncpg://postgres@127.0.0.1:{port}/nowhere?ssl=disable"


async def failed_ping(database: Database) -> BaseException | None:
    with pytest.raises(ServiceUnavailable) as raised:
        await database.ping(timeout_seconds=SHORT_SECONDS)
    return raised.value.__cause__


async def ping_until_failure(database: Database) -> None:
    """The children of a killed server answer until they notice that it is gone."""
    while True:
        await database.ping(timeout_seconds=60)


def test_default_timeout_is_below_two_seconds():
    assert PING_TIMEOUT_SECONDS < 2


async def test_database_with_exhausted_pool_answers(busy, database_url):
    database = await busy(database_url)
    assert database.pool_usage() == PoolUsage(size=1, in_use=1)

    assert await database.ping() > 0


async def test_frozen_database_is_unavailable_until_it_continues(busy, postgres):
    database = await busy(postgres.connected_url("icct26"))
    await database.ping()

    with frozen(postgres):
        causes = [await failed_ping(database) for _ in range(2)]

    assert [type(cause) for cause in causes] == [TimeoutError, TimeoutError]
    assert await database.ping(timeout_seconds=60) > 0


async def test_killed_database_is_unavailable_until_it_is_restarted(busy, postgres):
    database = await busy(postgres.connected_url("icct26"))
    await database.ping()
    with frozen(postgres):
        os.kill(postgres.postmaster_pid, signal.SIGKILL)

    with pytest.raises(ServiceUnavailable):
        await ping_until_failure(database)

    await asyncio.to_thread(postgres.start)
    assert await database.ping(timeout_seconds=60) > 0


async def test_ping_without_any_answer_ends_with_its_timeout(black_hole):
    database = Database(DatabaseOptions(url=black_hole, connect_timeout_seconds=NEVER_SECONDS))

    cause = await failed_ping(database)

    assert isinstance(cause, TimeoutError)
    await database.close()


async def test_kept_connection_without_answer_is_replaced(proxy):
    probe = HealthProbe(proxy.url, connect_timeout_seconds=60, stale_after_seconds=SHORT_SECONDS)
    await probe.ping(timeout_seconds=60)
    proxy.drop_responses()

    assert await probe.ping(timeout_seconds=60) > 0

    await probe.close()


async def test_concurrent_pings_share_one_connection(proxy, proxied):
    proxy.connect_response = STARTING_UP

    results = await asyncio.gather(*(proxied.ping() for _ in range(15)), return_exceptions=True)

    assert {type(result) for result in results} == {ServiceUnavailable}
    assert proxy.refused_connections == 1


async def test_connecting_to_a_slow_database_goes_on_after_the_timeout(postgres, open_database):
    database = open_database(postgres.connected_url("icct26"), connect_timeout_seconds=60)
    with frozen(postgres):
        await failed_ping(database)

    assert await database.ping(timeout_seconds=60) > 0


async def test_close_cancels_a_ping_that_is_under_way(black_hole):
    database = Database(DatabaseOptions(url=black_hole, connect_timeout_seconds=NEVER_SECONDS))
    await failed_ping(database)

    await database.close()

    names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}
    assert not any(name.startswith("HealthProbe.") for name in names)
