"""What anyone may read: the tournament, its churches, the service's health."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Literal

from domain.errors.exceptions import ServiceUnavailable
from domain.registration.names import normalize
from domain.tournaments import RegistrationState, registration_state
from persistence.fast import json_rendering
from persistence.fast.json_rendering import JsonSql
from persistence.pagination import Page, PageRequest
from persistence.records import ChurchRecord, TournamentRecord
from persistence.repositories import churches, tournaments
from resilience.breaker_states import BreakerState
from resolvers.services import Disk, Services, Watched

if TYPE_CHECKING:
    from resilience.circuit_breaker import ServiceGuard

Status = Literal["OK", "DEGRADED", "DOWN"]

_STATUS_OF_BREAKER: dict[BreakerState, Status] = {
    BreakerState.CLOSED: "OK",
    BreakerState.HALF_OPEN: "DEGRADED",
    BreakerState.OPEN: "DOWN",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`latency_ms` is None when the part did not answer, or was not asked."""

    name: str
    status: Status
    latency_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """DOWN without a database that takes writes; DEGRADED when an outside service is left alone."""

    status: Status
    checks: tuple[Check, ...]


async def tournament(services: Services) -> tuple[TournamentRecord, RegistrationState]:
    record = await tournaments.fetch_active(services.database)
    return record, state_of(record, services.clock())


async def squad_max(services: Services) -> int:
    """The most players that a team of the open season may have; 0 where nobody can tell."""
    try:
        return (await tournaments.fetch_active_cached(services.database)).rules.squad_max
    except ServiceUnavailable:
        return 0


def state_of(record: TournamentRecord, now: datetime) -> RegistrationState:
    return registration_state(record.rules, taken=record.taken, now=now)


async def church_page(
    services: Services, *, search: str | None, part: PageRequest
) -> Page[ChurchRecord]:
    """Churches by name whose name holds `search`, however it is written."""
    return await services.database.read(
        partial(churches.page, search=normalize(search or ""), request=part)
    )


async def church_text_page(
    services: Services, *, search: str | None, part: PageRequest, text: JsonSql
) -> Page[str]:
    """The same as PostgreSQL prints them."""
    return await json_rendering.church_page(services.database, normalize(search or ""), part, text)


async def church_count(services: Services, *, search: str | None) -> int:
    return await services.database.read(partial(churches.count, search=normalize(search or "")))


async def health(services: Services) -> Health:
    database, disks = await asyncio.gather(database_check(services), _disk_checks(services.disks))
    outside = (
        *(outside_check(guard) for guard in services.guards),
        *(_watched_check(part) for part in services.watched),
        *disks,
        *(_watched_check(task) for task in services.background if not task.is_healthy),
    )
    checks = (database, *outside)
    if database.status == "DOWN":
        return Health(status="DOWN", checks=checks)
    is_well = all(check.status == "OK" for check in outside)
    return Health(status="OK" if is_well else "DEGRADED", checks=checks)


def outside_check(guard: "ServiceGuard") -> Check:
    return Check(name=guard.name, status=_STATUS_OF_BREAKER[guard.state], latency_ms=None)


async def _disk_checks(disks: Sequence[Disk]) -> list[Check]:
    """Disks that are not well; none that are."""
    answers = await asyncio.gather(*(disk.is_healthy() for disk in disks))
    return [
        Check(name=disk.name, status="DEGRADED", latency_ms=None)
        for disk, is_well in zip(disks, answers, strict=True)
        if not is_well
    ]


def _watched_check(part: Watched) -> Check:
    return Check(name=part.name, status="OK" if part.is_healthy else "DEGRADED", latency_ms=None)


async def database_check(services: Services) -> Check:
    """DOWN, too, where it answers and takes no writes: nobody can be registered."""
    database = services.database
    writing = asyncio.create_task(database.accepts_writes())
    try:
        latency_ms = round(await database.ping(), 2)
    except ServiceUnavailable:
        return Check(name="database", status="DOWN", latency_ms=None)
    finally:
        accepts_writes = await writing
    return Check(name="database", status="OK" if accepts_writes else "DOWN", latency_ms=latency_ms)
