"""End the process within a deadline even if tasks or threads hang."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Collection
from contextlib import suppress

import structlog

# Time for a cancelled task to release its resources.
CANCEL_TIMEOUT_SECONDS = 1.0

log = structlog.get_logger(__name__)


async def wait_or_cancel(tasks: Collection[asyncio.Task[None]], *, within_seconds: float) -> None:
    """Wait for tasks, and cancel those that do not end in time. Logs errors and late tasks."""
    if not tasks:
        return
    done, late = await asyncio.wait(tasks, timeout=within_seconds)
    if late:
        log.warning("shutdown_timed_out", late=sorted(task.get_name() for task in late))
        for task in late:
            task.cancel()
        finished, _ = await asyncio.wait(late, timeout=CANCEL_TIMEOUT_SECONDS)
        done |= finished
    for task in done:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("shutdown_failed", task=task.get_name(), exc_info=error)


class ForcedExit:
    """Timer thread that ends the process with status 0 if the graceful shutdown hangs.

    It calls `clean_up` first, which stops child processes that must not outlive this one.
    """

    def __init__(self, clean_up: Callable[[], None]) -> None:
        self._clean_up = clean_up
        self._timer: threading.Timer | None = None

    def begin(self, seconds: float) -> None:
        """End the process after `seconds` unless cancelled. Later calls have no effect."""
        if self._timer is None:
            self._timer = threading.Timer(seconds, self._end)
            self._timer.daemon = True
            self._timer.start()

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        log.warning("shutdown_timed_out", late=_other_threads())
        try:
            self._clean_up()
        except Exception:
            log.exception("shutdown_failed")
        finally:
            _end_process(0)


def exit_despite_threads(status: int = 0) -> None:
    """End the process now if non-daemon threads would keep the interpreter from exiting."""
    late = _other_threads()
    if late:
        log.warning("shutdown_timed_out", late=late)
        _end_process(status)


def _other_threads() -> list[str]:
    """Return the names of the threads that the interpreter waits for before it exits."""
    main = threading.main_thread()
    return sorted(
        thread.name for thread in threading.enumerate() if thread is not main and not thread.daemon
    )


def _end_process(status: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(status)
