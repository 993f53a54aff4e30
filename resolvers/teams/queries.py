"""Organisers' reads: teams, players, statistics, the audit log and the outbox."""

from collections.abc import Sequence
from uuid import UUID

from domain.auth.roles import Caller, Role, has_role, require_role
from domain.errors.exceptions import TeamNotFound
from domain.teams.codes import parse_player_code
from persistence.fast import json_rendering
from persistence.fast.json_rendering import JsonSql
from persistence.pagination import Page, PageRequest
from persistence.records import PlayerRecord, TeamRecord
from persistence.repositories.audit import AuditFilter, AuditRecord
from persistence.repositories.outbox import DeliveryFilter, DeliveryRecord
from persistence.repositories.team_search import Include, TeamFilter, TeamQuery
from persistence.repositories.team_stats import DuplicatePlayer, TeamStats
from resolvers.services import Services


async def get_team(services: Services, caller: Caller, reference: str) -> TeamRecord:
    """Return the team with this id or code. Raises Unauthenticated, TeamNotFound."""
    require_role(caller, Role.VIEWER)
    team = await services.database.read(lambda uow: uow.teams.find(reference=reference))
    if team is None:
        raise TeamNotFound
    return team


async def team_json(services: Services, caller: Caller, reference: str, sql: JsonSql) -> str:
    """Render the team as JSON in PostgreSQL. Raises Unauthenticated, Forbidden, TeamNotFound."""
    require_role(caller, Role.REVIEWER)
    row = await json_rendering.find_team(services.database, reference, sql)
    if row is None:
        raise TeamNotFound
    return str(row["json"])


async def team_page(
    services: Services, caller: Caller, query: TeamQuery, include: Include
) -> Page[TeamRecord]:
    """Raises Unauthenticated."""
    require_role(caller, Role.VIEWER)
    with_contacts = has_role(caller, Role.REVIEWER)
    return await services.database.read(
        lambda uow: uow.team_search.page(query=query, include=include, with_contacts=with_contacts)
    )


async def team_json_page(
    services: Services, caller: Caller, query: TeamQuery, sql: JsonSql
) -> Page[str]:
    """Render teams with contacts as JSON in PostgreSQL. Raises Unauthenticated, Forbidden."""
    require_role(caller, Role.REVIEWER)
    return await json_rendering.team_page(services.database, query, sql)


async def team_count(services: Services, caller: Caller, team_filter: TeamFilter) -> int:
    """Raises Unauthenticated."""
    require_role(caller, Role.VIEWER)
    return await services.database.read(
        lambda uow: uow.team_search.count(
            filters=team_filter, with_contacts=has_role(caller, Role.REVIEWER)
        )
    )


async def find_player(
    services: Services, caller: Caller, code: str
) -> tuple[TeamRecord, PlayerRecord] | None:
    """Return the player with this code and the player's team. Raises Unauthenticated."""
    require_role(caller, Role.VIEWER)
    parsed = parse_player_code(code)
    if parsed is None:
        return None
    team_code, position = parsed
    team = await services.database.read(lambda uow: uow.teams.find(reference=team_code))
    if team is None or team.code != team_code:
        return None
    return next(((team, player) for player in team.players if player.position == position), None)


async def player_json(services: Services, caller: Caller, code: str, sql: JsonSql) -> str | None:
    """Render the player as JSON in PostgreSQL. Raises Unauthenticated, Forbidden."""
    require_role(caller, Role.REVIEWER)
    parsed = parse_player_code(code)
    return await json_rendering.find_player(services.database, *parsed, sql) if parsed else None


async def statistics(services: Services, caller: Caller) -> TeamStats:
    """Raises Unauthenticated."""
    require_role(caller, Role.VIEWER)
    return await services.database.read(lambda uow: uow.team_stats.get_stats())


async def audit_page(
    services: Services, caller: Caller, audit_filter: AuditFilter, page: PageRequest
) -> Page[AuditRecord]:
    """Return audit events, newest first. Raises Unauthenticated, Forbidden."""
    require_role(caller, Role.REVIEWER)
    return await services.database.read(
        lambda uow: uow.audit.page(filters=audit_filter, request=page)
    )


async def audit_count(services: Services, caller: Caller, audit_filter: AuditFilter) -> int:
    """Raises Unauthenticated, Forbidden."""
    require_role(caller, Role.REVIEWER)
    return await services.database.read(lambda uow: uow.audit.count(filters=audit_filter))


async def delivery_page(
    services: Services, caller: Caller, delivery_filter: DeliveryFilter, page: PageRequest
) -> Page[DeliveryRecord]:
    """Return outbox messages, newest first. Raises Unauthenticated, Forbidden."""
    require_role(caller, Role.REVIEWER)
    return await services.database.read(
        lambda uow: uow.outbox.page(filters=delivery_filter, request=page)
    )


async def delivery_count(
    services: Services, caller: Caller, delivery_filter: DeliveryFilter
) -> int:
    """Raises Unauthenticated, Forbidden."""
    require_role(caller, Role.REVIEWER)
    return await services.database.read(lambda uow: uow.outbox.count(filters=delivery_filter))


async def team_histories(services: Services, team_ids: Sequence[UUID]) -> list[list[AuditRecord]]:
    """Return the latest events of each team, oldest first, in the order of the ids."""
    histories: dict[UUID | None, list[AuditRecord]] = {}
    for event in await services.database.read(
        lambda uow: uow.audit.list_by_teams(team_ids=team_ids)
    ):
        histories.setdefault(event.team_id, []).append(event)
    return [histories.get(team_id, []) for team_id in team_ids]


async def duplicate_players(
    services: Services, team_ids: Sequence[UUID]
) -> list[list[DuplicatePlayer]]:
    """Return each team's players who also seem to play in another live team.

    The lists are in the order of the ids.
    """
    duplicates: dict[UUID, list[DuplicatePlayer]] = {}
    for player in await services.database.read(
        lambda uow: uow.team_stats.list_duplicate_players(team_ids=team_ids)
    ):
        duplicates.setdefault(player.team_id, []).append(player)
    return [duplicates.get(team_id, []) for team_id in team_ids]
