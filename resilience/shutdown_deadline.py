"""The end of a process within one deadline, whatever hangs."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Collection
from contextlib import suppress

import structlog

# For a cancelled task to give back what it holds.
CANCELLING_SECONDS = 1.0

log = structlog.get_logger(__name__)


async def wait_or_cancel(tasks: Collection[asyncio.Task[None]], *, within_seconds: float) -> None:
    """Wait for tasks, then cancel those that are late. Errors and late tasks are logged."""
    if not tasks:
        return
    done, late = await asyncio.wait(tasks, timeout=within_seconds)
    if late:
        log.warning("stop_cut_short", late=sorted(task.get_name() for task in late))
        for task in late:
            task.cancel()
        finished, _ = await asyncio.wait(late, timeout=CANCELLING_SECONDS)
        done |= finished
    for task in done:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("stop_failed", task=task.get_name(), exc_info=error)


class ForcedExit:
    """A thread that ends the process with status 0 when an orderly stop does not come to its end.

    `clean_up` is called before: it ends what must not outlive the process.
    """

    def __init__(self, clean_up: Callable[[], None]) -> None:
        self._clean_up = clean_up
        self._timer: threading.Timer | None = None

    def begin(self, seconds: float) -> None:
        """End the process after `seconds` unless `cancel` is called. Only the first call counts."""
        if self._timer is None:
            self._timer = threading.Timer(seconds, self._end)
            self._timer.daemon = True
            self._timer.start()

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        log.warning("stop_cut_short", late=_other_threads())
        try:
            self._clean_up()
        except Exception:
            log.exception("stop_failed")
        finally:
            _end_process(0)


def exit_despite_threads(status: int = 0) -> None:
    """End the process now if a hung thread would hold up the interpreter's own end."""
    late = _other_threads()
    if late:
        log.warning("stop_cut_short", late=late)
        _end_process(status)


def _other_threads() -> list[str]:
    """Names of the threads that the interpreter waits for at its end."""
    main = threading.main_thread()
    return sorted(
        thread.name for thread in threading.enumerate() if thread is not main and not thread.daemon
    )


def _end_process(status: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(status)
