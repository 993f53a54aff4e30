"""Whether the database answers, however busy, frozen, dead or far away it is."""

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
from tests.freezing import frozen
from tests.postgres_proxy import STARTING_UP

SOON = 0.05
# Longer than the run: what ends a wait is never this.
NEVER = 3_600.0


@pytest.fixture
def postgres(tmp_path):
    version = os.environ.get("TEST_POSTGRES_VERSION", "18")
    with EmbeddedPostgres(tmp_path / "data", version=version) as started:
        yield started


@pytest.fixture
async def busy(open_database):
    """A function that opens a database whose only connection is taken, and stays taken."""
    holding = []

    async def open_busy(url):
        database = open_database(
            url, pool_size=1, max_overflow=0, pool_timeout_seconds=NEVER, connect_timeout_seconds=60
        )
        taken = asyncio.Event()

        async def hold(connection):
            await connection.execute(text("SELECT 1"))
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
    """A URL where connections are accepted and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        yield f"postgresql+asyncpg://postgres@127.0.0.1:{port}/nowhere?ssl=disable"


async def unanswered(database: Database) -> BaseException | None:
    with pytest.raises(ServiceUnavailable) as refused:
        await database.ping(timeout_seconds=SOON)
    return refused.value.__cause__


async def ping_for_ever(database: Database) -> None:
    """The children of a killed server answer until they notice."""
    while True:
        await database.ping(timeout_seconds=60)


def test_nobody_waits_two_seconds_for_an_answer():
    assert PING_TIMEOUT_SECONDS < 2


async def test_database_whose_pool_is_exhausted_answers(busy, database_url):
    database = await busy(database_url)
    assert database.pool_usage() == PoolUsage(size=1, in_use=1)

    assert await database.ping() > 0


async def test_frozen_database_is_unavailable_and_answers_again(busy, postgres):
    database = await busy(postgres.connected_url("icct26"))
    await database.ping()

    with frozen(postgres):
        causes = [await unanswered(database) for _ in range(2)]

    assert [type(cause) for cause in causes] == [TimeoutError, TimeoutError]
    assert await database.ping(timeout_seconds=60) > 0


async def test_killed_database_is_unavailable_and_answers_again(busy, postgres):
    database = await busy(postgres.connected_url("icct26"))
    await database.ping()
    with frozen(postgres):
        os.kill(postgres.postmaster_pid, signal.SIGKILL)

    with pytest.raises(ServiceUnavailable):
        await ping_for_ever(database)

    await asyncio.to_thread(postgres.start)
    assert await database.ping(timeout_seconds=60) > 0


async def test_network_that_drops_everything_is_waited_for_no_longer_than_asked(black_hole):
    database = Database(DatabaseOptions(url=black_hole, connect_timeout_seconds=NEVER))

    cause = await unanswered(database)

    assert isinstance(cause, TimeoutError)
    await database.close()


async def test_kept_connection_that_fell_silent_is_replaced(proxy):
    probe = HealthProbe(proxy.url, connect_timeout_seconds=60, stale_after_seconds=SOON)
    await probe.ping(timeout_seconds=60)
    proxy.drop_responses()

    assert await probe.ping(timeout_seconds=60) > 0

    await probe.close()


async def test_all_who_ask_together_cause_one_connection(proxy, proxied):
    proxy.connect_response = STARTING_UP

    answers = await asyncio.gather(*(proxied.ping() for _ in range(15)), return_exceptions=True)

    assert {type(answer) for answer in answers} == {ServiceUnavailable}
    assert proxy.refused_connections == 1


async def test_database_that_wakes_up_slowly_is_connected_to_meanwhile(postgres, open_database):
    database = open_database(postgres.connected_url("icct26"), connect_timeout_seconds=60)
    with frozen(postgres):
        await unanswered(database)

    assert await database.ping(timeout_seconds=60) > 0


async def test_closing_ends_a_question_that_is_under_way(black_hole):
    database = Database(DatabaseOptions(url=black_hole, connect_timeout_seconds=NEVER))
    await unanswered(database)

    await database.close()

    names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}
    assert not any(name.startswith("HealthProbe.") for name in names)
