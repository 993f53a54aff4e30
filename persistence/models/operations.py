"""Idempotency records, the audit log, the outbox and decisions."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from persistence.models.base import UTC_TIME, utc

# The SQL condition of messages that are not delivered and not given up.
IS_PENDING = text("finished_at IS NULL AND dead_at IS NULL")


class IdempotencyRecord(SQLModel, table=True):
    """The use of an idempotency key.

    `team_id` is the id of the created object: a team, an API token or an invitation. It is no
    foreign key, since the record outlives the object, so that a repeat never creates it again. An
    organiser's keys begin with the organiser's id.
    """

    __tablename__ = "idempotency_record"

    operation: str = Field(primary_key=True, sa_type=Text)
    key: str = Field(primary_key=True, sa_type=Text)
    fingerprint: bytes = Field(sa_type=LargeBinary)
    team_id: UUID
    expires_at: datetime = Field(sa_type=UTC_TIME, index=True)


class AuditEvent(SQLModel, table=True):
    """An entry of the audit log. Append-only: a trigger rejects updates and deletes."""

    __tablename__ = "audit_event"
    __table_args__ = (Index("ix_audit_event_team_id", "team_id", "id"),)

    id: UUID = Field(primary_key=True)
    at: datetime = utc()
    actor: str = Field(sa_type=Text)
    action: str = Field(sa_type=Text)
    team_id: UUID | None
    request_id: str = Field(sa_type=Text)
    changes: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))


class OutboxMessage(SQLModel, table=True):
    """A side effect outside the database, written in the transaction of its cause, executed later.

    A trigger notifies the channel `outbox` of every insert. While a process is executing it,
    `due_at` is the end of that process's lease.
    """

    __tablename__ = "outbox_message"
    __table_args__ = (
        Index("ix_outbox_message_pending", "kind", "due_at", postgresql_where=IS_PENDING),
        CheckConstraint("attempts >= 0", name="attempts_not_negative"),
    )

    id: UUID = Field(primary_key=True)
    kind: str = Field(sa_type=Text)
    team_id: UUID | None = Field(
        default=None, sa_column=Column(ForeignKey("team.id"), index=True, nullable=True)
    )
    payload: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = utc()
    due_at: datetime = utc()
    attempts: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    finished_at: datetime | None = utc(nullable=True)
    dead_at: datetime | None = utc(nullable=True)
    failure: str | None = Field(default=None, sa_type=Text)


class Decision(SQLModel, table=True):
    """A decision about a team, with people's own words, which are erased with the team.

    `event` is the action of the audit event written with it.
    """

    __table_args__ = (Index("ix_decision_team_id", "team_id", "id"),)

    id: UUID = Field(primary_key=True)
    team_id: UUID = Field(foreign_key="team.id")
    at: datetime = utc()
    actor: str = Field(sa_type=Text)
    event: str = Field(sa_type=Text)
    reason: str | None = Field(default=None, sa_type=Text)
    items: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False))
