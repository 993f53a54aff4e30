"""Supervised background tasks: restarted after failures, with their state in health and metrics."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import NoReturn, TypeVar

import structlog

from domain.errors.base import DomainError
from observability.metrics import BACKGROUND_TASK_RESTARTS, BACKGROUND_TASK_UP
from resilience.backoff import Backoff

MIN_RESTART_DELAY_SECONDS = 1.0
MAX_RESTART_DELAY_SECONDS = 60.0
# A restarted task counts as healthy after running this long, unless it reports success before.
HEALTHY_AFTER_SECONDS = 10.0

log = structlog.get_logger(__name__)
T = TypeVar("T")


class BackgroundTask:
    """State of one background task.

    A failure episode lasts from the first failure to the next success. It is logged once, with its
    traceback. `failure` is the class name of its last error; None while the task is healthy.
    """

    def __init__(self, name: str, failure_file: Path | None = None) -> None:
        """`failure_file` exists while the task fails, for `BackgroundTasks.mirror` elsewhere."""
        self.name = name
        self.failure: str | None = None
        self._failure_file = failure_file
        self._failing_since = 0.0
        BACKGROUND_TASK_UP.labels(name).set(1)
        BACKGROUND_TASK_RESTARTS.labels(name)

    @property
    def is_healthy(self) -> bool:
        return self.failure is None

    def succeed(self) -> None:
        """End the current failure episode, if any."""
        if self.failure is None:
            return
        log.info(
            "background_task_recovered",
            task=self.name,
            failed_for_seconds=round(time.monotonic() - self._failing_since, 1),
        )
        self.failure = None
        BACKGROUND_TASK_UP.labels(self.name).set(1)
        if self._failure_file is not None:
            self._failure_file.unlink(missing_ok=True)

    def fail(self, error: BaseException) -> None:
        """Start or continue a failure episode."""
        is_new, self.failure = self.failure is None, type(error).__name__
        if not is_new:
            return
        self._failing_since = time.monotonic()
        BACKGROUND_TASK_UP.labels(self.name).set(0)
        if self._failure_file is not None:
            self._failure_file.touch()
        # A DomainError says that an outside service is unavailable; any other error is a defect.
        write = log.warning if isinstance(error, DomainError) else log.error
        write("background_task_failed", task=self.name, error=self.failure, exc_info=error)


class MirroredTask:
    """State of a background task of another process, which writes `failure_file`."""

    def __init__(self, name: str, failure_file: Path) -> None:
        self.name = name
        self._failure_file = failure_file

    @property
    def is_healthy(self) -> bool:
        return not self._failure_file.exists()


Run = Callable[[BackgroundTask], Awaitable[None]]


class BackgroundTasks:
    """All background tasks of a process, by name."""

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`jitter` returns a number from 0 to 1; it shortens each delay by up to a fifth."""
        self._tasks: dict[str, BackgroundTask] = {}
        self._mirrored: list[MirroredTask] = []
        self._sleep = sleep
        self._jitter = jitter

    def __iter__(self) -> Iterator[BackgroundTask | MirroredTask]:
        return chain(self._tasks.values(), self._mirrored)

    def update_gauges(self) -> None:
        """Update the gauges of tasks of other processes; all others are always up to date."""
        for task in self._mirrored:
            BACKGROUND_TASK_UP.labels(task.name).set(task.is_healthy)

    def mirror(self, name: str, failure_file: Path) -> None:
        """Show a task of another process, which was started there with `failure_file`."""
        self._mirrored.append(MirroredTask(name, failure_file))

    def start(
        self,
        name: str,
        run: Run,
        *,
        healthy_after_seconds: float | None = HEALTHY_AFTER_SECONDS,
        failure_file: Path | None = None,
    ) -> asyncio.Task[None]:
        """Run until `run` returns or the returned task is cancelled; restart `run` when it raises.

        The delay before a restart doubles from one second to a minute. A failure episode ends when
        `run` returns, calls `succeed` of its task, or has run for `healthy_after_seconds` (None:
        running does not count).
        """
        task = self._tasks[name] = BackgroundTask(name, failure_file)
        return asyncio.create_task(self._supervise(task, run, healthy_after_seconds), name=name)

    async def _supervise(
        self, task: BackgroundTask, run: Run, healthy_after_seconds: float | None
    ) -> None:
        pauses = Backoff(MIN_RESTART_DELAY_SECONDS, MAX_RESTART_DELAY_SECONDS)
        while (error := await _run_once(task, run, healthy_after_seconds)) is not None:
            if task.is_healthy:
                pauses.reset()
            task.fail(error)
            await self._sleep(pauses.next() * (1 - self._jitter() / 5))
            BACKGROUND_TASK_RESTARTS.labels(task.name).inc()


async def _run_once(
    task: BackgroundTask, run: Run, healthy_after_seconds: float | None
) -> BaseException | None:
    """Return the error that ended `run`, or None if it returned.

    Raises CancelledError if this task was cancelled.
    """
    timer = None
    if healthy_after_seconds is not None:
        timer = asyncio.get_running_loop().call_later(healthy_after_seconds, task.succeed)
    try:
        await run(task)
    except asyncio.CancelledError as error:
        current = asyncio.current_task()
        if current is None or current.cancelling():
            raise
        # This task was not cancelled: something it awaited raised the error.
        return error
    except Exception as error:  # noqa: BLE001 - the caller logs it and restarts
        return error
    finally:
        if timer is not None:
            timer.cancel()
    task.succeed()
    return None


async def repeat(
    work: Callable[[], Awaitable[object]],
    task: BackgroundTask,
    *,
    first_seconds: float,
    seconds: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> NoReturn:
    """Call `work` after `first_seconds`, at once where `task` has failed, and then every `seconds`.

    Raises the errors of `work`: the supervised task is started again.
    """
    pause = first_seconds if task.is_healthy else 0
    while True:
        await sleep(pause)
        await work()
        task.succeed()
        pause = seconds


class ErrorCollector:
    """Run independent steps one by one; the errors are collected and raised at the end."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    async def run(self, step: Awaitable[T], *, default: T) -> T:
        """Return the result of `step`, or `default` if it raised."""
        try:
            return await step
        except Exception as error:  # noqa: BLE001 - `raise_errors` raises it
            self.errors.append(error)
            return default

    def raise_errors(self) -> None:
        """Raise what was collected: one error, the first of several DomainErrors, or a group."""
        if not self.errors:
            return
        if len(self.errors) == 1 or all(isinstance(error, DomainError) for error in self.errors):
            raise self.errors[0]
        raise ExceptionGroup("several steps failed", self.errors)
