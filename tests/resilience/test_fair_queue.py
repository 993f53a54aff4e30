"""Turns: few at once, and every client gets its share, however much others send."""

import asyncio
import random

import pytest

from domain.errors.exceptions import ServiceUnavailable
from resilience.fair_queue import FairQueue
from tests.server_processes import wait_until

BUSY = "Many things are being done."


class Record:
    """The order in which clients had their turns."""

    def __init__(self, turns: FairQueue) -> None:
        self._turns = turns
        self.order: list[str] = []
        self.most = 0
        self.go_on = asyncio.Event()

    async def work(self, client: str) -> None:
        async with self._turns.slot(client):
            self.order.append(client)
            self.most = max(self.most, self._turns.running)
            await self.go_on.wait()
            await asyncio.sleep(0)


async def begun(record: Record, turns: FairQueue, clients: str) -> list[asyncio.Task]:
    """Tasks that have all asked for a turn, in this order."""
    tasks = []
    for client in clients:
        tasks.append(asyncio.create_task(record.work(client)))
        await asyncio.sleep(0)
    return tasks


async def test_client_with_one_file_is_next_after_a_client_with_eight():
    turns = FairQueue(concurrency=1, per_client=1, max_waiting=100, busy=BUSY)
    record = Record(turns)
    tasks = await begun(record, turns, "AAAAAAAAB")

    record.go_on.set()
    await asyncio.gather(*tasks)

    assert "".join(record.order) == "AABAAAAAA"
    assert (record.most, turns.running, turns.waiting) == (1, 0, 0)


async def test_client_alone_never_has_all_turns():
    turns = FairQueue(concurrency=3, per_client=2, max_waiting=100, busy=BUSY)
    record = Record(turns)
    tasks = await begun(record, turns, "AAAAAA")
    alone = list(record.order)

    tasks += await begun(record, turns, "B")
    beside = list(record.order)
    record.go_on.set()
    await asyncio.gather(*tasks)

    assert alone == ["A", "A"]
    assert beside == ["A", "A", "B"]
    assert record.order.count("A") == 6


async def test_clients_take_turns_one_after_the_other():
    turns = FairQueue(concurrency=1, per_client=1, max_waiting=100, busy=BUSY)
    record = Record(turns)
    tasks = await begun(record, turns, "AAABBBCCC")

    record.go_on.set()
    await asyncio.gather(*tasks)

    assert "".join(record.order) == "AABCABCBC"


async def test_newest_of_the_longest_line_is_refused_when_too_many_wait():
    turns = FairQueue(concurrency=1, per_client=1, max_waiting=5, busy=BUSY)
    record = Record(turns)
    tasks = await begun(record, turns, "AAAAAAA")
    refused = [task for task in tasks if task.done()]
    (late,) = await begun(record, turns, "B")

    record.go_on.set()
    results = await asyncio.gather(*tasks, late, return_exceptions=True)

    assert refused == [tasks[6]]
    assert [type(one) for one in results] == [type(None)] * 5 + [ServiceUnavailable] * 2 + [
        type(None)
    ]
    assert [results[5].retry_after_seconds, results[6].retry_after_seconds] == [10, 10]
    assert results[5].message == "Many things are being done. Try again in a moment."
    assert record.order[:3] == ["A", "A", "B"]


async def test_turns_of_those_who_leave_are_given_to_others():
    turns = FairQueue(concurrency=1, per_client=1, max_waiting=100, busy=BUSY)
    record = Record(turns)
    tasks = await begun(record, turns, "ABCD")

    for place in (1, 0):
        tasks[place].cancel()
    await wait_until(lambda: len(record.order) == 2, "another one has its turn")
    record.go_on.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(one) for one in results[:2]] == [asyncio.CancelledError] * 2
    assert record.order == ["A", "C", "D"]
    assert (turns.running, turns.waiting) == (0, 0)


@pytest.mark.parametrize("seed", range(20))
async def test_every_turn_is_given_back_whatever_happens(seed):
    chance = random.Random(seed)
    turns = FairQueue(
        concurrency=chance.randint(1, 4), per_client=chance.randint(1, 3), max_waiting=6, busy=BUSY
    )
    record = Record(turns)
    record.go_on.set()
    tasks = []
    for _ in range(60):
        tasks.append(asyncio.create_task(record.work(chance.choice("ABCDE"))))
        if chance.random() < 0.5:
            await asyncio.sleep(0)
        if chance.random() < 0.3:
            chance.choice(tasks).cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    expected = (type(None), asyncio.CancelledError, ServiceUnavailable)
    assert all(isinstance(one, expected) for one in results)
    assert (turns.running, turns.waiting) == (0, 0)
