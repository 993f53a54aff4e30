"""Find the kind and owner of an object by its id, which is unique over all tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, literal, union_all
from sqlmodel import select

from domain.ids import parse_uuid
from persistence.models import (
    ApiToken,
    AuditEvent,
    Church,
    Document,
    Organiser,
    OrganiserSession,
    OutboxMessage,
    Player,
    Team,
    Tournament,
)
from persistence.repositories.base import Repository


class NodeKind(StrEnum):
    TEAM = "team"
    PLAYER = "player"
    DOCUMENT = "document"
    ORGANISER = "organiser"
    SESSION = "session"
    API_TOKEN = "api_token"  # noqa: S105  # a kind of object, no secret
    CHURCH = "church"
    TOURNAMENT = "tournament"
    AUDIT_EVENT = "audit_event"
    DELIVERY = "delivery"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRef:
    """The kind of an object, and the id of the object that it is loaded with.

    `owner_id` is the team of a player, document, audit event or delivery, the organiser of a
    session or API token, else the object itself.
    """

    kind: NodeKind
    owner_id: UUID | None


_OWNER_IDS: Mapping[NodeKind, Any] = {
    NodeKind.TEAM: Team.id,
    NodeKind.PLAYER: Player.team_id,
    NodeKind.DOCUMENT: Document.team_id,
    NodeKind.ORGANISER: Organiser.id,
    NodeKind.SESSION: OrganiserSession.organiser_id,
    NodeKind.API_TOKEN: ApiToken.organiser_id,
    NodeKind.CHURCH: Church.id,
    NodeKind.TOURNAMENT: Tournament.id,
    NodeKind.AUDIT_EVENT: AuditEvent.team_id,
    NodeKind.DELIVERY: OutboxMessage.team_id,
}
_NODES = union_all(
    *(
        select(literal(kind.value).label("kind"), owner_id.label("owner_id")).where(
            owner_id.class_.id == bindparam("id")
        )
        for kind, owner_id in _OWNER_IDS.items()
    )
).subquery()


class NodeRepository(Repository):
    """Objects of any type by their id."""

    async def find(self, node_id: UUID) -> NodeRef | None:
        statement = select(_NODES.c.kind, _NODES.c.owner_id)
        row = (await self._session.exec(statement, params={"id": node_id})).first()
        return NodeRef(kind=NodeKind(row[0]), owner_id=row[1]) if row else None

    async def find_by_external_id(self, value: str) -> NodeRef | None:
        """Find by an id as clients write it. None also for a malformed one."""
        node_id = parse_uuid(value)
        return await self.find(node_id) if node_id is not None else None
