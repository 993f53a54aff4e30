"""Public reads: the current tournament and its churches."""

from datetime import datetime

from domain.errors.exceptions import ServiceUnavailable
from domain.registration.names import normalize
from domain.tournaments import RegistrationState, registration_state
from persistence import lookups
from persistence.fast import json_rendering
from persistence.fast.json_rendering import JsonSql
from persistence.pagination import Page, PageRequest
from persistence.records import ChurchRecord, TournamentRecord
from resolvers.services import Services


async def current_tournament(services: Services) -> tuple[TournamentRecord, RegistrationState]:
    tournament = await lookups.get_active_tournament(services.database)
    return tournament, current_state(tournament, services.clock())


async def max_squad_size(services: Services) -> int:
    """Return the squad limit of the active tournament; 0 while the database is unavailable."""
    try:
        return (await lookups.get_active_tournament(services.database)).rules.squad_max
    except ServiceUnavailable:
        return 0


def current_state(tournament: TournamentRecord, now: datetime) -> RegistrationState:
    return registration_state(tournament.rules, taken=tournament.taken, now=now)


async def church_page(
    services: Services, search: str | None, page: PageRequest
) -> Page[ChurchRecord]:
    """List churches by name whose normalised name contains the normalised `search`."""
    return await services.database.read(
        lambda uow: uow.churches.page(search=normalize(search or ""), request=page)
    )


async def church_json_page(
    services: Services, search: str | None, page: PageRequest, sql: JsonSql
) -> Page[str]:
    """Like `church_page`, each church rendered as JSON by PostgreSQL."""
    return await json_rendering.church_page(services.database, normalize(search or ""), page, sql)


async def church_count(services: Services, search: str | None) -> int:
    return await services.database.read(
        lambda uow: uow.churches.count(search=normalize(search or ""))
    )
