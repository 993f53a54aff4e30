"""Who did what, when. Rows are only ever added."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, String, cast, func, literal, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import KNOWN_ACTIONS, AuditAction
from domain.auth.roles import CallerKind
from persistence.ids import new_id
from persistence.models import audit_event, decision, organiser, team
from persistence.pagination import KeysetOrder, Page, PageRequest, read_page
from persistence.repositories.teams import references_team

_APPEND = text("""
    INSERT INTO audit_event (id, at, actor, action, team_id, request_id, changes)
    VALUES (:id, :at, :actor, :action, :team_id, :request_id, CAST(:changes AS jsonb))
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """`team_code` is None once the team is erased; so are `reason` and `items`, people's words.

    An action of another version of the service is OTHER, and among `changes` as it is stored.
    `organiser_email` is that of the actor, None for captains, the system and whoever is gone.
    """

    id: UUID
    at: datetime
    actor: str
    action: AuditAction
    team_id: UUID | None
    team_code: str | None
    request_id: str
    changes: Mapping[str, Any]
    organiser_email: str | None
    reason: str | None
    items: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """All that is given has to hold. `team` is its id or code; `until` is too late already."""

    team: str | None = None
    organiser_id: UUID | None = None
    actions: Collection[AuditAction] = ()
    since: datetime | None = None
    until: datetime | None = None


async def append(  # noqa: PLR0913 - one argument for each column
    connection: AsyncConnection,
    *,
    at: datetime,
    actor: str,
    action: AuditAction,
    team_id: UUID | None,
    request_id: str,
    changes: Mapping[str, Any],
) -> None:
    """`changes` has no personal data: what was changed, by name, from old to new."""
    values = {
        "id": new_id(),
        "at": at,
        "actor": actor,
        "action": action.value,
        "team_id": team_id,
        "request_id": request_id,
        "changes": json.dumps(changes),
    }
    await connection.execute(_APPEND, values)


# Of one team; `auditLog` has them all in pages.
MAX_TEAM_EVENTS = 100

_PREFIX = f"{CallerKind.ORGANISER}:"
_HEX = func.replace(cast(organiser.c.id, String), "-", "")
_EVENTS = (
    select(
        audit_event,
        team.c.code.label("team_code"),
        organiser.c.email.label("organiser_email"),
        decision.c.reason,
        decision.c["items"],
    )
    .outerjoin(team, team.c.id == audit_event.c.team_id)
    .outerjoin(organiser, audit_event.c.actor == literal(_PREFIX) + _HEX)
    .outerjoin(
        decision,
        (decision.c.team_id == audit_event.c.team_id)
        & (decision.c.at == audit_event.c.at)
        & (decision.c.event == audit_event.c.action),
    )
)
_NEWEST_FIRST = KeysetOrder(columns=(audit_event.c.id,), is_descending=True)


async def page(
    connection: AsyncConnection, *, filters: AuditFilter, request: PageRequest
) -> Page[AuditRecord]:
    """The newest first."""
    return await read_page(connection, _matching(_EVENTS, filters), _NEWEST_FIRST, request, _record)


async def count(connection: AsyncConnection, *, filters: AuditFilter) -> int:
    statement = _matching(select(func.count()).select_from(audit_event), filters)
    return int(await connection.scalar(statement) or 0)


async def list_by_teams(
    connection: AsyncConnection, team_ids: Collection[UUID]
) -> list[AuditRecord]:
    """The newest HISTORY_MAX of each team, the oldest first."""
    place = func.row_number().over(
        partition_by=audit_event.c.team_id, order_by=audit_event.c.id.desc()
    )
    numbered = (
        select(audit_event.c.id, place.label("place"))
        .where(audit_event.c.team_id.in_(team_ids))
        .subquery()
    )
    newest = select(numbered.c.id).where(numbered.c.place <= MAX_TEAM_EVENTS)
    statement = _EVENTS.where(audit_event.c.id.in_(newest)).order_by(audit_event.c.id)
    return [_record(row) for row in await connection.execute(statement)]


async def find(connection: AsyncConnection, event_id: UUID) -> AuditRecord | None:
    row = (await connection.execute(_EVENTS.where(audit_event.c.id == event_id))).first()
    return _record(row) if row else None


def _matching(statement: Select[Any], filters: AuditFilter) -> Select[Any]:
    if filters.team is not None:
        statement = statement.where(references_team(audit_event.c.team_id, filters.team))
    if filters.organiser_id is not None:
        statement = statement.where(audit_event.c.actor == f"{_PREFIX}{filters.organiser_id.hex}")
    if filters.actions:
        statement = statement.where(_is_any(filters.actions))
    if filters.since is not None:
        statement = statement.where(audit_event.c.at >= filters.since)
    if filters.until is not None:
        statement = statement.where(audit_event.c.at < filters.until)
    return statement


def _is_any(actions: Collection[AuditAction]) -> ColumnElement[bool]:
    stored = audit_event.c.action
    known = stored.in_(sorted(actions))
    return (
        or_(known, stored.not_in(sorted(KNOWN_ACTIONS))) if AuditAction.OTHER in actions else known
    )


def _record(row: Any) -> AuditRecord:
    action = AuditAction.of(row.action)
    unknown = {"action": row.action} if action == AuditAction.OTHER else {}
    return AuditRecord(
        id=row.id,
        at=row.at,
        actor=row.actor,
        action=action,
        team_id=row.team_id,
        team_code=row.team_code,
        request_id=row.request_id,
        changes={**row.changes, **unknown},
        organiser_email=row.organiser_email,
        reason=row.reason,
        items=row._mapping["items"] or (),  # noqa: SLF001 - the row's public view, despite its name
    )
