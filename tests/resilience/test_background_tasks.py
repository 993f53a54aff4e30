"""Background tasks that fail: logged once for each episode, restarted, well again by themselves."""

import asyncio

import pytest
from structlog.testing import capture_logs

from domain.errors.exceptions import ServiceUnavailable, StorageUnavailable
from observability.metrics import REGISTRY
from resilience.background_tasks import BackgroundTasks, ErrorCollector

NEVER = 10**6


class Pauses:
    """Pauses of restarts, which pass at once and are noted."""

    def __init__(self) -> None:
        self.seconds = []

    async def __call__(self, seconds):
        self.seconds.append(seconds)
        await asyncio.sleep(0)


class Work:
    """Fails with the errors given, one for each call, then succeeds and goes on for ever."""

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
def pauses():
    return Pauses()


@pytest.fixture
def background(pauses):
    return BackgroundTasks(sleep=pauses, jitter=lambda: 0)


async def cancelled(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return task.cancelled()


def measure(name):
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
async def test_failure_is_logged_once_and_mended_by_a_restart(background, error, level):
    work = Work(error, error, error)
    restarts = measure("background_task_restarts_total") or 0

    with capture_logs() as logs:
        task = background.start("work", work, healthy_after_seconds=None)
        await work.done.wait()

    assert [
        (entry["log_level"], entry["error"]) for entry in events(logs, "background_task_failed")
    ] == [(level, type(error).__name__)]
    assert events(logs, "background_task_failed")[0]["exc_info"] is error
    assert len(events(logs, "background_task_recovered")) == 1
    assert measure("background_task_restarts_total") - restarts == 3
    assert [each.is_healthy for each in background] == [True]
    assert await cancelled(task)


async def test_state_tells_the_last_error_until_a_success(pauses):
    gate = asyncio.Event()

    async def hold(seconds):
        await pauses(seconds)
        await gate.wait()

    background = BackgroundTasks(sleep=hold)
    work = Work(OSError(28, "No space left on device"))
    task = background.start("work", work, healthy_after_seconds=None)
    while not pauses.seconds:
        await asyncio.sleep(0)
    (state,) = background

    assert (state.name, state.is_healthy, state.failure) == ("work", False, "OSError")
    assert measure("background_task_up") == 0
    gate.set()
    await work.done.wait()
    assert (state.is_healthy, state.failure) == (True, None)
    assert measure("background_task_up") == 1
    assert await cancelled(task)


async def test_pauses_double_up_to_a_minute_and_begin_anew_after_a_success(background, pauses):
    errors = [OSError()] * 8

    async def run(task):
        if len(errors) == 1:
            task.succeed()
        if errors:
            raise errors.pop()

    await background.start("work", run, healthy_after_seconds=None)

    assert pauses.seconds == [1, 2, 4, 8, 16, 32, 60, 1]


async def test_jitter_leaves_out_up_to_a_fifth_of_a_pause(pauses):
    background = BackgroundTasks(sleep=pauses, jitter=lambda: 1)
    errors = [OSError()] * 2

    async def run(_task):
        if errors:
            raise errors.pop()

    await background.start("work", run)

    assert pauses.seconds == [0.8, 1.6]


async def test_task_that_runs_steadily_has_recovered(background):
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

    assert await cancelled(task)


async def test_two_episodes_are_logged_twice(background):
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
async def test_cancelling_ends_a_task_whether_it_works_or_pauses(errors):
    work = Work(*errors)
    background = BackgroundTasks()
    task = background.start("work", work, healthy_after_seconds=NEVER)
    while work.errors or not (work.done.is_set() or errors):
        await asyncio.sleep(0)

    assert await cancelled(task)


async def failing(error):
    raise error


async def working():
    return 2


async def test_part_that_fails_keeps_no_other_from_running():
    parts = ErrorCollector()

    results = [
        await parts.run(failing(KeyError("x")), default=0),
        await parts.run(working(), default=0),
        await parts.run(failing(ServiceUnavailable()), default=1),
    ]

    assert results == [0, 2, 1]
    with pytest.raises(ExceptionGroup) as raised:
        parts.raise_errors()
    assert [type(error) for error in raised.value.exceptions] == [KeyError, ServiceUnavailable]


async def test_refusals_of_all_parts_are_raised_as_the_first():
    parts = ErrorCollector()
    first = StorageUnavailable()
    await parts.run(failing(first), default=0)
    await parts.run(failing(ServiceUnavailable()), default=0)

    with pytest.raises(StorageUnavailable) as raised:
        parts.raise_errors()

    assert raised.value is first
