"""What anyone may read: the tournament, its churches, the service's health."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal
from uuid import UUID

from domain.errors import ServiceUnavailable
from domain.rules import RegistrationState, registration_state
from domain.text import normalize
from persistence import churches, tournaments
from persistence.churches import ChurchPage
from persistence.records import TournamentRecord
from resolvers.context import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`latency_ms` is None when the part did not answer."""

    name: str
    status: Literal["OK", "DOWN"]
    latency_ms: float | None


async def tournament(services: Services) -> tuple[TournamentRecord, RegistrationState]:
    record = await services.database.read(tournaments.active)
    return record, state_of(record, services.clock())


def state_of(record: TournamentRecord, now: datetime) -> RegistrationState:
    return registration_state(record.rules, taken=record.taken, now=now)


async def church_page(
    services: Services, *, search: str | None, first: int, after: tuple[str, UUID] | None
) -> ChurchPage:
    """Churches by name whose name holds `search`, however it is written."""
    return await services.database.read(
        partial(churches.page, search=normalize(search or ""), first=first, after=after)
    )


async def church_count(services: Services, *, search: str | None) -> int:
    return await services.database.read(partial(churches.count, search=normalize(search or "")))


async def database_check(services: Services) -> Check:
    try:
        latency_ms = await services.database.ping()
    except ServiceUnavailable:
        return Check(name="database", status="DOWN", latency_ms=None)
    return Check(name="database", status="OK", latency_ms=latency_ms)
