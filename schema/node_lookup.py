"""Look up an object of any type by its id."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import strawberry
from strawberry import argument

from domain.auth.roles import Role, has_role
from persistence.records import (
    ApiTokenRecord,
    ChurchRecord,
    DocumentRecord,
    OrganiserRecord,
    SessionRecord,
    TeamRecord,
    TournamentRecord,
)
from persistence.repositories.audit import AuditRecord
from persistence.repositories.outbox import DeliveryRecord
from resolvers import nodes
from resolvers.tournaments.queries import current_state
from schema.accounts.api_tokens import ApiToken
from schema.accounts.sessions import Organiser, Session
from schema.context import Info
from schema.documents import Document
from schema.node import Node
from schema.operations.audit import AuditEvent
from schema.operations.deliveries import Delivery
from schema.permissions import count_token_guesses
from schema.teams.types import Church, Player, Team
from schema.tournaments.types import Tournament


async def node(
    info: Info, id: Annotated[strawberry.ID, argument(description="The object's id.")]
) -> Node | None:
    context = info.context
    token = context.manage_token
    async with count_token_guesses(info, token):
        record = await nodes.node(context.services, context.caller, id, manage_token=token)
    return None if record is None else _object(info, record)


def _object(info: Info, record: nodes.Node) -> Node:
    caller = info.context.caller
    # A captain, who has no role, sees the own team unmasked.
    is_masked = caller.role is not None and not has_role(caller, Role.REVIEWER)
    match record:
        case (team, player):
            return Player.from_record(player, team, is_masked=is_masked)
        case TeamRecord():
            return Team.from_record(record, is_masked=is_masked)
        case SessionRecord():
            return Session.from_record(record, info)
        case AuditRecord():
            return AuditEvent.from_record(record, caller)
        case TournamentRecord():
            state = current_state(record, info.context.services.clock())
            return Tournament.from_record(record, state)
        case _:
            return FACTORIES[type(record)](record)


FACTORIES: Mapping[type, Callable[[Any], Node]] = {
    DocumentRecord: Document.from_record,
    OrganiserRecord: Organiser.from_record,
    ApiTokenRecord: ApiToken.from_record,
    ChurchRecord: Church.from_record,
    DeliveryRecord: Delivery.from_record,
}
