"""Health of the service and its dependencies, and manual reset of circuit breakers."""

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from domain.audit import AuditAction
from domain.auth.roles import Caller, Role, require_role
from domain.errors.exceptions import NotFound, ServiceUnavailable
from resilience.breaker_states import BreakerState
from resolvers import audit
from resolvers.services import HealthSource, Services

if TYPE_CHECKING:
    from resilience.circuit_breaker import ServiceGuard


class HealthStatus(StrEnum):
    OK = "OK"
    DEGRADED = "DEGRADED"
    DOWN = "DOWN"


_STATUS_BY_BREAKER_STATE = {
    BreakerState.CLOSED: HealthStatus.OK,
    BreakerState.HALF_OPEN: HealthStatus.DEGRADED,
    BreakerState.OPEN: HealthStatus.DOWN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """Health of one component. `latency_ms` is None if it did not answer or was not called."""

    name: str
    status: HealthStatus
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """DOWN without a writable database, DEGRADED if any other component is not OK."""

    status: HealthStatus
    checks: tuple[CheckResult, ...]


async def health(services: Services) -> HealthReport:
    """Check the database and the disks; report the known state of everything else."""
    # Everything is started before anything is awaited.
    for disk in services.disks:
        disk.start_probe()
    database = await check_database(services)
    disks = [
        CheckResult(name=disk.name, status=HealthStatus.DEGRADED)
        for disk in services.disks
        if not await disk.is_healthy()
    ]
    components = (
        *(_check_breaker(guard) for guard in services.guards),
        *(_check_source(source) for source in services.health_sources),
        *disks,
        *(_check_source(task) for task in services.background if not task.is_healthy),
    )
    checks = (database, *components)
    if database.status == HealthStatus.DOWN:
        return HealthReport(status=HealthStatus.DOWN, checks=checks)
    is_healthy = all(check.status == HealthStatus.OK for check in components)
    return HealthReport(
        status=HealthStatus.OK if is_healthy else HealthStatus.DEGRADED, checks=checks
    )


async def check_database(services: Services) -> CheckResult:
    """Report DOWN for a read-only database as well: no team can register."""
    database = services.database
    database.start_write_probe()
    try:
        latency_ms = round(await database.ping(), 2)
    except ServiceUnavailable:
        return CheckResult(name="database", status=HealthStatus.DOWN)
    is_writable = await database.accepts_writes()
    return CheckResult(
        name="database",
        status=HealthStatus.OK if is_writable else HealthStatus.DOWN,
        latency_ms=latency_ms,
    )


async def reset_breaker(services: Services, caller: Caller, name: str) -> CheckResult:
    """Close a circuit breaker of this process; a closed one is left as it is.

    Raises Unauthenticated, Forbidden, NotFound.
    """
    require_role(caller, Role.REVIEWER)
    guard = next((guard for guard in services.guards if guard.name == name), None)
    if guard is None:
        raise NotFound("No outside service in use has this name.")
    if guard.state == BreakerState.CLOSED:
        return _check_breaker(guard)
    await services.database.run(
        partial(
            audit.record,
            action=AuditAction.BREAKER_RESET,
            actor=caller.actor,
            at=services.clock(),
            changes={"service": name, "state": [guard.state.value, "closed"]},
        )
    )
    guard.reset()
    return _check_breaker(guard)


def _check_breaker(guard: "ServiceGuard") -> CheckResult:
    return CheckResult(name=guard.name, status=_STATUS_BY_BREAKER_STATE[guard.state])


def _check_source(source: HealthSource) -> CheckResult:
    return CheckResult(
        name=source.name, status=HealthStatus.OK if source.is_healthy else HealthStatus.DEGRADED
    )
