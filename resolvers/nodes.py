"""Look-up of any object by its global id, limited to objects that the caller may see."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from domain.auth.roles import Caller, Role, has_role, require_role
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
from persistence.repositories.audit import AuditRecord
from persistence.repositories.nodes import NodeKind, NodeRef
from persistence.repositories.outbox import DeliveryRecord
from persistence.unit_of_work import UnitOfWork
from resolvers.captain.access import my_team
from resolvers.services import Services

PlayerOfTeam = tuple[TeamRecord, PlayerRecord]
Node = (
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
# Objects of a team that its captain may see.
CAPTAIN_VISIBLE_KINDS = frozenset(
    {NodeKind.TEAM, NodeKind.PLAYER, NodeKind.DOCUMENT, NodeKind.AUDIT_EVENT}
)
# Objects that every organiser and every captain may see.
UNRESTRICTED_KINDS = frozenset({NodeKind.CHURCH, NodeKind.TOURNAMENT})
_FINDERS: Mapping[NodeKind, Callable[[UnitOfWork, UUID], Awaitable[Node | None]]] = {
    NodeKind.CHURCH: lambda uow, church_id: uow.churches.find(church_id),
    NodeKind.TOURNAMENT: lambda uow, tournament_id: uow.tournaments.find(tournament_id),
    NodeKind.AUDIT_EVENT: lambda uow, event_id: uow.audit.find(event_id),
    NodeKind.DELIVERY: lambda uow, message_id: uow.outbox.find(message_id),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCaller:
    """The caller of a look-up. `team_id` is a captain's team, None for organisers."""

    caller: Caller
    team_id: UUID | None = None


async def node(
    services: Services, caller: Caller, node_id: str, *, manage_token: str | None = None
) -> Node | None:
    """Return the object; None if it does not exist or the caller may not see it.

    Organisers see objects by role, captains those of their own team. Raises Unauthenticated.
    """
    node_caller = NodeCaller(caller=caller)
    if caller.role is None and manage_token is not None:
        node_caller = NodeCaller(caller=caller, team_id=(await my_team(services, manage_token)).id)
    else:
        require_role(caller, Role.VIEWER)
    return await services.database.read(partial(_find_visible, services, node_caller, node_id))


async def _find_visible(
    services: Services, node_caller: NodeCaller, node_id: str, uow: UnitOfWork
) -> Node | None:
    ref = await uow.nodes.find_by_external_id(node_id)
    if ref is None or not _is_visible(node_caller, ref):
        return None
    return await _load(services, uow, UUID(node_id), ref)


def _is_visible(node_caller: NodeCaller, ref: NodeRef) -> bool:
    if ref.kind in UNRESTRICTED_KINDS:
        return True
    if node_caller.team_id is not None:
        return ref.kind in CAPTAIN_VISIBLE_KINDS and ref.owner_id == node_caller.team_id
    if ref.kind in (NodeKind.TEAM, NodeKind.PLAYER):
        return True
    if ref.kind == NodeKind.DOCUMENT:
        # An unclaimed upload belongs to no team.
        return ref.owner_id is not None and has_role(node_caller.caller, Role.REVIEWER)
    if ref.kind in (NodeKind.AUDIT_EVENT, NodeKind.DELIVERY):
        return has_role(node_caller.caller, Role.REVIEWER)
    return ref.owner_id == node_caller.caller.organiser_id or has_role(
        node_caller.caller, Role.OWNER
    )


async def _load(services: Services, uow: UnitOfWork, node_id: UUID, ref: NodeRef) -> Node | None:
    if ref.kind in (NodeKind.TEAM, NodeKind.PLAYER):
        return await _load_team_or_player(uow, node_id, ref.owner_id or node_id)
    if ref.kind == NodeKind.DOCUMENT:
        owned = await uow.documents.find_owned(node_id)
        return owned.document if owned else None
    if ref.kind in _FINDERS:
        return await _FINDERS[ref.kind](uow, node_id)
    return await _load_account_object(services, uow, node_id, ref)


async def _load_team_or_player(
    uow: UnitOfWork, node_id: UUID, team_id: UUID
) -> TeamRecord | PlayerOfTeam | None:
    team = await uow.teams.find_by_id(team_id)
    if team is None or team.id == node_id:
        return team
    return next(((team, player) for player in team.players if player.id == node_id), None)


async def _load_account_object(
    services: Services, uow: UnitOfWork, node_id: UUID, ref: NodeRef
) -> OrganiserRecord | SessionRecord | ApiTokenRecord | None:
    now, owner_id = services.clock(), ref.owner_id or node_id
    if ref.kind == NodeKind.ORGANISER:
        return await uow.organisers.find(node_id)
    records: list[SessionRecord] | list[ApiTokenRecord]
    if ref.kind == NodeKind.SESSION:
        idle_since = now - services.accounts.session_idle_timeout
        records = await uow.sessions.list_by_organiser(owner_id, now=now, idle_since=idle_since)
    else:
        records = await uow.api_tokens.list_by_organiser(owner_id, now=now)
    return next((record for record in records if record.id == node_id), None)
