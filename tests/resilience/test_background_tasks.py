"""Restarts, logging and metrics of background tasks that fail."""

import asyncio

import pytest
from structlog.testing import capture_logs

from domain.errors.exceptions import ServiceUnavailable, StorageUnavailable
from observability.metrics import REGISTRY
from resilience.background_tasks import BackgroundTasks, ErrorCollector

NEVER = 10**6


class RecordedDelays:
    """A `sleep` that returns at once and records the delays."""

    def __init__(self) -> None:
        self.seconds = []

    async def __call__(self, seconds):
        self.seconds.append(seconds)
        await asyncio.sleep(0)


class Work:
    """Background work that raises the given errors, one a call, and then runs forever."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.done = asyncio.Event()

    async def __call__(self, task):
        if self.errors:
            raise self.errors.pop(0)
        task.succeed()
        self.done.set()
        await asyncio.Event().wait()


@pytest.fixture
def delays():
    return RecordedDelays()


@pytest.fixture
def background(delays):
    return BackgroundTasks(sleep=delays, jitter=lambda: 0)


async def cancel_and_wait(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return task.cancelled()


def metric(name):
    return REGISTRY.get_sample_value(name, {"task": "work"})


def events(logs, event):
    return [entry for entry in logs if entry["event"] == event]


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (ServiceUnavailable(), "warning"),
        (StorageUnavailable(), "warning"),
        (ValueError("of a program"), "error"),
        (OSError(28, "No space left on device"), "error"),
        (ExceptionGroup("several", [KeyError("a"), OSError()]), "error"),
        (asyncio.CancelledError(), "error"),
        (TimeoutError(), "error"),
        (RecursionError(), "error"),
    ],
)
async def test_repeated_failure_is_logged_once_and_ended_by_a_restart(background, error, level):
    work = Work(error, error, error)
    restarts = metric("background_task_restarts_total") or 0

    with capture_logs() as logs:
        task = background.start("work", work, healthy_after_seconds=None)
        await work.done.wait()

    assert [
        (entry["log_level"], entry["error"]) for entry in events(logs, "background_task_failed")
    ] == [(level, type(error).__name__)]
    assert events(logs, "background_task_failed")[0]["exc_info"] is error
    assert len(events(logs, "background_task_recovered")) == 1
    assert metric("background_task_restarts_total") - restarts == 3
    assert [each.is_healthy for each in background] == [True]
    assert await cancel_and_wait(task)


async def test_state_has_the_last_error_until_a_success(delays):
    gate = asyncio.Event()

    async def hold(seconds):
        await delays(seconds)
        await gate.wait()

    background = BackgroundTasks(sleep=hold)
    work = Work(OSError(28, "No space left on device"))
    task = background.start("work", work, healthy_after_seconds=None)
    while not delays.seconds:
        await asyncio.sleep(0)
    (state,) = background

    assert (state.name, state.is_healthy, state.failure) == ("work", False, "OSError")
    assert metric("background_task_up") == 0
    gate.set()
    await work.done.wait()
    assert (state.is_healthy, state.failure) == (True, None)
    assert metric("background_task_up") == 1
    assert await cancel_and_wait(task)


async def test_delays_double_up_to_a_minute_and_start_again_after_a_success(background, delays):
    errors = [OSError()] * 8

    async def run(task):
        if len(errors) == 1:
            task.succeed()
        if errors:
            raise errors.pop()

    await background.start("work", run, healthy_after_seconds=None)

    assert delays.seconds == [1, 2, 4, 8, 16, 32, 60, 1]


async def test_jitter_shortens_a_delay_by_up_to_a_fifth(delays):
    background = BackgroundTasks(sleep=delays, jitter=lambda: 1)
    errors = [OSError()] * 2

    async def run(_task):
        if errors:
            raise errors.pop()

    await background.start("work", run)

    assert delays.seconds == [0.8, 1.6]


async def test_task_that_keeps_running_is_healthy_again(background):
    errors = [OSError()]

    async def run(_task):
        if errors:
            raise errors.pop()
        await asyncio.Event().wait()

    task = background.start("work", run, healthy_after_seconds=0)
    (state,) = background
    while not errors or state.is_healthy:
        await asyncio.sleep(0)
        if not errors:
            break
    while not state.is_healthy:
        await asyncio.sleep(0)

    assert await cancel_and_wait(task)


async def test_two_failure_episodes_are_logged_twice(background):
    errors = [OSError(), None, OSError()]

    async def run(task):
        while errors:
            error = errors.pop()
            if error:
                raise error
            task.succeed()

    with capture_logs() as logs:
        await background.start("work", run, healthy_after_seconds=None)

    assert len(events(logs, "background_task_failed")) == 2
    assert len(events(logs, "background_task_recovered")) == 2


@pytest.mark.parametrize("errors", [(), (OSError(),)])
async def test_cancelling_ends_a_running_or_waiting_task(errors):
    work = Work(*errors)
    background = BackgroundTasks()
    task = background.start("work", work, healthy_after_seconds=NEVER)
    while work.errors or not (work.done.is_set() or errors):
        await asyncio.sleep(0)

    assert await cancel_and_wait(task)


async def failing(error):
    raise error


async def working():
    return 2


async def test_failed_step_does_not_keep_other_steps_from_running():
    collector = ErrorCollector()

    results = [
        await collector.run(failing(KeyError("x")), default=0),
        await collector.run(working(), default=0),
        await collector.run(failing(ServiceUnavailable()), default=1),
    ]

    assert results == [0, 2, 1]
    with pytest.raises(ExceptionGroup) as raised:
        collector.raise_errors()
    assert [type(error) for error in raised.value.exceptions] == [KeyError, ServiceUnavailable]


async def test_first_of_several_domain_errors_is_raised():
    collector = ErrorCollector()
    first = StorageUnavailable()
    await collector.run(failing(first), default=0)
    await collector.run(failing(ServiceUnavailable()), default=0)

    with pytest.raises(StorageUnavailable) as raised:
        collector.raise_errors()

    assert raised.value is first
