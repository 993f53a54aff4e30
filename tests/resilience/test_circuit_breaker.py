"""The guard: what it repeats, what it counts, when it leaves a service alone."""

import asyncio

import pytest
from structlog.testing import capture_logs

from domain.errors.exceptions import StorageUnavailable
from observability.metrics import REGISTRY, exposition
from resilience.breaker_states import BreakerState
from resilience.circuit_breaker import ServiceGuard, ServiceGuardOptions


class Away(Exception):
    """A failure of the service."""


class Answer(Exception):
    """An answer of the service, though not the one that was hoped for."""


class Service:
    """Does what it is told, and counts how often it was called."""

    def __init__(self) -> None:
        self.calls = 0
        self.failing: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def __call__(self) -> str:
        self.calls += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.failing is not None:
            raise self.failing
        return "done"


class Seconds:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def guard(seconds) -> ServiceGuard:
    return make_guard(seconds)


def make_guard(seconds: Seconds, name: str = "service", **options) -> ServiceGuard:
    defaults = {"attempts": 1, "retry_wait_seconds": 0, "timeout_seconds": 30}
    return ServiceGuard(
        name,
        ServiceGuardOptions(**defaults | options),
        transient=(Away,),
        unavailable=StorageUnavailable,
        clock=seconds,
    )


async def fail(guard: ServiceGuard, service: Service, times: int = 1) -> None:
    service.failing = Away()
    for _ in range(times):
        with pytest.raises(StorageUnavailable):
            await guard(service)
    service.failing = None


async def refused(guard: ServiceGuard, service: Service) -> StorageUnavailable:
    with pytest.raises(StorageUnavailable) as refusal:
        await guard(service)
    return refusal.value


async def test_a_result_is_passed_on(guard, service):
    assert await guard(service) == "done"
    assert service.calls == 1


async def test_failures_are_repeated_until_the_attempts_are_used_up(seconds, service):
    guard = make_guard(seconds, attempts=3)
    service.failing = Away()

    refusal = await refused(guard, service)

    assert service.calls == 3
    assert refusal.__cause__ is service.failing
    assert guard.state == BreakerState.CLOSED


async def test_a_failure_that_passes_is_not_noticed(seconds):
    guard, calls = make_guard(seconds, attempts=3), []

    async def fails_twice() -> int:
        calls.append(None)
        if len(calls) < 3:
            raise Away
        return len(calls)

    assert await guard(fails_twice) == 3


async def test_answers_are_neither_repeated_nor_counted(seconds, service):
    guard = make_guard(seconds, attempts=3)
    service.failing = Answer()

    for _ in range(20):
        with pytest.raises(Answer):
            await guard(service)

    assert service.calls == 20
    assert guard.state == BreakerState.CLOSED


async def test_five_failed_attempts_open_the_breaker(guard, service, seconds):
    await fail(guard, service, 4)
    before = guard.state
    service.failing = Away()
    tripping = await refused(guard, service)
    seconds.now += 0.5
    refusal = await refused(guard, service)

    assert (before, guard.state) == (BreakerState.CLOSED, BreakerState.OPEN)
    assert service.calls == 5
    assert tripping.__cause__ is service.failing
    assert (tripping.retry_after_seconds, refusal.retry_after_seconds) == (60, 60)


async def test_attempts_count_not_calls_and_an_open_breaker_ends_them(seconds, service):
    guard = make_guard(seconds, attempts=3)

    await fail(guard, service, 2)

    assert service.calls == 5
    assert guard.state == BreakerState.OPEN


async def test_successes_in_between_do_not_hide_an_outage(guard, service):
    for _ in range(4):
        await fail(guard, service)
        assert await guard(service) == "done"

    await fail(guard, service)

    assert guard.state == BreakerState.OPEN


async def test_failures_of_more_than_a_minute_ago_do_not_count(guard, service, seconds):
    await fail(guard, service, 4)
    seconds.now += 60
    await fail(guard, service, 4)

    assert guard.state == BreakerState.CLOSED
    await fail(guard, service)
    assert guard.state == BreakerState.OPEN


async def test_an_open_breaker_makes_no_call_for_a_minute(guard, service, seconds):
    await fail(guard, service, 5)

    seconds.now += 59.9
    refusal = await refused(guard, service)
    seconds.now += 0.1
    result = await guard(service)

    assert (refusal.retry_after_seconds, result, service.calls) == (1, "done", 6)
    assert guard.state == BreakerState.CLOSED


async def test_one_of_fifty_callers_tries_whether_the_service_is_back(guard, service, seconds):
    await fail(guard, service, 5)
    seconds.now += 60
    service.gate = asyncio.Event()

    callers = [asyncio.create_task(guard(service)) for _ in range(50)]
    others, (probe,) = await others_of(callers)
    state_of_probe = guard.state
    service.gate.set()

    assert await probe == "done"
    assert service.calls == 6
    assert {type(other.exception()) for other in others} == {StorageUnavailable}
    assert len(others) == 49
    assert (state_of_probe, guard.state) == (BreakerState.HALF_OPEN, BreakerState.CLOSED)


async def others_of(callers: list[asyncio.Task]) -> tuple[list[asyncio.Task], list[asyncio.Task]]:
    """Those that have ended, and those that have not when nothing more happens."""
    for _ in range(20):
        await asyncio.sleep(0)
    return [one for one in callers if one.done()], [one for one in callers if not one.done()]


async def test_a_probe_that_fails_opens_it_again_for_a_minute(guard, service, seconds):
    await fail(guard, service, 5)
    seconds.now += 60

    await fail(guard, service)
    seconds.now += 59
    refusal = await refused(guard, service)

    assert (service.calls, refusal.retry_after_seconds) == (6, 1)


async def test_a_probe_is_not_repeated(seconds, service):
    guard = make_guard(seconds, attempts=3)
    await fail(guard, service, 2)
    seconds.now += 60

    await fail(guard, service)

    assert service.calls == 6


async def test_a_probe_that_is_answered_closes_it(guard, service, seconds):
    await fail(guard, service, 5)
    seconds.now += 60
    service.failing = Answer()

    with pytest.raises(Answer):
        await guard(service)

    assert guard.state == BreakerState.CLOSED


async def test_a_probe_that_is_cancelled_leaves_the_next_one_to_try(guard, service, seconds):
    await fail(guard, service, 5)
    seconds.now += 60
    service.gate = asyncio.Event()
    probe = asyncio.create_task(guard(service))
    await others_of([probe])

    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    service.gate.set()

    assert await guard(service) == "done"
    assert guard.state == BreakerState.CLOSED


async def test_a_cancelled_call_is_not_repeated(seconds, service):
    guard = make_guard(seconds, attempts=3)
    service.gate = asyncio.Event()
    call = asyncio.create_task(guard(service))
    await others_of([call])

    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert service.calls == 1


async def test_what_takes_too_long_is_a_failure(seconds, service):
    guard = make_guard(seconds, timeout_seconds=0.01, attempts=5)
    service.gate = asyncio.Event()

    refusal = await refused(guard, service)

    assert isinstance(refusal.__cause__, TimeoutError)
    assert (service.calls, guard.state) == (5, BreakerState.OPEN)


async def test_failures_that_come_late_do_not_keep_it_open_for_longer(guard, service, seconds):
    gate = asyncio.Event()

    async def fails_late() -> None:
        await gate.wait()
        raise Away

    late = asyncio.create_task(guard(fails_late))
    await others_of([late])
    await fail(guard, service, 5)
    seconds.now += 30
    gate.set()
    with pytest.raises(StorageUnavailable):
        await late

    assert (await refused(guard, service)).retry_after_seconds == 30


async def test_it_can_be_closed_by_hand(guard, service):
    await fail(guard, service, 5)

    guard.reset()

    assert guard.state == BreakerState.CLOSED
    assert await guard(service) == "done"
    await fail(guard, service, 4)
    assert guard.state == BreakerState.CLOSED


async def test_changes_are_logged_and_counted(seconds, service):
    guard = make_guard(seconds, name="a service of the log")

    with capture_logs() as events:
        await fail(guard, service, 5)
        await refused(guard, service)
        seconds.now += 60
        await guard(service)

    assert [(one["log_level"], one["before"], one["after"]) for one in events] == [
        ("warning", "closed", "open"),
        ("info", "open", "half_open"),
        ("info", "half_open", "closed"),
    ]
    name = {"service": "a service of the log"}
    outcomes = {
        outcome: REGISTRY.get_sample_value("guarded_calls_total", name | {"outcome": outcome})
        for outcome in ("failure", "refused", "success")
    }
    assert outcomes == {"failure": 5, "refused": 1, "success": 1}
    opened = REGISTRY.get_sample_value("breaker_transitions_total", name | {"state": "open"})
    closed = REGISTRY.get_sample_value("breaker_state", name | {"state": "closed"})
    assert (opened, closed) == (1, 1)
    assert b'breaker_state{service="a service of the log",state="open"} 0.0' in exposition()
