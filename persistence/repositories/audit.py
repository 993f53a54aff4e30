"""The audit log, which is append-only."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, String, cast, func, literal, or_, select
from sqlmodel import col

from domain.audit import KNOWN_ACTIONS, AuditAction
from domain.auth.roles import CallerKind
from persistence.ids import new_id
from persistence.models import AuditEvent, Decision, Organiser, Team
from persistence.pagination import KeysetOrder, Page, PageRequest, read_page
from persistence.repositories.base import Repository
from persistence.repositories.teams import references_team


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
_ORGANISER_HEX = func.replace(cast(col(Organiser.id), String), "-", "")
_EVENTS: Any = (
    select(AuditEvent, col(Team.code), col(Organiser.email), Decision)
    .outerjoin(Team, col(Team.id) == AuditEvent.team_id)
    .outerjoin(Organiser, col(AuditEvent.actor) == literal(_ACTOR_PREFIX) + _ORGANISER_HEX)
    .outerjoin(
        Decision,
        (col(Decision.team_id) == AuditEvent.team_id)
        & (col(Decision.at) == AuditEvent.at)
        & (col(Decision.event) == AuditEvent.action),
    )
)
_NEWEST_FIRST = KeysetOrder(columns=(col(AuditEvent.id),), is_descending=True)


def _apply_filters(statement: Select[Any], filters: AuditFilter) -> Select[Any]:
    if filters.team is not None:
        statement = statement.where(references_team(col(AuditEvent.team_id), filters.team))
    if filters.organiser_id is not None:
        actor = f"{_ACTOR_PREFIX}{filters.organiser_id.hex}"
        statement = statement.where(col(AuditEvent.actor) == actor)
    if filters.actions:
        statement = statement.where(_has_action(filters.actions))
    if filters.since is not None:
        statement = statement.where(col(AuditEvent.at) >= filters.since)
    if filters.until is not None:
        statement = statement.where(col(AuditEvent.at) < filters.until)
    return statement


def _has_action(actions: Collection[AuditAction]) -> ColumnElement[bool]:
    column = col(AuditEvent.action)
    is_selected = column.in_(sorted(actions))
    if AuditAction.OTHER not in actions:
        return is_selected
    return or_(is_selected, column.not_in(sorted(KNOWN_ACTIONS)))


def _record(row: Any) -> AuditRecord:
    """Build from a row of `_EVENTS`."""
    event: AuditEvent = row.AuditEvent
    decision: Decision | None = row.Decision
    action = AuditAction.from_stored(event.action)
    stored_action = {"action": event.action} if action == AuditAction.OTHER else {}
    return AuditRecord(
        id=event.id,
        at=event.at,
        actor=event.actor,
        action=action,
        team_id=event.team_id,
        team_code=row.code,
        request_id=event.request_id,
        changes={**event.changes, **stored_action},
        organiser_email=row.email,
        reason=decision.reason if decision else None,
        items=decision.items if decision else (),
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
        event = AuditEvent(
            id=new_id(),
            at=at,
            actor=actor,
            action=action.value,
            team_id=team_id,
            request_id=request_id,
            changes=dict(changes),
        )
        self._session.add(event)
        await self._session.flush()

    async def page(self, *, filters: AuditFilter, request: PageRequest) -> Page[AuditRecord]:
        """A page of events, newest first."""
        statement = _apply_filters(_EVENTS, filters)
        return await read_page(self._session, statement, _NEWEST_FIRST, request, _record)

    async def count(self, *, filters: AuditFilter) -> int:
        statement = _apply_filters(select(func.count()).select_from(AuditEvent), filters)
        return int(await self._session.scalar(statement) or 0)

    async def list_by_teams(self, team_ids: Collection[UUID]) -> list[AuditRecord]:
        """The newest MAX_TEAM_EVENTS of each team, oldest first."""
        rank = func.row_number().over(
            partition_by=col(AuditEvent.team_id), order_by=col(AuditEvent.id).desc()
        )
        ranked = (
            select(col(AuditEvent.id), rank.label("rank"))
            .where(col(AuditEvent.team_id).in_(team_ids))
            .subquery()
        )
        newest = select(ranked.c.id).where(ranked.c.rank <= MAX_TEAM_EVENTS)
        statement = _EVENTS.where(col(AuditEvent.id).in_(newest)).order_by(col(AuditEvent.id))
        return [_record(row) for row in await self._session.exec(statement)]

    async def find(self, event_id: UUID) -> AuditRecord | None:
        row = (await self._session.exec(_EVENTS.where(col(AuditEvent.id) == event_id))).first()
        return _record(row) if row else None
