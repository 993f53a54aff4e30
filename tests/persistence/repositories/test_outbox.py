"""Leases and results of outbox messages."""

from datetime import timedelta

import pytest

from persistence.repositories import outbox

LEASE = timedelta(seconds=120)
RESULTS = {
    "finish": ("finished_at", None),
    "fail": ("due_at", "StorageUnavailable"),
    "dead_letter": ("dead_at", "StorageUnavailable"),
}


class Box:
    """The outbox as a worker uses it, at the time of `clock`."""

    def __init__(self, database, clock):
        self.database = database
        self.clock = clock

    async def add(self, number=0, *, kind="file.move", due_in=0.0):
        due_at = self.clock() + timedelta(seconds=due_in)
        values = {"kind": kind, "payload": {"number": number}, "now": self.clock()}
        return await self.database.run(lambda uow: uow.outbox.add(**values, due_at=due_at))

    def lease_work(self, *kinds, limit=10):
        kinds = kinds or ("file.move",)
        return lambda uow: uow.outbox.lease(
            kinds=kinds, now=self.clock(), duration=LEASE, limit=limit
        )

    async def lease(self, *kinds, limit=10):
        return await self.database.run(self.lease_work(*kinds, limit=limit))

    async def complete(self, name, message):
        now = self.clock()
        values = {
            "finish": {"now": now},
            "fail": {"failure": "StorageUnavailable", "due_at": now + timedelta(seconds=5)},
            "dead_letter": {"failure": "StorageUnavailable", "now": now},
        }
        return await self.database.run(
            lambda uow: getattr(uow.outbox, name)(message, **values[name])
        )

    async def next_due(self, *kinds):
        return await self.database.read(
            lambda uow: uow.outbox.next_due(kinds=kinds or ("file.move",))
        )


@pytest.fixture
def box(database, clock):
    return Box(database, clock)


async def rows(sql):
    records = await sql.fetch(
        "SELECT id, due_at, attempts, finished_at, dead_at, failure FROM outbox_message ORDER BY id"
    )
    return [dict(row) for row in records]


def numbers(messages):
    return [message.payload["number"] for message in messages]


async def test_leased_message_has_the_added_values(box, sql, clock):
    message_id = await box.add(26)
    added_at = clock()
    clock.advance(seconds=7)

    [message] = await box.lease()

    assert message == outbox.Message(
        id=message_id,
        kind="file.move",
        team_id=None,
        payload={"number": 26},
        attempts=1,
        created_at=added_at,
    )
    [row] = await rows(sql)
    assert (row["attempts"], row["due_at"]) == (1, added_at + timedelta(seconds=127))


async def test_message_without_a_time_is_due_at_once(box, database, clock):
    await database.run(lambda uow: uow.outbox.add(kind="file.move", payload={}, now=clock()))

    assert await box.next_due() == clock()


async def test_message_is_rolled_back_with_its_transaction(database, sql, clock):
    async def cause(uow):
        await uow.outbox.add(kind="file.move", payload={}, now=clock())
        raise KeyError

    with pytest.raises(KeyError):
        await database.run(cause)

    assert await rows(sql) == []


async def test_concurrent_workers_lease_different_messages(box, database, sql):
    for number in range(5):
        await box.add(number)

    async def lease_before_the_first_has_committed(uow):
        first = await box.lease_work(limit=2)(uow)
        second = await box.lease(limit=2)
        third = await box.lease()
        fourth = await box.lease()
        return [numbers(messages) for messages in (first, second, third, fourth)]

    leased = await database.run(lease_before_the_first_has_committed)

    assert [len(batch) for batch in leased] == [2, 2, 1, 0]
    assert sorted(number for batch in leased for number in batch) == [0, 1, 2, 3, 4]
    assert [row["attempts"] for row in await rows(sql)] == [1] * 5


async def test_longest_due_messages_are_leased_first(box):
    for number, due_in in enumerate([-1, -3, 0, -2, 0.001]):
        await box.add(number, due_in=due_in)

    assert numbers(await box.lease(limit=3)) == [1, 3, 0]
    assert numbers(await box.lease(limit=3)) == [2]


async def test_messages_of_other_kinds_are_not_leased(box, sql):
    await box.add(1, kind="mail.team_received")
    before = await rows(sql)

    assert await box.lease("file.move", "file.delete") == []
    assert await box.next_due("file.move", "file.delete") is None
    assert await rows(sql) == before


async def test_message_is_leased_again_only_after_its_lease_has_ended(box, clock):
    await box.add()
    [first] = await box.lease()

    clock.advance(seconds=119.999)
    early = await box.lease()
    clock.advance(seconds=0.001)
    [second] = await box.lease()

    assert early == []
    assert (first.id, first.attempts) == (second.id, 1)
    assert second.attempts == 2


@pytest.mark.parametrize("name", RESULTS)
async def test_worker_whose_lease_was_replaced_changes_nothing(box, sql, clock, name):
    await box.add()
    [late] = await box.lease()
    clock.advance(seconds=120)
    [newest] = await box.lease()
    before = await rows(sql)

    assert not await box.complete(name, late)
    assert await rows(sql) == before
    assert await box.complete(name, newest)


@pytest.mark.parametrize("name", RESULTS)
async def test_expired_lease_counts_until_another_replaces_it(box, clock, name):
    await box.add()
    [message] = await box.lease()
    clock.advance(days=1)

    assert await box.complete(name, message)


@pytest.mark.parametrize("name", RESULTS)
async def test_result_is_stored_with_time_and_failure(box, sql, clock, name):
    await box.add(1)
    other = await box.add(2, due_in=1)
    [message] = await box.lease()
    [_, untouched] = await rows(sql)
    leased = {"due_at": clock() + LEASE, "finished_at": None, "dead_at": None}
    column, failure = RESULTS[name]
    at = clock() + timedelta(seconds=5) if name == "fail" else clock()

    assert await box.complete(name, message)

    [row, other_row] = await rows(sql)
    changed = leased | {column: at}
    assert row == {"id": message.id, "attempts": 1, "failure": failure} | changed
    assert (other_row["id"], other_row) == (other, untouched)


@pytest.mark.parametrize("first", ["finish", "dead_letter"])
@pytest.mark.parametrize("second", RESULTS)
async def test_final_result_is_not_replaced(box, sql, clock, first, second):
    await box.add()
    [message] = await box.lease()
    await box.complete(first, message)
    before = await rows(sql)
    clock.advance(days=400)

    assert not await box.complete(second, message)
    assert await box.lease() == []
    assert await rows(sql) == before


async def test_finished_message_has_no_failure(box, sql, clock):
    await box.add()
    [first] = await box.lease()
    await box.complete("fail", first)
    clock.advance(seconds=5)
    [second] = await box.lease()

    await box.complete("finish", second)

    [row] = await rows(sql)
    assert (row["attempts"], row["failure"], row["finished_at"]) == (2, None, clock())


async def test_leasing_and_the_next_due_time_read_only_pending_messages_of_the_kinds(box, sql):
    # The planner reads a table of one row without an index unless it is told otherwise.
    await box.add(1)
    await sql.execute("SET enable_seqscan = off")
    conditions = "finished_at IS NULL AND dead_at IS NULL AND kind = ANY('{file.move,file.delete}')"

    plans = [
        await sql.fetchval(f"EXPLAIN (FORMAT JSON) SELECT {statement}")
        for statement in (
            f"id FROM outbox_message WHERE {conditions} AND due_at <= now() ORDER BY due_at, id",
            f"min(due_at) FROM outbox_message WHERE {conditions}",
        )
    ]

    for plan in plans:
        assert '"Index Name": "ix_outbox_message_pending"' in plan
        assert '"Filter"' not in plan


async def test_next_due_is_the_earliest_undelivered_message(box, clock):
    assert await box.next_due() is None

    await box.add(1, due_in=0)
    await box.add(2, due_in=60)
    assert await box.next_due() == clock()

    [message] = await box.lease()
    assert await box.next_due() == clock() + timedelta(seconds=60)

    clock.advance(seconds=60)
    await box.complete("finish", (await box.lease())[0])
    assert await box.next_due() == clock() + timedelta(seconds=60)

    await box.complete("dead_letter", message)
    assert await box.next_due() is None
