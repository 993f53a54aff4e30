"""What organisers look through: teams, players, counts, the audit log, the outbox."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from domain.auth.roles import Caller, Role, may, require_role
from domain.teams.codes import parse_player_code
from persistence.fast import json_rendering
from persistence.fast.json_rendering import JsonSql
from persistence.pagination import Page, PageRequest
from persistence.records import PlayerRecord, TeamRecord
from persistence.repositories import audit, outbox, team_search, team_stats, teams
from persistence.repositories.audit import AuditFilter, AuditRecord
from persistence.repositories.outbox import DeliveryFilter, DeliveryRecord
from persistence.repositories.team_search import Include, TeamFilter, TeamQuery
from persistence.repositories.team_stats import DuplicatePlayer, TeamStats
from resolvers.services import Services


async def team_page(
    services: Services, caller: Caller, listing: TeamQuery, *, parts: Include
) -> Page[TeamRecord]:
    """Raises Unauthenticated."""
    require_role(caller, Role.VIEWER)
    with_contacts = may(caller, Role.REVIEWER)
    return await services.database.read(
        partial(team_search.page, query=listing, include=parts, with_contacts=with_contacts)
    )


async def team_text_page(
    services: Services, caller: Caller, listing: TeamQuery, *, text: JsonSql
) -> Page[str]:
    """The teams as PostgreSQL prints them, contacts included. Raises Unauthenticated, Forbidden."""
    require_role(caller, Role.REVIEWER)
    return await json_rendering.team_page(services.database, listing, text)


async def team_count(services: Services, caller: Caller, *, wanted: TeamFilter) -> int:
    return await services.database.read(
        partial(team_search.count, filters=wanted, with_contacts=may(caller, Role.REVIEWER))
    )


async def player(
    services: Services, caller: Caller, code: str
) -> tuple[TeamRecord, PlayerRecord] | None:
    """The player with this code, and the whole team. Raises Unauthenticated."""
    require_role(caller, Role.VIEWER)
    parsed = parse_player_code(code)
    if parsed is None:
        return None
    team_code, position = parsed
    team = await services.database.read(partial(teams.find, reference=team_code))
    if team is None or team.code != team_code:
        return None
    return next(((team, one) for one in team.players if one.position == position), None)


async def player_text(services: Services, caller: Caller, code: str, text: JsonSql) -> str | None:
    """The player as PostgreSQL prints it. Raises Unauthenticated, Forbidden."""
    require_role(caller, Role.REVIEWER)
    parsed = parse_player_code(code)
    return await json_rendering.find_player(services.database, *parsed, text) if parsed else None


async def stats(services: Services, caller: Caller) -> TeamStats:
    """Raises Unauthenticated."""
    require_role(caller, Role.VIEWER)
    return await services.database.read(team_stats.get_stats)


async def audit_page(
    services: Services, caller: Caller, *, wanted: AuditFilter, part: PageRequest
) -> Page[AuditRecord]:
    """The newest first. Raises Unauthenticated, Forbidden."""
    require_role(caller, Role.REVIEWER)
    return await services.database.read(partial(audit.page, filters=wanted, request=part))


async def audit_count(services: Services, *, wanted: AuditFilter) -> int:
    return await services.database.read(partial(audit.count, filters=wanted))


async def delivery_page(
    services: Services, caller: Caller, *, wanted: DeliveryFilter, part: PageRequest
) -> Page[DeliveryRecord]:
    """The newest first. Raises Unauthenticated, Forbidden."""
    require_role(caller, Role.REVIEWER)
    return await services.database.read(partial(outbox.page, filters=wanted, request=part))


async def delivery_count(services: Services, *, wanted: DeliveryFilter) -> int:
    return await services.database.read(partial(outbox.count, filters=wanted))


async def histories(services: Services, team_ids: Sequence[UUID]) -> list[list[AuditRecord]]:
    """The last that happened to each team, the oldest first; in the order of the ids."""
    found: dict[UUID | None, list[AuditRecord]] = {}
    for event in await services.database.read(partial(audit.list_by_teams, team_ids=team_ids)):
        found.setdefault(event.team_id, []).append(event)
    return [found.get(one, []) for one in team_ids]


async def same_players(services: Services, team_ids: Sequence[UUID]) -> list[list[DuplicatePlayer]]:
    """Which players of each of these teams are in another live one; in the order of the ids."""
    found: dict[UUID, list[DuplicatePlayer]] = {}
    for same in await services.database.read(
        partial(team_stats.list_duplicate_players, team_ids=team_ids)
    ):
        found.setdefault(same.team_id, []).append(same)
    return [found.get(one, []) for one in team_ids]
