"""The audit log, which is append-only."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, String, cast, func, literal, or_, select, text

from domain.audit import KNOWN_ACTIONS, AuditAction
from domain.auth.roles import CallerKind
from persistence.ids import new_id
from persistence.models import audit_event, decision, organiser, team
from persistence.pagination import KeysetOrder, Page, PageRequest, read_page
from persistence.repositories.base import Repository
from persistence.repositories.teams import references_team

_APPEND = text("""
    INSERT INTO audit_event (id, at, actor, action, team_id, request_id, changes)
    VALUES (:id, :at, :actor, :action, :team_id, :request_id, CAST(:changes AS jsonb))
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """An audit event with the decision that it records, if any.

    Once the team is erased, `team_code` and `reason` are None and `items` is empty. An action of
    another version of the service is OTHER, with the stored name as `changes["action"]`.
    `organiser_email` is the actor's, None for captains, the system and deleted organisers.
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
    """Conditions, joined by AND. `team` is an id or a code. `until` is exclusive."""

    team: str | None = None
    organiser_id: UUID | None = None
    actions: Collection[AuditAction] = ()
    since: datetime | None = None
    until: datetime | None = None


# Events of a team's history; `auditLog` pages through all of them.
MAX_TEAM_EVENTS = 100

_ACTOR_PREFIX = f"{CallerKind.ORGANISER}:"
_ORGANISER_HEX = func.replace(cast(organiser.c.id, String), "-", "")
_EVENTS = (
    select(
        audit_event,
        team.c.code.label("team_code"),
        organiser.c.email.label("organiser_email"),
        decision.c.reason,
        decision.c["items"],
    )
    .outerjoin(team, team.c.id == audit_event.c.team_id)
    .outerjoin(organiser, audit_event.c.actor == literal(_ACTOR_PREFIX) + _ORGANISER_HEX)
    .outerjoin(
        decision,
        (decision.c.team_id == audit_event.c.team_id)
        & (decision.c.at == audit_event.c.at)
        & (decision.c.event == audit_event.c.action),
    )
)
_NEWEST_FIRST = KeysetOrder(columns=(audit_event.c.id,), is_descending=True)


def _apply_filters(statement: Select[Any], filters: AuditFilter) -> Select[Any]:
    if filters.team is not None:
        statement = statement.where(references_team(audit_event.c.team_id, filters.team))
    if filters.organiser_id is not None:
        actor = f"{_ACTOR_PREFIX}{filters.organiser_id.hex}"
        statement = statement.where(audit_event.c.actor == actor)
    if filters.actions:
        statement = statement.where(_has_action(filters.actions))
    if filters.since is not None:
        statement = statement.where(audit_event.c.at >= filters.since)
    if filters.until is not None:
        statement = statement.where(audit_event.c.at < filters.until)
    return statement


def _has_action(actions: Collection[AuditAction]) -> ColumnElement[bool]:
    column = audit_event.c.action
    is_selected = column.in_(sorted(actions))
    if AuditAction.OTHER not in actions:
        return is_selected
    return or_(is_selected, column.not_in(sorted(KNOWN_ACTIONS)))


def _record(row: Any) -> AuditRecord:
    action = AuditAction.from_stored(row.action)
    stored_action = {"action": row.action} if action == AuditAction.OTHER else {}
    return AuditRecord(
        id=row.id,
        at=row.at,
        actor=row.actor,
        action=action,
        team_id=row.team_id,
        team_code=row.team_code,
        request_id=row.request_id,
        changes={**row.changes, **stored_action},
        organiser_email=row.organiser_email,
        reason=row.reason,
        items=row._mapping["items"] or (),  # noqa: SLF001 - the row's public view, despite its name
    )


class AuditRepository(Repository):
    """The audit log, which is append-only."""

    async def append(  # noqa: PLR0913 - one argument for each column
        self,
        *,
        at: datetime,
        actor: str,
        action: AuditAction,
        team_id: UUID | None,
        request_id: str,
        changes: Mapping[str, Any],
    ) -> None:
        """Append an event. `changes` maps names to old and new values, without personal data."""
        values = {
            "id": new_id(),
            "at": at,
            "actor": actor,
            "action": action.value,
            "team_id": team_id,
            "request_id": request_id,
            "changes": json.dumps(changes),
        }
        await self._execute(_APPEND, values)

    async def page(self, *, filters: AuditFilter, request: PageRequest) -> Page[AuditRecord]:
        """A page of events, newest first."""
        statement = _apply_filters(_EVENTS, filters)
        return await read_page(self._session, statement, _NEWEST_FIRST, request, _record)

    async def count(self, *, filters: AuditFilter) -> int:
        statement = _apply_filters(select(func.count()).select_from(audit_event), filters)
        return int(await self._session.scalar(statement) or 0)

    async def list_by_teams(self, team_ids: Collection[UUID]) -> list[AuditRecord]:
        """The newest MAX_TEAM_EVENTS of each team, oldest first."""
        rank = func.row_number().over(
            partition_by=audit_event.c.team_id, order_by=audit_event.c.id.desc()
        )
        ranked = (
            select(audit_event.c.id, rank.label("rank"))
            .where(audit_event.c.team_id.in_(team_ids))
            .subquery()
        )
        newest = select(ranked.c.id).where(ranked.c.rank <= MAX_TEAM_EVENTS)
        statement = _EVENTS.where(audit_event.c.id.in_(newest)).order_by(audit_event.c.id)
        return [_record(row) for row in await self._execute(statement)]

    async def find(self, event_id: UUID) -> AuditRecord | None:
        row = (await self._execute(_EVENTS.where(audit_event.c.id == event_id))).first()
        return _record(row) if row else None
