"""Any object by its id, as far as the caller may see it."""

from functools import partial
from uuid import UUID

from domain.roles import Caller, Role, may, require_role
from persistence import credentials, documents, nodes, organisers, teams
from persistence.database import Connection
from persistence.nodes import Named, NodeKind
from persistence.records import (
    ApiTokenRecord,
    DocumentRecord,
    OrganiserRecord,
    PlayerRecord,
    SessionRecord,
    TeamRecord,
)
from resolvers.context import Services

PlayerOfTeam = tuple[TeamRecord, PlayerRecord]
Found = (
    TeamRecord | PlayerOfTeam | DocumentRecord | OrganiserRecord | SessionRecord | ApiTokenRecord
)


async def node(services: Services, caller: Caller, node_id: str) -> Found | None:
    """None for what is not there and for what the caller may not see. Raises Unauthenticated."""
    require_role(caller, Role.VIEWER)
    return await services.database.read(partial(_find, services, caller, node_id))


async def _find(
    services: Services, caller: Caller, text: str, connection: Connection
) -> Found | None:
    named = await nodes.find_text(connection, text)
    if named is None or named.owner_id is None:
        return None
    node_id = UUID(text)
    if named.kind in (NodeKind.TEAM, NodeKind.PLAYER):
        return await _team_or_player(connection, node_id, named.owner_id)
    if named.kind == NodeKind.DOCUMENT:
        if not may(caller, Role.REVIEWER):
            return None
        owned = await documents.find_owned(connection, node_id)
        return owned.document if owned else None
    if named.owner_id != caller.organiser_id and not may(caller, Role.OWNER):
        return None
    return await _of_organiser(services, connection, node_id, named)


async def _team_or_player(
    connection: Connection, node_id: UUID, team_id: UUID
) -> TeamRecord | PlayerOfTeam | None:
    team = await teams.find_by_id(connection, team_id)
    if team is None or team.id == node_id:
        return team
    return next(((team, one) for one in team.players if one.id == node_id), None)


async def _of_organiser(
    services: Services, connection: Connection, node_id: UUID, named: Named
) -> OrganiserRecord | SessionRecord | ApiTokenRecord | None:
    now, owner_id = services.clock(), named.owner_id or node_id
    if named.kind == NodeKind.ORGANISER:
        return await organisers.find(connection, node_id)
    found: list[SessionRecord] | list[ApiTokenRecord]
    if named.kind == NodeKind.SESSION:
        found = await credentials.list_sessions(
            connection, owner_id, now=now, idle_since=now - services.accounts.idle
        )
    else:
        found = await credentials.list_api_tokens(connection, owner_id, now=now)
    return next((one for one in found if one.id == node_id), None)
