"""Retries, failure counting and circuit breaker of the service guard."""

import asyncio

import pytest
from structlog.testing import capture_logs

from domain.errors.exceptions import StorageUnavailable
from observability.metrics import REGISTRY, exposition
from resilience.breaker_states import BreakerState
from resilience.circuit_breaker import ServiceGuard, ServiceGuardOptions


class Unreachable(Exception):
    """A transient failure of the service."""


class Answer(Exception):
    """A negative answer of the service, which is not a failure."""


class Service:
    """A fake service that counts its calls, and fails or waits as set."""

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


class FakeClock:
    """A clock that tests set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def guard(clock) -> ServiceGuard:
    return make_guard(clock)


def make_guard(clock: FakeClock, name: str = "service", **options) -> ServiceGuard:
    defaults = {"attempts": 1, "retry_wait_seconds": 0, "timeout_seconds": 30}
    return ServiceGuard(
        name,
        ServiceGuardOptions(**defaults | options),
        transient=(Unreachable,),
        unavailable=StorageUnavailable,
        clock=clock,
    )


async def fail(guard: ServiceGuard, service: Service, times: int = 1) -> None:
    service.failing = Unreachable()
    for _ in range(times):
        with pytest.raises(StorageUnavailable):
            await guard(service)
    service.failing = None


async def refused_call(guard: ServiceGuard, service: Service) -> StorageUnavailable:
    with pytest.raises(StorageUnavailable) as refusal:
        await guard(service)
    return refusal.value


async def test_result_is_returned(guard, service):
    assert await guard(service) == "done"
    assert service.calls == 1


async def test_failed_call_is_retried_until_attempts_are_used_up(clock, service):
    guard = make_guard(clock, attempts=3)
    service.failing = Unreachable()

    refusal = await refused_call(guard, service)

    assert service.calls == 3
    assert refusal.__cause__ is service.failing
    assert guard.state == BreakerState.CLOSED


async def test_transient_failure_is_hidden_by_retries(clock):
    guard, calls = make_guard(clock, attempts=3), []

    async def fails_twice() -> int:
        calls.append(None)
        if len(calls) < 3:
            raise Unreachable
        return len(calls)

    assert await guard(fails_twice) == 3


async def test_answers_are_not_retried_and_not_counted_as_failures(clock, service):
    guard = make_guard(clock, attempts=3)
    service.failing = Answer()

    for _ in range(20):
        with pytest.raises(Answer):
            await guard(service)

    assert service.calls == 20
    assert guard.state == BreakerState.CLOSED


async def test_five_failed_attempts_open_the_breaker(guard, service, clock):
    await fail(guard, service, 4)
    before = guard.state
    service.failing = Unreachable()
    opening = await refused_call(guard, service)
    clock.now += 0.5
    refusal = await refused_call(guard, service)

    assert (before, guard.state) == (BreakerState.CLOSED, BreakerState.OPEN)
    assert service.calls == 5
    assert opening.__cause__ is service.failing
    assert (opening.retry_after_seconds, refusal.retry_after_seconds) == (60, 60)


async def test_each_failed_attempt_counts_and_the_open_breaker_stops_retries(clock, service):
    guard = make_guard(clock, attempts=3)

    await fail(guard, service, 2)

    assert service.calls == 5
    assert guard.state == BreakerState.OPEN


async def test_successes_in_between_do_not_reset_the_failure_count(guard, service):
    for _ in range(4):
        await fail(guard, service)
        assert await guard(service) == "done"

    await fail(guard, service)

    assert guard.state == BreakerState.OPEN


async def test_failures_older_than_a_minute_do_not_count(guard, service, clock):
    await fail(guard, service, 4)
    clock.now += 60
    await fail(guard, service, 4)

    assert guard.state == BreakerState.CLOSED
    await fail(guard, service)
    assert guard.state == BreakerState.OPEN


async def test_open_breaker_makes_no_call_for_a_minute(guard, service, clock):
    await fail(guard, service, 5)

    clock.now += 59.9
    refusal = await refused_call(guard, service)
    clock.now += 0.1
    result = await guard(service)

    assert (refusal.retry_after_seconds, result, service.calls) == (1, "done", 6)
    assert guard.state == BreakerState.CLOSED


async def test_only_one_of_fifty_callers_probes_the_service(guard, service, clock):
    await fail(guard, service, 5)
    clock.now += 60
    service.gate = asyncio.Event()

    callers = [asyncio.create_task(guard(service)) for _ in range(50)]
    others, (probe,) = await settle_tasks(callers)
    state_of_probe = guard.state
    service.gate.set()

    assert await probe == "done"
    assert service.calls == 6
    assert {type(other.exception()) for other in others} == {StorageUnavailable}
    assert len(others) == 49
    assert (state_of_probe, guard.state) == (BreakerState.HALF_OPEN, BreakerState.CLOSED)


async def settle_tasks(tasks: list[asyncio.Task]) -> tuple[list[asyncio.Task], list[asyncio.Task]]:
    """Run the event loop until nothing changes; return the finished and the waiting tasks."""
    for _ in range(20):
        await asyncio.sleep(0)
    return [task for task in tasks if task.done()], [task for task in tasks if not task.done()]


async def test_failed_probe_opens_the_breaker_for_another_minute(guard, service, clock):
    await fail(guard, service, 5)
    clock.now += 60

    await fail(guard, service)
    clock.now += 59
    refusal = await refused_call(guard, service)

    assert (service.calls, refusal.retry_after_seconds) == (6, 1)


async def test_failed_probe_is_not_retried(clock, service):
    guard = make_guard(clock, attempts=3)
    await fail(guard, service, 2)
    clock.now += 60

    await fail(guard, service)

    assert service.calls == 6


async def test_answered_probe_closes_the_breaker(guard, service, clock):
    await fail(guard, service, 5)
    clock.now += 60
    service.failing = Answer()

    with pytest.raises(Answer):
        await guard(service)

    assert guard.state == BreakerState.CLOSED


async def test_next_call_after_a_cancelled_probe_is_the_probe(guard, service, clock):
    await fail(guard, service, 5)
    clock.now += 60
    service.gate = asyncio.Event()
    probe = asyncio.create_task(guard(service))
    await settle_tasks([probe])

    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    service.gate.set()

    assert await guard(service) == "done"
    assert guard.state == BreakerState.CLOSED


async def test_cancelled_call_is_not_retried(clock, service):
    guard = make_guard(clock, attempts=3)
    service.gate = asyncio.Event()
    call = asyncio.create_task(guard(service))
    await settle_tasks([call])

    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert service.calls == 1


async def test_timeout_is_a_failure(clock, service):
    guard = make_guard(clock, timeout_seconds=0.01, attempts=5)
    service.gate = asyncio.Event()

    refusal = await refused_call(guard, service)

    assert isinstance(refusal.__cause__, TimeoutError)
    assert (service.calls, guard.state) == (5, BreakerState.OPEN)


async def test_late_failure_does_not_extend_the_open_time(guard, service, clock):
    gate = asyncio.Event()

    async def fails_late() -> None:
        await gate.wait()
        raise Unreachable

    late = asyncio.create_task(guard(fails_late))
    await settle_tasks([late])
    await fail(guard, service, 5)
    clock.now += 30
    gate.set()
    with pytest.raises(StorageUnavailable):
        await late

    assert (await refused_call(guard, service)).retry_after_seconds == 30


async def test_reset_closes_the_breaker(guard, service):
    await fail(guard, service, 5)

    guard.reset()

    assert guard.state == BreakerState.CLOSED
    assert await guard(service) == "done"
    await fail(guard, service, 4)
    assert guard.state == BreakerState.CLOSED


async def test_state_changes_are_logged_and_counted(clock, service):
    guard = make_guard(clock, name="logged service")

    with capture_logs() as events:
        await fail(guard, service, 5)
        await refused_call(guard, service)
        clock.now += 60
        await guard(service)

    assert [(event["log_level"], event["before"], event["after"]) for event in events] == [
        ("warning", "closed", "open"),
        ("info", "open", "half_open"),
        ("info", "half_open", "closed"),
    ]
    name = {"service": "logged service"}
    outcomes = {
        outcome: REGISTRY.get_sample_value("guarded_calls_total", name | {"outcome": outcome})
        for outcome in ("failure", "refused", "success")
    }
    assert outcomes == {"failure": 5, "refused": 1, "success": 1}
    opened = REGISTRY.get_sample_value("breaker_transitions_total", name | {"state": "open"})
    closed = REGISTRY.get_sample_value("breaker_state", name | {"state": "closed"})
    assert (opened, closed) == (1, 1)
    assert b'breaker_state{service="logged service",state="open"} 0.0' in exposition()
