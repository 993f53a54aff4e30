"""Restarts of an embedded server that was killed, beside the event loop."""

import asyncio
import fcntl
import os
import signal
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from persistence.embedded import supervision
from persistence.embedded.server import EmbeddedPostgres
from persistence.embedded.supervision import restart_on_exit
from resilience.background_tasks import BackgroundTask
from tests.server_processes import wait_until

VERSION = os.environ.get("TEST_POSTGRES_VERSION", "18")
STEPS = 1_000


@pytest.fixture
def server(tmp_path):
    with EmbeddedPostgres(tmp_path / "data", version=VERSION) as started:
        yield started


@contextmanager
def held(lock: Path):
    """Hold the lock without which no process starts the server."""
    with lock.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def openings(file: Path) -> int:
    """Count the descriptors of this process for a file."""
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            links.append(descriptor.readlink())
    return links.count(file)


async def test_event_loop_goes_on_while_the_server_is_being_restarted(server, monkeypatch):
    monkeypatch.setattr(supervision, "RESTART_CHECK_SECONDS", 0)
    lock = server.data_dir / f"postgres{VERSION}" / "start.lock"
    killed = server.postmaster_pid
    task = BackgroundTask("embeddedDatabase")

    with capture_logs() as logs:
        with held(lock):
            os.kill(killed, signal.SIGKILL)
            restarting = asyncio.create_task(restart_on_exit(server, task))
            # The test's descriptor, and that of the restart that waits for the lock.
            await wait_until(lambda: openings(lock) == 2, "the restart has begun")
            for _ in range(STEPS):
                await asyncio.sleep(0)
            assert openings(lock) == 2
            assert logs == []
        await wait_until(lambda: logs, "the server is restarted")
        restarting.cancel()
        await asyncio.wait([restarting])

    assert logs == [{"event": "embedded_postgres_restarted", "log_level": "warning"}]
    assert server.postmaster_pid != killed
    assert task.is_healthy
