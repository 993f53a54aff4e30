"""Manual reset of circuit breakers."""

from dataclasses import replace

import pytest

from domain.auth.roles import Role
from domain.errors.exceptions import Forbidden, NotFound, StorageUnavailable
from resilience.breaker_states import BreakerState
from resilience.circuit_breaker import ServiceGuard, ServiceGuardOptions
from resolvers.operations.health import CheckResult, reset_breaker
from tests.accounts import new_caller

EVENTS = "SELECT changes FROM audit_event WHERE action = 'breaker.reset'"
OK = CheckResult(name="cloudinary", status="OK")


@pytest.fixture
def guard() -> ServiceGuard:
    options = ServiceGuardOptions(attempts=1, failures=1, retry_wait_seconds=0)
    return ServiceGuard("cloudinary", options, transient=(OSError,), unavailable=StorageUnavailable)


@pytest.fixture
async def open_guard(guard) -> ServiceGuard:
    async def fail() -> None:
        raise OSError

    with pytest.raises(StorageUnavailable):
        await guard(fail)
    assert guard.state == BreakerState.OPEN
    return guard


async def test_repeated_reset_is_not_recorded_again(services, sql, open_guard):
    services = replace(services, guards=(open_guard,))
    reviewer = await new_caller(services, Role.REVIEWER)

    results = [await reset_breaker(services, reviewer, "cloudinary") for _ in range(3)]

    assert results == [OK] * 3
    assert open_guard.state == BreakerState.CLOSED
    changes = [event["changes"] for event in await sql.fetch(EVENTS)]
    assert changes == ['{"state": ["open", "closed"], "service": "cloudinary"}']


async def test_refused_reset_leaves_the_breaker_open(services, sql, open_guard):
    services = replace(services, guards=(open_guard,))
    reviewer = await new_caller(services, Role.REVIEWER)

    with pytest.raises(NotFound):
        await reset_breaker(services, reviewer, "smtp")
    with pytest.raises(Forbidden):
        await reset_breaker(services, replace(reviewer, role=Role.VIEWER), "cloudinary")

    assert open_guard.state == BreakerState.OPEN
    assert await sql.fetch(EVENTS) == []
