"""Outbox messages: leased by a worker, then finished, retried or dead-lettered.

A worker's result is accepted only while its lease is the newest one of the message, so that a
worker whose lease has expired changes nothing.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, TextClause, func, or_, select, text

from domain.deliveries import KNOWN_KINDS, DeliveryKind
from persistence.ids import new_id
from persistence.models import outbox_message, team
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

    owed: Mapping[str, int]
    unhandled: Mapping[str, int]
    dead: Mapping[str, int]
    late: timedelta


_ADD = text("""
    INSERT INTO outbox_message (id, kind, team_id, payload, created_at, due_at)
    VALUES (:id, :kind, :team_id, CAST(:payload AS jsonb), :now, :due_at)
""")

_IS_OWED = "finished_at IS NULL AND dead_at IS NULL"
_IS_HANDLED = f"{_IS_OWED} AND kind = ANY(CAST(:kinds AS text[]))"

_LEASE = text(f"""
    WITH due AS MATERIALIZED (
        SELECT id, due_at FROM outbox_message
        WHERE {_IS_HANDLED} AND due_at <= :now
        ORDER BY due_at, id LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ), leased AS (
        UPDATE outbox_message m SET due_at = :leased_until, attempts = m.attempts + 1
        FROM due WHERE m.id = due.id
        RETURNING m.id, m.kind, m.team_id, m.payload, m.attempts, m.created_at
    )
    SELECT leased.* FROM leased JOIN due USING (id) ORDER BY due.due_at, id
""")  # noqa: S608 - only constants are interpolated

# Attempts move `due_at`: after the first one, a message counts as due since it was written.
_BACKLOG = text(f"""
    SELECT kind, count(*) FILTER (WHERE {_IS_OWED}) AS owed,
           count(*) FILTER (WHERE dead_at IS NOT NULL) AS dead,
           min(CASE WHEN attempts = 0 THEN due_at ELSE created_at END) FILTER (WHERE {_IS_OWED})
               AS first_due_at
    FROM outbox_message WHERE finished_at IS NULL GROUP BY kind
""")  # noqa: S608 - only constants are interpolated

_NEXT_DUE = text(f"SELECT min(due_at) FROM outbox_message WHERE {_IS_HANDLED}")  # noqa: S608


_LOCK = text(f"""
    SELECT id, attempts FROM outbox_message
    WHERE team_id = :team_id AND kind = :kind AND {_IS_OWED} ORDER BY id FOR UPDATE
""")  # noqa: S608 - only constants are interpolated

_ANY_OWED = text(f"""
    SELECT EXISTS (SELECT FROM outbox_message
                   WHERE id = ANY(CAST(:ids AS uuid[])) AND {_IS_OWED})
""")  # noqa: S608 - only constants are interpolated


def _completion(change: str) -> TextClause:
    where = f"id = :id AND attempts = :attempts AND {_IS_OWED}"
    return text(f"UPDATE outbox_message SET {change} WHERE {where}")  # noqa: S608


_FINISH = _completion("finished_at = :now, failure = NULL")
_FAIL = _completion("due_at = :due_at, failure = :failure")
_DEAD_LETTER = _completion("dead_at = :now, failure = :failure")


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


_OUTBOX = outbox_message.c
_CONDITIONS: dict[DeliveryStatus, ColumnElement[bool]] = {
    DeliveryStatus.OWED: _OUTBOX.finished_at.is_(None) & _OUTBOX.dead_at.is_(None),
    DeliveryStatus.DELIVERED: _OUTBOX.finished_at.is_not(None),
    DeliveryStatus.DEAD: _OUTBOX.dead_at.is_not(None),
}
_NEWEST_FIRST = KeysetOrder(columns=(_OUTBOX.id,), is_descending=True)
_DELIVERIES = select(
    _OUTBOX.id,
    _OUTBOX.kind,
    _OUTBOX.attempts,
    _OUTBOX.created_at,
    _OUTBOX.due_at,
    _OUTBOX.finished_at,
    _OUTBOX.dead_at,
    _OUTBOX.failure,
    team.c.code.label("team_code"),
).outerjoin(team, team.c.id == _OUTBOX.team_id)


def _apply_filters(statement: Select[Any], filters: DeliveryFilter) -> Select[Any]:
    if filters.statuses:
        statement = statement.where(or_(*(_CONDITIONS[status] for status in filters.statuses)))
    if filters.kinds:
        statement = statement.where(_has_kind(filters.kinds))
    if filters.team is not None:
        statement = statement.where(references_team(_OUTBOX.team_id, filters.team))
    return statement


def _has_kind(kinds: Collection[DeliveryKind]) -> ColumnElement[bool]:
    is_selected = _OUTBOX.kind.in_(sorted(kinds))
    if DeliveryKind.OTHER not in kinds:
        return is_selected
    return or_(is_selected, _OUTBOX.kind.not_in(sorted(KNOWN_KINDS)))


def _record(row: Any) -> DeliveryRecord:
    status = DeliveryStatus.OWED
    if row.finished_at is not None:
        status = DeliveryStatus.DELIVERED
    elif row.dead_at is not None:
        status = DeliveryStatus.DEAD
    return DeliveryRecord(
        id=row.id,
        kind=DeliveryKind.from_stored(row.kind),
        status=status,
        team_code=row.team_code,
        attempts=row.attempts,
        created_at=row.created_at,
        due_at=row.due_at if status == DeliveryStatus.OWED else None,
        settled_at=row.finished_at or row.dead_at,
        failure=row.failure,
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
        message_id = new_id()
        values = {
            "id": message_id,
            "kind": str(kind),
            "team_id": team_id,
            "payload": json.dumps(payload),
            "now": now,
            "due_at": now if due_at is None else due_at,
        }
        await self._execute(_ADD, values)
        return message_id

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
        rows = await self._execute(_LEASE, values)
        return [Message(**row._asdict()) for row in rows]

    async def lock_started(self, team_id: UUID, *, kind: str) -> list[UUID]:
        """Messages of a team that a worker has leased and not finished.

        Locks all its messages, so that none is leased until the commit.
        """
        rows = await self._execute(_LOCK, {"team_id": team_id, "kind": kind})
        return [row.id for row in rows if row.attempts > 0]

    async def is_any_owed(self, message_ids: Collection[UUID]) -> bool:
        owed: bool = await self._session.scalar(_ANY_OWED, {"ids": list(message_ids)})
        return owed

    async def finish(self, message: Message, *, now: datetime) -> bool:
        """Mark a message as delivered. False when its lease is not the newest, or it is done."""
        return await self._complete(_FINISH, message, now=now)

    async def fail(self, message: Message, *, failure: str, due_at: datetime) -> bool:
        """Schedule a retry. `failure` is an error name without personal data. False as `finish`."""
        return await self._complete(_FAIL, message, failure=failure, due_at=due_at)

    async def dead_letter(self, message: Message, *, failure: str, now: datetime) -> bool:
        """Give up a message: it is not leased again. False as `finish`."""
        return await self._complete(_DEAD_LETTER, message, failure=failure, now=now)

    async def next_due(self, *, kinds: Collection[str]) -> datetime | None:
        """The time at which the next message is due or the next lease ends; None without any."""
        due: datetime | None = await self._session.scalar(_NEXT_DUE, {"kinds": list(kinds)})
        return due

    async def backlog(self, *, kinds: Collection[str], now: datetime) -> Backlog:
        """Count undelivered messages. Kinds outside `kinds` wait for a later version."""
        rows = (await self._execute(_BACKLOG)).all()
        due_times = [row.first_due_at for row in rows if row.owed and row.kind in kinds]
        return Backlog(
            owed={row.kind: row.owed for row in rows if row.kind in kinds},
            unhandled={row.kind: row.owed for row in rows if row.kind not in kinds},
            dead={row.kind: row.dead for row in rows},
            late=max(timedelta(0), now - min(due_times)) if due_times else timedelta(0),
        )

    async def _complete(self, statement: TextClause, message: Message, **values: object) -> bool:
        lease_key = {"id": message.id, "attempts": message.attempts}
        return bool(await self._count_rows(statement, lease_key | values))

    async def page(self, *, filters: DeliveryFilter, request: PageRequest) -> Page[DeliveryRecord]:
        """A page of deliveries, newest first."""
        return await read_page(
            self._session, _apply_filters(_DELIVERIES, filters), _NEWEST_FIRST, request, _record
        )

    async def count(self, *, filters: DeliveryFilter) -> int:
        statement = _apply_filters(select(func.count()).select_from(outbox_message), filters)
        return int(await self._session.scalar(statement) or 0)

    async def find(self, message_id: UUID) -> DeliveryRecord | None:
        row = (await self._execute(_DELIVERIES.where(_OUTBOX.id == message_id))).one_or_none()
        return _record(row) if row else None
