"""Tournaments, churches, teams and players."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from domain.registration.forms import PlayerRole
from domain.teams.status import TeamStatus
from persistence.models.base import IS_LIVE, enum_text, related, utc
from persistence.models.documents import Document


class Tournament(SQLModel, table=True):
    """A season. `taken` and `next_team_number` change only under the lock on the row.

    Organisers' changes increase `version`, registrations do not. `last_change` is an HMAC of the
    request that made this version.
    """

    __table_args__ = (
        CheckConstraint("taken >= 0", name="taken_not_negative"),
        CheckConstraint("capacity IS NULL OR capacity >= 0", name="capacity_not_negative"),
        CheckConstraint("squad_min BETWEEN 1 AND squad_max", name="squad_ordered"),
        CheckConstraint("next_team_number >= 1", name="next_team_number_positive"),
        CheckConstraint("version >= 1", name="version_positive"),
        Index(
            "uq_tournament_active",
            text("(is_active)"),
            unique=True,
            postgresql_where=text("is_active"),
        ),
    )

    id: UUID = Field(primary_key=True)
    is_active: bool
    name: str = Field(sa_type=Text)
    code_prefix: str = Field(sa_type=Text)
    venue: str | None = Field(default=None, sa_type=Text)
    time_zone: str = Field(sa_type=Text)
    opens_at: datetime | None = utc(nullable=True)
    closes_at: datetime | None = utc(nullable=True)
    capacity: int | None
    teams_per_church: int | None
    squad_min: int
    squad_max: int
    fee_amount: int | None
    fee_currency: str | None = Field(default=None, sa_type=Text)
    upi_id: str | None = Field(default=None, sa_type=Text)
    upi_payee: str | None = Field(default=None, sa_type=Text)
    required_documents: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    consent_version: str | None = Field(default=None, sa_type=Text)
    taken: int = Field(sa_column_kwargs={"server_default": text("0")})
    next_team_number: int = Field(sa_column_kwargs={"server_default": text("1")})
    created_at: datetime = utc()
    version: int = Field(default=1, sa_column_kwargs={"server_default": text("1")})
    last_change: bytes | None = Field(default=None, sa_type=LargeBinary)


class Church(SQLModel, table=True):
    """A church in one season. `taken` changes only under the lock on the row.

    A trigger rejects a new church whose name is an alias of another: the two were merged while the
    registration waited. Its error is retryable, and the retry finds the remaining church.
    """

    __table_args__ = (
        UniqueConstraint("tournament_id", "normalized_name", name="uq_church_normalized_name"),
        CheckConstraint("taken >= 0", name="taken_not_negative"),
        Index("ix_church_name", "tournament_id", "name", "id"),
    )

    id: UUID = Field(primary_key=True)
    tournament_id: UUID = Field(foreign_key="tournament.id")
    name: str = Field(sa_type=Text)
    normalized_name: str = Field(sa_type=Text)
    taken: int
    created_at: datetime = utc()
    tournament: Tournament = related()


class ChurchAlias(SQLModel, table=True):
    """Another normalised name of a church."""

    __tablename__ = "church_alias"

    tournament_id: UUID = Field(primary_key=True, foreign_key="tournament.id")
    normalized_name: str = Field(primary_key=True, sa_type=Text)
    church_id: UUID = Field(foreign_key="church.id", index=True)


class Team(SQLModel, table=True):
    """A team. `next_position` is the position of the next new player; positions are not reused.

    `last_change` is an HMAC of the request that made this version, NULL if unknown.
    """

    __table_args__ = (
        UniqueConstraint("code", name="uq_team_code"),
        Index(
            "uq_team_live_captain_email",
            "tournament_id",
            "captain_email",
            unique=True,
            postgresql_where=IS_LIVE,
        ),
        Index(
            "uq_team_live_captain_phone",
            "tournament_id",
            "captain_phone",
            unique=True,
            postgresql_where=IS_LIVE,
        ),
        Index(
            "uq_team_live_name",
            "church_id",
            "normalized_name",
            unique=True,
            postgresql_where=IS_LIVE,
        ),
        CheckConstraint("version >= 1", name="version_positive"),
        CheckConstraint(
            "status IN ('PENDING', 'CHANGES_REQUESTED', 'CONFIRMED', 'REJECTED', 'WITHDRAWN')",
            name="status_known",
        ),
        # The orders of pages of teams.
        Index("ix_team_code_length", "tournament_id", text("length(code)"), "code"),
        Index("ix_team_registered_at", "tournament_id", "registered_at", "id"),
        Index("ix_team_normalized_name", "tournament_id", "normalized_name", "id"),
        Index("ix_team_church_id", "church_id", text("length(code)"), "code"),
    )

    id: UUID = Field(primary_key=True)
    tournament_id: UUID = Field(foreign_key="tournament.id")
    church_id: UUID = Field(foreign_key="church.id")
    code: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    normalized_name: str = Field(sa_type=Text)
    status: TeamStatus = Field(sa_type=enum_text(TeamStatus))
    version: int
    captain_name: str = Field(sa_type=Text)
    captain_phone: str = Field(sa_type=Text)
    captain_whatsapp: str = Field(sa_type=Text)
    captain_email: str = Field(sa_type=Text)
    vice_captain_name: str = Field(sa_type=Text)
    vice_captain_phone: str = Field(sa_type=Text)
    vice_captain_whatsapp: str = Field(sa_type=Text)
    vice_captain_email: str = Field(sa_type=Text)
    consent_version: str | None = Field(default=None, sa_type=Text)
    consented_at: datetime | None = utc(nullable=True)
    locale: str | None = Field(default=None, sa_type=Text)
    manage_generation: int
    next_position: int
    registered_at: datetime = utc()
    updated_at: datetime = utc()
    last_change: bytes | None = Field(default=None, sa_type=LargeBinary)
    tournament: Tournament = related()
    church: Church = related()
    players: list["Player"] = related(order_by="Player.position")
    documents: list[Document] = related(order_by="(Document.created_at, Document.id)")


class Player(SQLModel, table=True):
    __table_args__ = (
        UniqueConstraint("team_id", "position", name="uq_player_position"),
        UniqueConstraint("team_id", "jersey_number", name="uq_player_jersey_number"),
        CheckConstraint("position >= 1", name="position_positive"),
        CheckConstraint("jersey_number BETWEEN 0 AND 999", name="jersey_number_range"),
        CheckConstraint(
            "role IN ('BATSMAN', 'BOWLER', 'ALL_ROUNDER', 'WICKET_KEEPER')", name="role_known"
        ),
        Index(
            "ix_player_person",
            "normalized_name",
            "date_of_birth",
            postgresql_where=text("date_of_birth IS NOT NULL"),
        ),
    )

    id: UUID = Field(primary_key=True)
    team_id: UUID = Field(foreign_key="team.id")
    position: int
    name: str = Field(sa_type=Text)
    normalized_name: str = Field(sa_type=Text)
    role: PlayerRole | None = Field(default=None, sa_type=enum_text(PlayerRole))
    jersey_number: int | None
    date_of_birth: date | None
