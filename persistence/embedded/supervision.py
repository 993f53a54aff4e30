"""The embedded PostgreSQL over the life of the process that serves with it."""

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
    """The URL of a server that is stopped again, whatever signal comes at whatever moment.

    `meanwhile` is done while it starts.
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
    """Act on a signal to stop only after what is inside, which must not be left half done."""
    caught: list[int] = []
    previous = {
        number: signal.signal(number, lambda number, _: caught.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if caught:
        sys.exit(128 + caught[0])


async def restart_on_exit(embedded: EmbeddedPostgres, task: BackgroundTask) -> None:
    """Start the embedded PostgreSQL again whenever it was killed; `task` is told of failures.

    Tried every moment however often it fails: the service can do nothing without it. Looking for
    the server and starting it is left to a thread, so that others are answered meanwhile.
    """
    while True:
        await asyncio.sleep(RESTART_CHECK_SECONDS)
        try:
            if await asyncio.to_thread(embedded.ensure_running):
                log.warning("embedded_postgres_revived")
        except Exception as error:  # noqa: BLE001 - logged by the task
            task.fail(error)
        else:
            task.succeed()
