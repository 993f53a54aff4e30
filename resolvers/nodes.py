"""Any object by its id, as far as the caller may see it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from domain.auth.roles import Caller, Role, may, require_role
from persistence.engine.database import Connection
from persistence.records import (
    ApiTokenRecord,
    ChurchRecord,
    DocumentRecord,
    OrganiserRecord,
    PlayerRecord,
    SessionRecord,
    TeamRecord,
    TournamentRecord,
)
from persistence.repositories import (
    audit,
    churches,
    documents,
    nodes,
    organisers,
    outbox,
    teams,
    tournaments,
)
from persistence.repositories import sessions as stored_sessions
from persistence.repositories.audit import AuditRecord
from persistence.repositories.nodes import NodeKind, NodeRef
from persistence.repositories.outbox import DeliveryRecord
from resolvers.captain.access import my_team
from resolvers.services import Services

PlayerOfTeam = tuple[TeamRecord, PlayerRecord]
Found = (
    TeamRecord
    | PlayerOfTeam
    | DocumentRecord
    | OrganiserRecord
    | SessionRecord
    | ApiTokenRecord
    | ChurchRecord
    | TournamentRecord
    | AuditRecord
    | DeliveryRecord
)
# Kinds of objects that belong to a team and that its captain may see.
CAPTAIN_KINDS = frozenset({NodeKind.TEAM, NodeKind.PLAYER, NodeKind.DOCUMENT, NodeKind.AUDIT_EVENT})
PUBLIC_KINDS = frozenset({NodeKind.CHURCH, NodeKind.TOURNAMENT})
_FIND: Mapping[NodeKind, Callable[[Connection, UUID], Awaitable[Found | None]]] = {
    NodeKind.CHURCH: churches.find,
    NodeKind.TOURNAMENT: tournaments.find,
    NodeKind.AUDIT_EVENT: audit.find,
    NodeKind.DELIVERY: outbox.find,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """The caller and, for a captain, the id of their team."""

    caller: Caller
    team_id: UUID | None = None


async def node(
    services: Services, caller: Caller, node_id: str, *, manage_token: str | None = None
) -> Found | None:
    """Return None for an object that does not exist or that the caller may not see.

    Organisers see by their role, captains what belongs to their own team.
    Raises Unauthenticated.
    """
    viewer = Viewer(caller=caller)
    if caller.role is None and manage_token is not None:
        viewer = Viewer(caller=caller, team_id=(await my_team(services, manage_token)).id)
    else:
        require_role(caller, Role.VIEWER)
    return await services.database.read(partial(_find, services, viewer, node_id))


async def _find(
    services: Services, viewer: Viewer, text: str, connection: Connection
) -> Found | None:
    named = await nodes.find_by_external_id(connection, text)
    if named is None or not _is_visible(viewer, named):
        return None
    return await _read(services, connection, UUID(text), named)


def _is_visible(viewer: Viewer, named: NodeRef) -> bool:
    if named.kind in PUBLIC_KINDS:
        return True
    if viewer.team_id is not None:
        return named.kind in CAPTAIN_KINDS and named.owner_id == viewer.team_id
    if named.kind in (NodeKind.TEAM, NodeKind.PLAYER):
        return True
    if named.kind == NodeKind.DOCUMENT:
        # An upload that no form has named belongs to nobody.
        return named.owner_id is not None and may(viewer.caller, Role.REVIEWER)
    if named.kind in (NodeKind.AUDIT_EVENT, NodeKind.DELIVERY):
        return may(viewer.caller, Role.REVIEWER)
    return named.owner_id == viewer.caller.organiser_id or may(viewer.caller, Role.OWNER)


async def _read(
    services: Services, connection: Connection, node_id: UUID, named: NodeRef
) -> Found | None:
    if named.kind in (NodeKind.TEAM, NodeKind.PLAYER):
        return await _team_or_player(connection, node_id, named.owner_id or node_id)
    if named.kind == NodeKind.DOCUMENT:
        owned = await documents.find_owned(connection, node_id)
        return owned.document if owned else None
    if named.kind in _FIND:
        return await _FIND[named.kind](connection, node_id)
    return await _of_organiser(services, connection, node_id, named)


async def _team_or_player(
    connection: Connection, node_id: UUID, team_id: UUID
) -> TeamRecord | PlayerOfTeam | None:
    team = await teams.find_by_id(connection, team_id)
    if team is None or team.id == node_id:
        return team
    return next(((team, player) for player in team.players if player.id == node_id), None)


async def _of_organiser(
    services: Services, connection: Connection, node_id: UUID, named: NodeRef
) -> OrganiserRecord | SessionRecord | ApiTokenRecord | None:
    now, owner_id = services.clock(), named.owner_id or node_id
    if named.kind == NodeKind.ORGANISER:
        return await organisers.find(connection, node_id)
    records: list[SessionRecord] | list[ApiTokenRecord]
    if named.kind == NodeKind.SESSION:
        records = await stored_sessions.list_sessions(
            connection, owner_id, now=now, idle_since=now - services.accounts.idle
        )
    else:
        records = await stored_sessions.list_api_tokens(connection, owner_id, now=now)
    return next((record for record in records if record.id == node_id), None)
