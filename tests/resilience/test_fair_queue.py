"""Concurrency limits and fair rotation between clients."""

import asyncio
import random

import pytest

from domain.errors.exceptions import ServiceUnavailable
from resilience.fair_queue import FairQueue
from tests.server_processes import wait_until

BUSY = "Many things are being done."


class SlotRecorder:
    """Record the order in which clients get slots, and how many run at once."""

    def __init__(self, queue: FairQueue) -> None:
        self._queue = queue
        self.order: list[str] = []
        self.max_running = 0
        self.proceed = asyncio.Event()

    async def work(self, client: str) -> None:
        async with self._queue.slot(client):
            self.order.append(client)
            self.max_running = max(self.max_running, self._queue._running.total())
            await self.proceed.wait()
            await asyncio.sleep(0)


async def start_tasks(recorder: SlotRecorder, clients: str) -> list[asyncio.Task]:
    """Start a task for each letter, in this order, all waiting for a slot."""
    tasks = []
    for client in clients:
        tasks.append(asyncio.create_task(recorder.work(client)))
        await asyncio.sleep(0)
    return tasks


async def test_client_with_one_request_is_next_after_a_client_with_eight():
    queue = FairQueue(concurrency=1, per_client=1, max_waiting=100, busy=BUSY)
    recorder = SlotRecorder(queue)
    tasks = await start_tasks(recorder, "AAAAAAAAB")

    recorder.proceed.set()
    await asyncio.gather(*tasks)

    assert "".join(recorder.order) == "AABAAAAAA"
    assert (recorder.max_running, queue._running.total(), queue.waiting) == (1, 0, 0)


async def test_single_client_never_gets_all_slots():
    queue = FairQueue(concurrency=3, per_client=2, max_waiting=100, busy=BUSY)
    recorder = SlotRecorder(queue)
    tasks = await start_tasks(recorder, "AAAAAA")
    alone = list(recorder.order)

    tasks += await start_tasks(recorder, "B")
    beside = list(recorder.order)
    recorder.proceed.set()
    await asyncio.gather(*tasks)

    assert alone == ["A", "A"]
    assert beside == ["A", "A", "B"]
    assert recorder.order.count("A") == 6


async def test_clients_get_slots_in_rotation():
    queue = FairQueue(concurrency=1, per_client=1, max_waiting=100, busy=BUSY)
    recorder = SlotRecorder(queue)
    tasks = await start_tasks(recorder, "AAABBBCCC")

    recorder.proceed.set()
    await asyncio.gather(*tasks)

    assert "".join(recorder.order) == "AABCABCBC"


async def test_newest_request_of_the_longest_queue_is_refused_when_too_many_wait():
    queue = FairQueue(concurrency=1, per_client=1, max_waiting=5, busy=BUSY)
    recorder = SlotRecorder(queue)
    tasks = await start_tasks(recorder, "AAAAAAA")
    refused = [task for task in tasks if task.done()]
    (late,) = await start_tasks(recorder, "B")

    recorder.proceed.set()
    results = await asyncio.gather(*tasks, late, return_exceptions=True)

    assert refused == [tasks[6]]
    assert [type(result) for result in results] == [type(None)] * 5 + [ServiceUnavailable] * 2 + [
        type(None)
    ]
    assert [results[5].retry_after_seconds, results[6].retry_after_seconds] == [10, 10]
    assert results[5].message == "Many things are being done. Try again in a moment."
    assert recorder.order[:3] == ["A", "A", "B"]


async def test_slots_of_cancelled_tasks_go_to_other_clients():
    queue = FairQueue(concurrency=1, per_client=1, max_waiting=100, busy=BUSY)
    recorder = SlotRecorder(queue)
    tasks = await start_tasks(recorder, "ABCD")

    for index in (1, 0):
        tasks[index].cancel()
    await wait_until(lambda: len(recorder.order) == 2, "another client gets the slot")
    recorder.proceed.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(result) for result in results[:2]] == [asyncio.CancelledError] * 2
    assert recorder.order == ["A", "C", "D"]
    assert (queue._running.total(), queue.waiting) == (0, 0)


@pytest.mark.parametrize("seed", range(20))
async def test_every_slot_is_released_after_random_cancellations(seed):
    rng = random.Random(seed)
    queue = FairQueue(
        concurrency=rng.randint(1, 4), per_client=rng.randint(1, 3), max_waiting=6, busy=BUSY
    )
    recorder = SlotRecorder(queue)
    recorder.proceed.set()
    tasks = []
    for _ in range(60):
        tasks.append(asyncio.create_task(recorder.work(rng.choice("ABCDE"))))
        if rng.random() < 0.5:
            await asyncio.sleep(0)
        if rng.random() < 0.3:
            rng.choice(tasks).cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    expected = (type(None), asyncio.CancelledError, ServiceUnavailable)
    assert all(isinstance(result, expected) for result in results)
    assert (queue._running.total(), queue.waiting) == (0, 0)
