"""What is taken for true for a moment, and how it is changed for everybody."""

import asyncio
from functools import partial

import pytest
from sqlalchemy import text

from domain.errors.exceptions import NotFound
from persistence.engine import recent

FOUND = """
    INSERT INTO church (id, tournament_id, name, normalized_name, taken, created_at)
    SELECT gen_random_uuid(), id, 'St Mary', 'st mary', 0, now() FROM tournament
"""
NAME = text("SELECT name FROM church WHERE normalized_name = :key")
CLOSE = text("DELETE FROM church")


class Churches:
    """Their names by their keys, and which ones were read."""

    def __init__(self, database):
        self.recent = database.recent
        self.read = []
        self._database = database

    async def name(self, key="st mary"):
        return self.recent.get(key) or await self.recent.fill(key, partial(self._read, key))

    async def _read(self, key):
        self.read.append(key)
        return await self._database.read(lambda connection: connection.scalar(NAME, {"key": key}))


@pytest.mark.recent(3_600)
async def test_what_was_read_is_not_read_again_at_once(database, sql):
    await sql.execute(FOUND)
    churches = Churches(database)

    assert [await churches.name() for _ in range(3)] == ["St Mary"] * 3

    assert churches.read == ["st mary"]


@pytest.mark.recent(3_600)
async def test_what_was_not_there_is_read_again(database, sql):
    churches = Churches(database)
    assert await churches.name() is None
    await sql.execute(FOUND)

    assert await churches.name() == "St Mary"


@pytest.mark.recent
async def test_it_is_true_since_it_was_asked_for_however_long_reading_takes():
    moment = 10.0
    kept = recent.Recent(lambda: moment)

    async def read():
        nonlocal moment
        moment += 0.2
        return "read"

    assert await kept.fill("key", read) == "read"
    assert kept.get("key") == "read"
    moment = 10.0 + recent.MAX_AGE_SECONDS
    assert kept.get("key") is None


async def closed(connection):
    await connection.execute(CLOSE)


@pytest.mark.recent
async def test_what_is_changed_is_changed_for_every_process(database, open_database, sql):
    await sql.execute(FOUND)
    here, elsewhere = Churches(database), Churches(open_database())

    async def until_gone():
        """Whoever asks all the time knows it no longer than whoever asked once."""
        while await elsewhere.name() is not None:
            await asyncio.sleep(0)

    assert await here.name() == await elsewhere.name() == "St Mary"
    asking = asyncio.create_task(until_gone())

    await database.supersede(closed)

    assert await elsewhere.name() is None
    assert await here.name() is None
    await asking


@pytest.mark.recent(3_600)
async def test_whoever_changes_it_forgets_it(database, sql, monkeypatch):
    await sql.execute(FOUND)
    churches = Churches(database)
    await churches.name()
    monkeypatch.setattr(recent, "MAX_AGE_SECONDS", 0)

    await database.supersede(closed)

    assert await churches.name() is None


@pytest.mark.recent
async def test_a_refusal_is_not_told_before_that_either(database, open_database, sql):
    await sql.execute(FOUND)
    elsewhere = Churches(open_database())

    async def once_more(connection):
        if (await connection.execute(CLOSE)).rowcount == 0:
            raise NotFound("It is gone.")

    assert await elsewhere.name() == "St Mary"
    superseding = asyncio.create_task(database.supersede(once_more))
    while await sql.fetchval("SELECT count(*) FROM church"):
        await asyncio.sleep(0)
    with pytest.raises(NotFound):
        await database.supersede(once_more)

    assert await elsewhere.name() is None
    await superseding


@pytest.mark.recent(3_600)
async def test_so_much_is_kept_at_most(database, sql, monkeypatch):
    monkeypatch.setattr(recent, "MAX_ENTRIES", 1)
    await sql.execute(FOUND)
    await sql.execute(FOUND.replace("St Mary", "St John").replace("st mary", "st john"))
    churches = Churches(database)

    for key in ("st mary", "st john", "st john", "st mary"):
        await churches.name(key)

    assert churches.read == ["st mary", "st john", "st mary"]
