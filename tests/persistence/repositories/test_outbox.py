"""What a process may say of a message, and until when."""

from datetime import timedelta
from functools import partial

import pytest

from persistence.repositories import outbox

LEASE = timedelta(seconds=120)
SETTLED = {
    "finish": ("finished_at", None),
    "fail": ("due_at", "StorageUnavailable"),
    "bury": ("dead_at", "StorageUnavailable"),
}


class Box:
    """The outbox as a process uses it, at the time of `clock`."""

    def __init__(self, database, clock):
        self.database = database
        self.clock = clock

    async def add(self, number=0, *, kind="file.move", due_in=0.0):
        due_at = self.clock() + timedelta(seconds=due_in)
        values = {"kind": kind, "payload": {"number": number}, "now": self.clock()}
        return await self.database.run(partial(outbox.add, **values, due_at=due_at))

    def claiming(self, *kinds, limit=10):
        kinds = kinds or ("file.move",)
        return partial(outbox.lease, kinds=kinds, now=self.clock(), duration=LEASE, limit=limit)

    async def claim(self, *kinds, limit=10):
        return await self.database.run(self.claiming(*kinds, limit=limit))

    async def settle(self, name, message):
        now = self.clock()
        values = {
            "finish": {"now": now},
            "fail": {"failure": "StorageUnavailable", "due_at": now + timedelta(seconds=5)},
            "bury": {"failure": "StorageUnavailable", "now": now},
        }
        work = partial(getattr(outbox, name), message=message, **values[name])
        return await self.database.run(work)

    async def next_due(self, *kinds):
        return await self.database.read(partial(outbox.next_due, kinds=kinds or ("file.move",)))


@pytest.fixture
def box(database, clock):
    return Box(database, clock)


async def rows(sql):
    found = await sql.fetch(
        "SELECT id, due_at, attempts, finished_at, dead_at, failure FROM outbox_message ORDER BY id"
    )
    return [dict(row) for row in found]


def numbers(messages):
    return [message.payload["number"] for message in messages]


async def test_message_is_claimed_as_it_was_added(box, sql, clock):
    message_id = await box.add(26)
    added_at = clock()
    clock.advance(seconds=7)

    [message] = await box.claim()

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
    await database.run(partial(outbox.add, kind="file.move", payload={}, now=clock()))

    assert await box.next_due() == clock()


async def test_message_is_gone_with_the_transaction_of_its_cause(database, sql, clock):
    async def cause(connection):
        await outbox.add(connection, kind="file.move", payload={}, now=clock())
        raise KeyError

    with pytest.raises(KeyError):
        await database.run(cause)

    assert await rows(sql) == []


async def test_two_that_claim_at_once_get_different_messages(box, database, sql):
    for number in range(5):
        await box.add(number)

    async def claim_before_the_first_has_committed(connection):
        first = await box.claiming(limit=2)(connection)
        second = await box.claim(limit=2)
        third = await box.claim()
        fourth = await box.claim()
        return [numbers(claimed) for claimed in (first, second, third, fourth)]

    claimed = await database.run(claim_before_the_first_has_committed)

    assert [len(one) for one in claimed] == [2, 2, 1, 0]
    assert sorted(number for one in claimed for number in one) == [0, 1, 2, 3, 4]
    assert [row["attempts"] for row in await rows(sql)] == [1] * 5


async def test_longest_due_are_claimed_first(box):
    for number, due_in in enumerate([-1, -3, 0, -2, 0.001]):
        await box.add(number, due_in=due_in)

    assert numbers(await box.claim(limit=3)) == [1, 3, 0]
    assert numbers(await box.claim(limit=3)) == [2]


async def test_kinds_that_nobody_handles_stay_as_they_are(box, sql):
    await box.add(1, kind="mail.team_received")
    before = await rows(sql)

    assert await box.claim("file.move", "file.delete") == []
    assert await box.next_due("file.move", "file.delete") is None
    assert await rows(sql) == before


async def test_lease_keeps_others_away_until_it_ends(box, clock):
    await box.add()
    [first] = await box.claim()

    clock.advance(seconds=119.999)
    early = await box.claim()
    clock.advance(seconds=0.001)
    [second] = await box.claim()

    assert early == []
    assert (first.id, first.attempts) == (second.id, 1)
    assert second.attempts == 2


@pytest.mark.parametrize("name", SETTLED)
async def test_process_whose_lease_went_to_another_changes_nothing(box, sql, clock, name):
    await box.add()
    [late] = await box.claim()
    clock.advance(seconds=120)
    [newest] = await box.claim()
    before = await rows(sql)

    assert not await box.settle(name, late)
    assert await rows(sql) == before
    assert await box.settle(name, newest)


@pytest.mark.parametrize("name", SETTLED)
async def test_lease_that_ran_out_and_went_to_nobody_still_counts(box, clock, name):
    await box.add()
    [message] = await box.claim()
    clock.advance(days=1)

    assert await box.settle(name, message)


@pytest.mark.parametrize("name", SETTLED)
async def test_settling_writes_when_and_why(box, sql, clock, name):
    await box.add(1)
    other = await box.add(2, due_in=1)
    [message] = await box.claim()
    [_, untouched] = await rows(sql)
    leased = {"due_at": clock() + LEASE, "finished_at": None, "dead_at": None}
    column, failure = SETTLED[name]
    at = clock() + timedelta(seconds=5) if name == "fail" else clock()

    assert await box.settle(name, message)

    [row, other_row] = await rows(sql)
    changed = leased | {column: at}
    assert row == {"id": message.id, "attempts": 1, "failure": failure} | changed
    assert (other_row["id"], other_row) == (other, untouched)


@pytest.mark.parametrize("first", ["finish", "bury"])
@pytest.mark.parametrize("second", SETTLED)
async def test_what_is_settled_for_good_stays_so(box, sql, clock, first, second):
    await box.add()
    [message] = await box.claim()
    await box.settle(first, message)
    before = await rows(sql)
    clock.advance(days=400)

    assert not await box.settle(second, message)
    assert await box.claim() == []
    assert await rows(sql) == before


async def test_finished_message_has_no_failure_left(box, sql, clock):
    await box.add()
    [first] = await box.claim()
    await box.settle("fail", first)
    clock.advance(seconds=5)
    [second] = await box.claim()

    await box.settle("finish", second)

    [row] = await rows(sql)
    assert (row["attempts"], row["failure"], row["finished_at"]) == (2, None, clock())


async def test_next_due_is_the_first_of_what_is_owed(box, clock):
    assert await box.next_due() is None

    await box.add(1, due_in=0)
    await box.add(2, due_in=60)
    assert await box.next_due() == clock()

    [message] = await box.claim()
    assert await box.next_due() == clock() + timedelta(seconds=60)

    clock.advance(seconds=60)
    await box.settle("finish", (await box.claim())[0])
    assert await box.next_due() == clock() + timedelta(seconds=60)

    await box.settle("bury", message)
    assert await box.next_due() is None
