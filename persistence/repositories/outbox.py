"""Outbox messages: leased by a worker, then finished, retried or dead-lettered.

A worker's result is accepted only while its lease is the newest one of the message, so that a
worker whose lease has expired changes nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    text,
    update,
)
from sqlmodel import col
from sqlmodel import select as select_models

from domain.deliveries import KNOWN_KINDS, DeliveryKind
from persistence.ids import new_id
from persistence.models import OutboxMessage, Team, outbox_message
from persistence.pagination import KeysetOrder, Page, PageRequest, read_page
from persistence.repositories.base import Repository
from persistence.repositories.teams import references_team

CHANNEL = "outbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A leased message. `attempts` includes the present one."""

    id: UUID
    kind: str
    team_id: UUID | None
    payload: Mapping[str, Any]
    attempts: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Undelivered messages by kind: of handled kinds, of other kinds, and dead letters.

    `late` is the longest time for which a message of a handled kind has been due.
    """

    pending: Mapping[str, int]
    unhandled: Mapping[str, int]
    dead: Mapping[str, int]
    late: timedelta


_IS_PENDING = and_(col(OutboxMessage.finished_at).is_(None), col(OutboxMessage.dead_at).is_(None))

# SQL: the rows are locked, updated and returned in the order of their former times.
_LEASE = text("""
    WITH due AS MATERIALIZED (
        SELECT id, due_at FROM outbox_message
        WHERE finished_at IS NULL AND dead_at IS NULL
          AND kind = ANY(CAST(:kinds AS text[])) AND due_at <= :now
        ORDER BY due_at, id LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ), leased AS (
        UPDATE outbox_message m SET due_at = :leased_until, attempts = m.attempts + 1
        FROM due WHERE m.id = due.id
        RETURNING m.id, m.kind, m.team_id, m.payload, m.attempts, m.created_at
    )
    SELECT leased.* FROM leased JOIN due USING (id) ORDER BY due.due_at, id
""")

# Attempts move `due_at`: after the first one, a message counts as due since it was written.
_FIRST_DUE_AT = case(
    (col(OutboxMessage.attempts) == 0, col(OutboxMessage.due_at)),
    else_=col(OutboxMessage.created_at),
)
_BACKLOG = (
    select(
        col(OutboxMessage.kind),
        func.count().filter(_IS_PENDING).label("pending"),
        func.count(col(OutboxMessage.dead_at)).label("dead"),
        func.min(_FIRST_DUE_AT).filter(_IS_PENDING).label("first_due_at"),
    )
    .where(col(OutboxMessage.finished_at).is_(None))
    .group_by(col(OutboxMessage.kind))
)


class DeliveryStatus(StrEnum):
    OWED = "OWED"
    DELIVERED = "DELIVERED"
    DEAD = "DEAD"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """An outbox message as organisers see it.

    `settled_at` is the time of delivery or of giving up; `failure` names the last error.
    """

    id: UUID
    kind: DeliveryKind
    status: DeliveryStatus
    team_code: str | None
    attempts: int
    created_at: datetime
    due_at: datetime | None
    settled_at: datetime | None
    failure: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Conditions, joined by AND. `team` is an id or a code."""

    statuses: Collection[DeliveryStatus] = ()
    kinds: Collection[DeliveryKind] = ()
    team: str | None = None


_CONDITIONS: dict[DeliveryStatus, ColumnElement[bool]] = {
    DeliveryStatus.OWED: _IS_PENDING,
    DeliveryStatus.DELIVERED: col(OutboxMessage.finished_at).is_not(None),
    DeliveryStatus.DEAD: col(OutboxMessage.dead_at).is_not(None),
}
_NEWEST_FIRST = KeysetOrder(columns=(outbox_message.c.id,), is_descending=True)
_DELIVERIES: Select[Any] = (
    select(OutboxMessage)
    .add_columns(col(Team.code).label("team_code"))
    .outerjoin(Team, col(Team.id) == col(OutboxMessage.team_id))
)


def _apply_filters(statement: Select[Any], filters: DeliveryFilter) -> Select[Any]:
    if filters.statuses:
        statement = statement.where(or_(*(_CONDITIONS[status] for status in filters.statuses)))
    if filters.kinds:
        statement = statement.where(_has_kind(filters.kinds))
    if filters.team is not None:
        statement = statement.where(references_team(outbox_message.c.team_id, filters.team))
    return statement


def _has_kind(kinds: Collection[DeliveryKind]) -> ColumnElement[bool]:
    is_selected = col(OutboxMessage.kind).in_(sorted(kinds))
    if DeliveryKind.OTHER not in kinds:
        return is_selected
    return or_(is_selected, col(OutboxMessage.kind).not_in(sorted(KNOWN_KINDS)))


def _record(row: Any) -> DeliveryRecord:
    message: OutboxMessage = row.OutboxMessage
    status = DeliveryStatus.OWED
    if message.finished_at is not None:
        status = DeliveryStatus.DELIVERED
    elif message.dead_at is not None:
        status = DeliveryStatus.DEAD
    return DeliveryRecord(
        id=message.id,
        kind=DeliveryKind.from_stored(message.kind),
        status=status,
        team_code=row.team_code,
        attempts=message.attempts,
        created_at=message.created_at,
        due_at=message.due_at if status == DeliveryStatus.OWED else None,
        settled_at=message.finished_at or message.dead_at,
        failure=message.failure,
    )


class OutboxRepository(Repository):
    """Messages to outside services."""

    async def add(
        self,
        *,
        kind: DeliveryKind,
        payload: Mapping[str, Any],
        team_id: UUID | None = None,
        now: datetime,
        due_at: datetime | None = None,
    ) -> UUID:
        """Add a message that is due at `due_at`, or at once. Returns its id."""
        message = OutboxMessage(
            id=new_id(),
            kind=str(kind),
            team_id=team_id,
            payload=dict(payload),
            created_at=now,
            due_at=now if due_at is None else due_at,
        )
        self._session.add(message)
        return message.id

    async def lease(
        self,
        *,
        kinds: Collection[str],
        now: datetime,
        duration: timedelta,
        limit: int,
    ) -> list[Message]:
        """Lease up to `limit` due messages, the longest due first, for `duration`."""
        values = {"kinds": list(kinds), "now": now, "leased_until": now + duration, "limit": limit}
        rows = await self._session.exec(_LEASE, params=values)  # type: ignore[call-overload]
        return [Message(**row._asdict()) for row in rows]

    async def lock_started(self, team_id: UUID, *, kind: str) -> list[UUID]:
        """Messages of a team that a worker has leased and not finished.

        Locks all its messages, so that none is leased until the commit.
        """
        statement = (
            select_models(OutboxMessage)
            .where(OutboxMessage.team_id == team_id, OutboxMessage.kind == kind, _IS_PENDING)
            .order_by(col(OutboxMessage.id))
            .with_for_update()
        )
        messages = await self._session.exec(statement)
        return [message.id for message in messages if message.attempts > 0]

    async def is_any_pending(self, message_ids: Collection[UUID]) -> bool:
        is_pending = exists().where(col(OutboxMessage.id).in_(message_ids), _IS_PENDING)
        return bool(await self._session.scalar(select(is_pending)))

    async def finish(self, message: Message, *, now: datetime) -> bool:
        """Mark a message as delivered. False when its lease is not the newest, or it is done."""
        return await self._complete(message, finished_at=now, failure=None)

    async def fail(self, message: Message, *, failure: str, due_at: datetime) -> bool:
        """Schedule a retry. `failure` is an error name without personal data. False as `finish`."""
        return await self._complete(message, due_at=due_at, failure=failure)

    async def dead_letter(self, message: Message, *, failure: str, now: datetime) -> bool:
        """Give up a message: it is not leased again. False as `finish`."""
        return await self._complete(message, dead_at=now, failure=failure)

    async def delete_finished(self, *, before: datetime, limit: int) -> int:
        """Delete up to `limit` delivered messages, the oldest first. Returns their number."""
        finished = (
            select(col(OutboxMessage.id))
            .where(col(OutboxMessage.finished_at) < before)
            .order_by(col(OutboxMessage.id))
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        statement = delete(OutboxMessage).where(col(OutboxMessage.id).in_(finished))
        return (await self._session.exec(statement)).rowcount

    async def next_due(self, *, kinds: Collection[str]) -> datetime | None:
        """The time at which the next message is due or the next lease ends; None without any."""
        statement = select(func.min(col(OutboxMessage.due_at)))
        is_handled = col(OutboxMessage.kind).in_(kinds)
        due: datetime | None = await self._session.scalar(statement.where(_IS_PENDING, is_handled))
        return due

    async def backlog(self, *, kinds: Collection[str], now: datetime) -> Backlog:
        """Count undelivered messages. Kinds outside `kinds` wait for a later version."""
        rows = (await self._session.exec(_BACKLOG)).all()  # type: ignore[call-overload]
        due_times = [row.first_due_at for row in rows if row.pending and row.kind in kinds]
        return Backlog(
            pending={row.kind: row.pending for row in rows if row.kind in kinds},
            unhandled={row.kind: row.pending for row in rows if row.kind not in kinds},
            dead={row.kind: row.dead for row in rows},
            late=max(timedelta(0), now - min(due_times)) if due_times else timedelta(0),
        )

    async def _complete(self, message: Message, **values: object) -> bool:
        is_leased = and_(
            col(OutboxMessage.id) == message.id,
            col(OutboxMessage.attempts) == message.attempts,
            _IS_PENDING,
        )
        statement = update(OutboxMessage).where(is_leased).values(values)
        return (await self._session.exec(statement)).rowcount > 0

    async def page(self, *, filters: DeliveryFilter, request: PageRequest) -> Page[DeliveryRecord]:
        """A page of deliveries, newest first."""
        return await read_page(
            self._session, _apply_filters(_DELIVERIES, filters), _NEWEST_FIRST, request, _record
        )

    async def count(self, *, filters: DeliveryFilter) -> int:
        statement = _apply_filters(select(func.count()).select_from(OutboxMessage), filters)
        return int(await self._session.scalar(statement) or 0)

    async def find(self, message_id: UUID) -> DeliveryRecord | None:
        statement = _DELIVERIES.where(col(OutboxMessage.id) == message_id)
        row = (await self._session.exec(statement)).one_or_none()  # type: ignore[call-overload]
        return _record(row) if row else None
