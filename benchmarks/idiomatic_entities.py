"""SQLModel entities with relationships, for `idiomatic.py`."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Column, DateTime, LargeBinary
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Relationship, SQLModel

UTC_TIME: Any = DateTime(timezone=True)


def now() -> datetime:
    return datetime.now(UTC)


class Tournament(SQLModel, table=True):
    id: UUID = Field(primary_key=True)
    is_active: bool
    code_prefix: str
    taken: int
    next_team_number: int


class Church(SQLModel, table=True):
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    tournament_id: UUID = Field(foreign_key="tournament.id")
    name: str
    normalized_name: str
    taken: int
    created_at: datetime = Field(default_factory=now, sa_type=UTC_TIME)


class Player(SQLModel, table=True):
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    team_id: UUID | None = Field(default=None, foreign_key="team.id")
    position: int
    name: str
    normalized_name: str
    role: str | None
    jersey_number: int | None
    date_of_birth: date | None


class Team(SQLModel, table=True):
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    tournament_id: UUID = Field(foreign_key="tournament.id")
    church_id: UUID = Field(foreign_key="church.id")
    code: str
    name: str
    normalized_name: str
    status: str = "PENDING"
    version: int = 1
    captain_name: str
    captain_phone: str
    captain_whatsapp: str
    captain_email: str
    vice_captain_name: str
    vice_captain_phone: str
    vice_captain_whatsapp: str
    vice_captain_email: str
    manage_generation: int = 1
    next_position: int
    registered_at: datetime = Field(default_factory=now, sa_type=UTC_TIME)
    updated_at: datetime = Field(default_factory=now, sa_type=UTC_TIME)
    church: Church = Relationship()
    players: list[Player] = Relationship(sa_relationship_kwargs={"order_by": "Player.position"})


class IdempotencyRecord(SQLModel, table=True):
    __tablename__ = "idempotency_record"

    operation: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: bytes = Field(sa_type=LargeBinary)
    team_id: UUID
    expires_at: datetime = Field(sa_type=UTC_TIME)


class AuditEvent(SQLModel, table=True):
    __tablename__ = "audit_event"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    at: datetime = Field(default_factory=now, sa_type=UTC_TIME)
    actor: str
    action: str
    team_id: UUID = Field(foreign_key="team.id")
    request_id: str
    changes: dict[str, Any] = Field(sa_column=Column(JSONB))


class OutboxMessage(SQLModel, table=True):
    __tablename__ = "outbox_message"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    kind: str
    team_id: UUID = Field(foreign_key="team.id")
    payload: dict[str, Any] = Field(sa_column=Column(JSONB))
    created_at: datetime = Field(default_factory=now, sa_type=UTC_TIME)
    due_at: datetime = Field(default_factory=now, sa_type=UTC_TIME)
    attempts: int = 0
