"""Background tasks of a process: restarted after a failure, and visible while they fail."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import NoReturn, TypeVar

import structlog

from domain.errors.exceptions import DomainError
from observability.metrics import BACKGROUND_TASK_RESTARTS, BACKGROUND_TASK_UP
from resilience.backoff import Backoff

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
# A task that cannot tell its own success has succeeded after running this long.
STEADY_SECONDS = 10.0

log = structlog.get_logger(__name__)
T = TypeVar("T")


class BackgroundTask:
    """Work that goes on beside requests, with its state.

    A failure episode lasts from the first failure to the next success and is logged once, with its
    stack. `failure` is the class of the last error of the present episode.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.failure: str | None = None
        self._failing_since = 0.0
        BACKGROUND_TASK_UP.labels(name).set(1)
        BACKGROUND_TASK_RESTARTS.labels(name)

    @property
    def is_healthy(self) -> bool:
        return self.failure is None

    def succeed(self) -> None:
        """End the failure episode, if there is one."""
        if self.failure is None:
            return
        log.info(
            "background_task_recovered",
            task=self.name,
            failed_for_seconds=round(time.monotonic() - self._failing_since, 1),
        )
        self.failure = None
        BACKGROUND_TASK_UP.labels(self.name).set(1)

    def fail(self, error: BaseException) -> None:
        """Begin or continue a failure episode."""
        is_new, self.failure = self.failure is None, type(error).__name__
        if not is_new:
            return
        self._failing_since = time.monotonic()
        BACKGROUND_TASK_UP.labels(self.name).set(0)
        # A refusal with a code is a service that is away; anything else is a defect.
        say = log.warning if isinstance(error, DomainError) else log.error
        say("background_task_failed", task=self.name, error=self.failure, exc_info=error)


Run = Callable[[BackgroundTask], Awaitable[None]]


class BackgroundTasks:
    """All background tasks of a process, by name."""

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`jitter` gives numbers from 0 to 1: the share of the last fifth of a pause left out."""
        self._tasks: dict[str, BackgroundTask] = {}
        self._sleep = sleep
        self._jitter = jitter

    def __iter__(self) -> Iterator[BackgroundTask]:
        return iter(self._tasks.values())

    def start(
        self, name: str, run: Run, *, steady_seconds: float | None = STEADY_SECONDS
    ) -> asyncio.Task[None]:
        """Run until `run` returns or the returned task is cancelled; start again when it raises.

        Pauses before a restart double from one second to a minute. A restarted `run` has succeeded
        when it returns, calls `succeed` of its task, or has run for `steady_seconds` (None: never).
        """
        task = self._tasks[name] = BackgroundTask(name)
        return asyncio.create_task(self._supervise(task, run, steady_seconds), name=name)

    async def _supervise(
        self, task: BackgroundTask, run: Run, steady_seconds: float | None
    ) -> None:
        pauses = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        while (error := await _outcome(task, run, steady_seconds)) is not None:
            if task.is_healthy:
                pauses.reset()
            task.fail(error)
            await self._sleep(pauses.next() * (1 - self._jitter() / 5))
            BACKGROUND_TASK_RESTARTS.labels(task.name).inc()


async def _outcome(
    task: BackgroundTask, run: Run, steady_seconds: float | None
) -> BaseException | None:
    """The error that ended `run`; None when it returned. Raises CancelledError of the caller."""
    steady = None
    if steady_seconds is not None:
        steady = asyncio.get_running_loop().call_later(steady_seconds, task.succeed)
    try:
        await run(task)
    except asyncio.CancelledError as error:
        current = asyncio.current_task()
        if current is None or current.cancelling():
            raise
        # Nobody cancelled this task: the error leaked out of something that it awaited.
        return error
    except Exception as error:  # noqa: BLE001 - logged by the caller, and tried again
        return error
    finally:
        if steady is not None:
            steady.cancel()
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
    """Independent parts of one piece of work: a part that fails keeps no other from running."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    async def run(self, part: Awaitable[T], *, default: T) -> T:
        """The result of `part`, or `otherwise` when it failed."""
        try:
            return await part
        except Exception as error:  # noqa: BLE001 - raised by `conclude`
            self.errors.append(error)
            return default

    def raise_errors(self) -> None:
        """Raise the errors of all parts: the first if each is a DomainError, else as a group."""
        if not self.errors:
            return
        if len(self.errors) == 1 or all(isinstance(each, DomainError) for each in self.errors):
            raise self.errors[0]
        raise ExceptionGroup("several parts failed", self.errors)
