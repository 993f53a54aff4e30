"""Probes of hanging and broken disks."""

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from integrations.storage import disk as disks
from integrations.storage.disk import PROBE_TIMEOUT_SECONDS, DiskSpace
from resolvers.operations import health

# The probe's timeout of a second and a margin for a busy machine.
IN_TIME_SECONDS = PROBE_TIMEOUT_SECONDS + 4


class HangingMeasure:
    """A measure that returns `free` bytes when the gate is open, and counts its callers."""

    def __init__(self, free=100):
        self.gate = threading.Event()
        self.calls = self.waiting = self.most_waiting = 0
        self.free = free
        self._lock = threading.Lock()

    def __call__(self, _folder):
        with self._lock:
            self.calls += 1
            self.waiting += 1
            self.most_waiting = max(self.most_waiting, self.waiting)
        self.gate.wait(60)
        with self._lock:
            self.waiting -= 1
        if isinstance(self.free, OSError):
            raise self.free
        return self.free


@pytest.fixture
def hanging():
    measure = HangingMeasure()
    yield measure
    measure.gate.set()


@pytest.mark.parametrize("name", ["uploads_disk", "documents_disk"])
async def test_health_reports_a_hanging_disk_without_blocking_the_loop(
    services, tmp_path, hanging, name
):
    fast = DiskSpace("fast_disk", tmp_path, min_free_bytes=0)
    slow = DiskSpace(name, tmp_path, min_free_bytes=0, measure=hanging)
    services = replace(services, disks=(fast, slow))
    turns = 0

    async def turn():
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    turning = asyncio.create_task(turn())
    began = time.monotonic()
    first = await asyncio.gather(*(health.health(services) for _ in range(20)))
    later = [await health.health(services) for _ in range(20)]
    took = time.monotonic() - began
    turning.cancel()

    for report in [*first, *later]:
        assert report.status == "DEGRADED"
        assert [(c.name, c.status) for c in report.checks if c.name != "database"] == [
            (name, "DEGRADED")
        ]
    assert took < IN_TIME_SECONDS
    assert turns >= 20
    assert (hanging.calls, hanging.most_waiting) == (1, 1)


async def test_late_result_is_unhealthy_and_the_next_probe_counts(tmp_path, hanging, monkeypatch):
    monkeypatch.setattr(disks, "PROBE_TIMEOUT_SECONDS", 0.05)
    space = DiskSpace("uploads_disk", tmp_path, min_free_bytes=0, measure=hanging)

    assert await space.is_healthy() is False
    hanging.gate.set()
    while hanging.waiting:
        await asyncio.sleep(0.01)
    assert [await space.is_healthy() for _ in range(5)] == [False] * 5
    assert hanging.calls == 1

    monkeypatch.setattr(disks, "PROBE_TIMEOUT_SECONDS", 5)
    monkeypatch.setattr(disks, "PROBE_TTL_SECONDS", 0)
    while not await space.is_healthy():
        await asyncio.sleep(0.01)
    assert hanging.most_waiting == 1


@pytest.mark.parametrize(
    ("free", "is_well"),
    [(0, True), (1, True), (1 << 60, True), (-1, False), (OSError(5, "broken"), False)],
)
async def test_probe_result_is_shared_while_it_is_fresh(tmp_path, hanging, free, is_well):
    hanging.free = free
    hanging.gate.set()
    space = DiskSpace("uploads_disk", tmp_path, min_free_bytes=0, measure=hanging)

    answers = await asyncio.gather(*(space.is_healthy() for _ in range(50)))
    answers += [await space.is_healthy() for _ in range(50)]

    assert set(answers) == {is_well}
    assert hanging.calls == 1


async def test_cancelled_waiter_does_not_cancel_the_probe(tmp_path, hanging):
    space = DiskSpace("uploads_disk", tmp_path, min_free_bytes=0, measure=hanging)
    given_up, patient = (asyncio.create_task(space.is_healthy()) for _ in range(2))
    while not hanging.waiting:
        await asyncio.sleep(0.001)

    given_up.cancel()
    hanging.gate.set()

    assert await patient is True
    assert await space.is_healthy() is True
