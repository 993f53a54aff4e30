import asyncio
from datetime import timedelta

import pytest

from persistence.ids import new_id
from persistence.records import IdempotencyEntry

TTL = timedelta(hours=1)


@pytest.fixture
def reserve(database, clock):
    """A function that uses a key and returns its former use."""

    async def use_key(entry: IdempotencyEntry, key: str = "key") -> IdempotencyEntry | None:
        return await database.run(
            lambda uow: uow.idempotency.reserve(
                operation="createApiToken",
                key=key,
                entry=entry,
                now=clock.now,
                expires_at=clock.now + TTL,
            )
        )

    return use_key


def make_entry(fingerprint: bytes) -> IdempotencyEntry:
    return IdempotencyEntry(fingerprint=fingerprint, object_id=new_id())


async def test_used_key_gives_its_first_use(reserve, sql):
    first, second = make_entry(b"1"), make_entry(b"2")

    assert await reserve(first) is None
    assert await reserve(second) == first
    assert await sql.fetchval("SELECT team_id FROM idempotency_record") == first.object_id


async def test_expired_key_is_used_anew(reserve, clock):
    first, second, third = make_entry(b"1"), make_entry(b"2"), make_entry(b"3")
    await reserve(first)
    clock.advance(hours=1)

    assert await reserve(second) is None
    assert await reserve(third) == second


async def test_concurrent_uses_of_a_key_have_one_winner(reserve):
    entries = [make_entry(bytes([number])) for number in range(5)]

    former = await asyncio.gather(*map(reserve, entries))

    (winner,) = [entry for entry, use in zip(entries, former, strict=True) if use is None]
    assert [use for use in former if use is not None] == [winner] * 4


async def test_job_is_leased_to_one_process_until_the_lease_ends(database, clock):
    async def acquire(job: str) -> bool:
        return await database.run(
            lambda uow: uow.maintenance.acquire_job_lease(job, now=clock.now, until=clock.now + TTL)
        )

    results = await asyncio.gather(*(acquire("compare_stores") for _ in range(5)))
    assert sorted(results) == [False] * 4 + [True]
    assert await acquire("another_job") is True
    clock.advance(hours=1)
    assert [await acquire("compare_stores") for _ in range(2)] == [True, False]
