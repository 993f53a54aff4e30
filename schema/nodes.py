"""Any object by its id."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import strawberry
from strawberry import argument

from domain.roles import Role, may
from persistence.records import (
    ApiTokenRecord,
    DocumentRecord,
    OrganiserRecord,
    SessionRecord,
    TeamRecord,
)
from resolvers import nodes
from schema.access import caller_with
from schema.accounts import Organiser, Session
from schema.api_tokens import ApiToken
from schema.context import Info
from schema.documents import Document
from schema.node import Node
from schema.objects import Player, Team


async def node(
    info: Info, id: Annotated[strawberry.ID, argument(description="What an object calls its id.")]
) -> Node | None:
    caller = caller_with(info, Role.VIEWER)
    found = await nodes.node(info.context.services, caller, id)
    return _object(info, found, is_masked=not may(caller, Role.REVIEWER))


def _object(info: Info, found: nodes.Found | None, *, is_masked: bool) -> Node | None:
    if isinstance(found, tuple):
        team, player = found
        return Player.from_record(player, team, is_masked=is_masked)
    if isinstance(found, TeamRecord):
        return Team.from_record(found, is_masked=is_masked)
    if isinstance(found, SessionRecord):
        return Session.from_record(found, info)
    return _MADE_BY[type(found)](found) if found is not None else None


_MADE_BY: Mapping[type, Callable[[Any], Node]] = {
    DocumentRecord: Document.from_record,
    OrganiserRecord: Organiser.from_record,
    ApiTokenRecord: ApiToken.from_record,
}
