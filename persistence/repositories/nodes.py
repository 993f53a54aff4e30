"""Find the kind and owner of an object by its id, which is unique over all tables."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import text

from domain.ids import parse_uuid
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


_FIND = text("""
    SELECT 'team' AS kind, id AS owner_id FROM team WHERE id = :id
    UNION ALL SELECT 'player', team_id FROM player WHERE id = :id
    UNION ALL SELECT 'document', team_id FROM document WHERE id = :id
    UNION ALL SELECT 'organiser', id FROM organiser WHERE id = :id
    UNION ALL SELECT 'session', organiser_id FROM organiser_session WHERE id = :id
    UNION ALL SELECT 'api_token', organiser_id FROM api_token WHERE id = :id
    UNION ALL SELECT 'church', id FROM church WHERE id = :id
    UNION ALL SELECT 'tournament', id FROM tournament WHERE id = :id
    UNION ALL SELECT 'audit_event', team_id FROM audit_event WHERE id = :id
    UNION ALL SELECT 'delivery', team_id FROM outbox_message WHERE id = :id
""")


class NodeRepository(Repository):
    """Objects of any type by their id."""

    async def find(self, node_id: UUID) -> NodeRef | None:
        row = (await self._execute(_FIND, {"id": node_id})).first()
        return NodeRef(kind=NodeKind(row.kind), owner_id=row.owner_id) if row else None

    async def find_by_external_id(self, value: str) -> NodeRef | None:
        """Find by an id as clients write it. None also for a malformed one."""
        node_id = parse_uuid(value)
        return await self.find(node_id) if node_id is not None else None
