"""What the outbox owes and has done, for organisers to read."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.deliveries import KNOWN_KINDS, DeliveryKind
from persistence.pagination import KeysetOrder, Page, PageRequest, read_page
from persistence.repositories.teams import references_team
from persistence.tables import outbox_message, team


class DeliveryStatus(StrEnum):
    OWED = "OWED"
    DELIVERED = "DELIVERED"
    DEAD = "DEAD"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """`settled_at` is when it was delivered or given up; `failure` names the last error."""

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
    """All that is given has to hold. `team` is its id or code."""

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


async def page(
    connection: AsyncConnection, *, wanted: DeliveryFilter, part: PageRequest
) -> Page[DeliveryRecord]:
    """The newest first."""
    return await read_page(connection, _matching(_DELIVERIES, wanted), _NEWEST_FIRST, part, _record)


async def count(connection: AsyncConnection, *, wanted: DeliveryFilter) -> int:
    statement = _matching(select(func.count()).select_from(outbox_message), wanted)
    return int(await connection.scalar(statement) or 0)


async def find(connection: AsyncConnection, message_id: UUID) -> DeliveryRecord | None:
    row = (await connection.execute(_DELIVERIES.where(_OUTBOX.id == message_id))).one_or_none()
    return _record(row) if row else None


def _matching(statement: Select[Any], wanted: DeliveryFilter) -> Select[Any]:
    if wanted.statuses:
        statement = statement.where(or_(*(_CONDITIONS[one] for one in wanted.statuses)))
    if wanted.kinds:
        statement = statement.where(_is_any(wanted.kinds))
    if wanted.team is not None:
        statement = statement.where(references_team(_OUTBOX.team_id, wanted.team))
    return statement


def _is_any(kinds: Collection[DeliveryKind]) -> ColumnElement[bool]:
    known = _OUTBOX.kind.in_(sorted(kinds))
    is_other = _OUTBOX.kind.not_in(sorted(KNOWN_KINDS))
    return or_(known, is_other) if DeliveryKind.OTHER in kinds else known


def _record(row: Any) -> DeliveryRecord:
    status = DeliveryStatus.OWED
    if row.finished_at is not None:
        status = DeliveryStatus.DELIVERED
    elif row.dead_at is not None:
        status = DeliveryStatus.DEAD
    return DeliveryRecord(
        id=row.id,
        kind=DeliveryKind.of(row.kind),
        status=status,
        team_code=row.team_code,
        attempts=row.attempts,
        created_at=row.created_at,
        due_at=row.due_at if status == DeliveryStatus.OWED else None,
        settled_at=row.finished_at or row.dead_at,
        failure=row.failure,
    )
