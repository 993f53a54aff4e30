"""Start, restart and stop the embedded PostgreSQL together with the service."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import structlog

from persistence.embedded.server import EmbeddedPostgres
from resilience.background_tasks import BackgroundTask

RESTART_CHECK_SECONDS = 0.5

log = structlog.get_logger(__name__)


@contextmanager
def running_server(embedded: EmbeddedPostgres, meanwhile: Callable[[], object]) -> Iterator[str]:
    """Start the server and yield its URL; stop it afterwards, also after SIGINT or SIGTERM.

    `meanwhile` is called while the server starts.
    """
    try:
        with deferred_signals(), ThreadPoolExecutor(1) as starter:
            started = starter.submit(embedded.start)
            meanwhile()
            url = started.result()
        yield url
    finally:
        with deferred_signals():
            embedded.stop()


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Defer SIGINT and SIGTERM until the block has ended, then exit."""
    received: list[int] = []
    previous = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if received:
        sys.exit(128 + received[0])


async def restart_on_exit(embedded: EmbeddedPostgres, task: BackgroundTask) -> None:
    """Restart the embedded PostgreSQL whenever it was killed. Report the outcome to `task`.

    The interval does not grow after failures, since the service can do nothing without a database.
    Checking and starting the server run in a thread, because both block.
    """
    while True:
        await asyncio.sleep(RESTART_CHECK_SECONDS)
        try:
            if await asyncio.to_thread(embedded.ensure_running):
                log.warning("embedded_postgres_restarted")
        except Exception as error:  # noqa: BLE001 - logged by the task
            task.fail(error)
        else:
            task.succeed()
