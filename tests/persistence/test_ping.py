"""Whoever asks how the database is hears of it soon, whatever everybody else waits for."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from domain.errors import ServiceUnavailable
from persistence import database as module
from persistence.database import PING_SECONDS, Database, DatabaseOptions
from persistence.embedded import EmbeddedPostgres


@pytest.fixture
def postgres(tmp_path):
    """A server of the test's own."""
    with EmbeddedPostgres(tmp_path / "cluster") as started:
        yield started


@pytest.fixture
async def small(postgres):
    """A pool of one connection."""
    url = postgres.connected_url("icct26")
    opened = Database(DatabaseOptions(url=url, pool_size=1, max_overflow=0, attempts=1))
    yield opened
    await opened.close()


def processes(postmaster: int) -> list[int]:
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]


@contextmanager
def stopped(postmaster: int) -> Iterator[None]:
    """All of its processes stand still: connections are there, and say nothing."""
    pids = processes(postmaster)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def no_connection_left(database: Database) -> AsyncGenerator[asyncio.Event]:
    """A request holds the one connection, from when the event is set."""
    is_held, done = asyncio.Event(), asyncio.Event()

    async def hold(connection) -> None:
        await connection.execute(text("SELECT 1"))
        is_held.set()
        await done.wait()

    task = asyncio.ensure_future(database.run(hold))
    try:
        yield is_held
    finally:
        done.set()
        await asyncio.gather(task, return_exceptions=True)


def test_an_answer_takes_less_than_two_seconds():
    assert PING_SECONDS < 2


async def test_a_ping_does_not_wait_for_a_connection_of_the_pool(small):
    async with no_connection_left(small) as is_held:
        await is_held.wait()
        assert small.connections() == module.Connections(size=1, in_use=1, free=0)

        assert await small.ping() > 0
        assert all(await asyncio.gather(*(small.ping() for _ in range(5))))


@pytest.mark.parametrize("is_exhausted", [False, True])
async def test_a_database_that_stands_still_is_away(small, postgres, monkeypatch, is_exhausted):
    monkeypatch.setattr(module, "PING_SECONDS", 0.2)
    await small.ping()
    async with no_connection_left(small) as is_held:
        if is_exhausted:
            await is_held.wait()
        with stopped(postgres.postmaster_pid):
            for _ in range(3):
                with pytest.raises(ServiceUnavailable):
                    await small.ping()
    assert await eventually(small)


async def test_a_database_that_is_gone_is_away_while_others_wait_for_it(small, postgres):
    async with no_connection_left(small) as is_held:
        await is_held.wait()
        waiting = [asyncio.ensure_future(small.run(nothing)) for _ in range(3)]
        os.kill(postgres.postmaster_pid, signal.SIGKILL)
        with pytest.raises(ServiceUnavailable):
            await small.ping()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def nothing(connection) -> None:
    await connection.execute(text("SELECT 1"))


async def eventually(database: Database) -> float:
    """What was cut off in the meantime may still have to be noticed."""
    try:
        return await database.ping()
    except ServiceUnavailable:
        return await database.ping()
