"""The cache of recent reads, and its coherence over processes."""

import asyncio
from functools import partial

import pytest
from sqlalchemy import text

from domain.errors.exceptions import NotFound
from persistence.engine import recent

ADD_CHURCH = """
    INSERT INTO church (id, tournament_id, name, normalized_name, taken, created_at)
    SELECT gen_random_uuid(), id, 'St Mary', 'st mary', 0, now() FROM tournament
"""
SELECT_NAME = text("SELECT name FROM church WHERE normalized_name = :key")
DELETE_CHURCHES = text("DELETE FROM church")


class Churches:
    """Reads church names through the cache; `read` records the keys that were read."""

    def __init__(self, database):
        self.recent = database.recent
        self.read = []
        self._database = database

    async def name(self, key="st mary"):
        return self.recent.get(key) or await self.recent.fill(key, partial(self._read, key))

    async def _read(self, key):
        self.read.append(key)
        return await self._database.read(
            lambda connection: connection.scalar(SELECT_NAME, {"key": key})
        )


@pytest.mark.recent(3_600)
async def test_recent_value_is_not_read_again(database, sql):
    await sql.execute(ADD_CHURCH)
    churches = Churches(database)

    assert [await churches.name() for _ in range(3)] == ["St Mary"] * 3

    assert churches.read == ["st mary"]


@pytest.mark.recent(3_600)
async def test_missing_value_is_not_cached(database, sql):
    churches = Churches(database)
    assert await churches.name() is None
    await sql.execute(ADD_CHURCH)

    assert await churches.name() == "St Mary"


@pytest.mark.recent
async def test_age_counts_from_before_the_read():
    now = 10.0
    cache = recent.Recent(lambda: now)

    async def read():
        nonlocal now
        now += 0.2
        return "read"

    assert await cache.fill("key", read) == "read"
    assert cache.get("key") == "read"
    now = 10.0 + recent.MAX_AGE_SECONDS
    assert cache.get("key") is None


async def delete_churches(connection):
    await connection.execute(DELETE_CHURCHES)


@pytest.mark.recent
async def test_superseded_value_is_gone_in_every_process(database, open_database, sql):
    await sql.execute(ADD_CHURCH)
    here, elsewhere = Churches(database), Churches(open_database())

    async def until_gone():
        """Reading all the time must not prolong the life of a value."""
        while await elsewhere.name() is not None:
            await asyncio.sleep(0)

    assert await here.name() == await elsewhere.name() == "St Mary"
    polling = asyncio.create_task(until_gone())

    await database.supersede(delete_churches)

    assert await elsewhere.name() is None
    assert await here.name() is None
    await polling


@pytest.mark.recent(3_600)
async def test_supersede_clears_the_own_cache(database, sql, monkeypatch):
    await sql.execute(ADD_CHURCH)
    churches = Churches(database)
    await churches.name()
    monkeypatch.setattr(recent, "MAX_AGE_SECONDS", 0)

    await database.supersede(delete_churches)

    assert await churches.name() is None


@pytest.mark.recent
async def test_failed_supersede_waits_as_well(database, open_database, sql):
    await sql.execute(ADD_CHURCH)
    elsewhere = Churches(open_database())

    async def delete_again(connection):
        if (await connection.execute(DELETE_CHURCHES)).rowcount == 0:
            raise NotFound("It is gone.")

    assert await elsewhere.name() == "St Mary"
    superseding = asyncio.create_task(database.supersede(delete_again))
    while await sql.fetchval("SELECT count(*) FROM church"):
        await asyncio.sleep(0)
    with pytest.raises(NotFound):
        await database.supersede(delete_again)

    assert await elsewhere.name() is None
    await superseding


@pytest.mark.recent(3_600)
async def test_cache_has_a_limited_number_of_entries(database, sql, monkeypatch):
    monkeypatch.setattr(recent, "MAX_ENTRIES", 1)
    await sql.execute(ADD_CHURCH)
    await sql.execute(ADD_CHURCH.replace("St Mary", "St John").replace("st mary", "st john"))
    churches = Churches(database)

    for key in ("st mary", "st john", "st john", "st mary"):
        await churches.name(key)

    assert churches.read == ["st mary", "st john", "st mary"]
