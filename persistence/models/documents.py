"""Uploaded files."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from domain.documents import DocumentFormat, DocumentKind, DocumentReview
from persistence.models.base import IS_CURRENT, enum_text, utc


class Document(SQLModel, table=True):
    """An uploaded file. The row is written before the file, so that every stored file has one.

    `byte_size` and `sha256` describe the bytes that were sent. `team_id` is NULL until a team
    claims the document.
    """

    __table_args__ = (
        UniqueConstraint("storage_name", name="uq_document_storage_name"),
        CheckConstraint(
            "kind IN ('PASTOR_LETTER', 'PAYMENT_RECEIPT', 'GROUP_PHOTO',"
            " 'IDENTITY_PROOF', 'SUBSCRIPTION_CARD', 'PHOTO')",
            name="kind_known",
        ),
        CheckConstraint("format IN ('PNG', 'JPEG', 'PDF')", name="format_known"),
        CheckConstraint("folder IN ('pending', 'confirmed', 'rejected')", name="folder_known"),
        CheckConstraint(
            "review IN ('PENDING', 'ACCEPTED', 'REJECTED', 'SUPERSEDED')", name="review_known"
        ),
        CheckConstraint("(team_id IS NULL) = (claimed_at IS NULL)", name="claimed_by_a_team"),
        Index(
            "uq_document_team_kind",
            "team_id",
            "kind",
            unique=True,
            postgresql_where=text(f"player_id IS NULL AND {IS_CURRENT}"),
        ),
        Index(
            "uq_document_player_kind",
            "player_id",
            "kind",
            unique=True,
            postgresql_where=text(f"player_id IS NOT NULL AND {IS_CURRENT}"),
        ),
        Index("ix_document_team_id", "team_id"),
        Index("ix_document_unclaimed", "created_at", postgresql_where=text("team_id IS NULL")),
    )

    id: UUID = Field(primary_key=True)
    kind: DocumentKind = Field(sa_type=enum_text(DocumentKind))
    team_id: UUID | None = Field(default=None, foreign_key="team.id")
    player_id: UUID | None = Field(default=None, foreign_key="player.id")
    store: str = Field(sa_type=Text)
    storage_name: str = Field(sa_type=Text)
    folder: str = Field(sa_type=Text)
    format: DocumentFormat = Field(sa_type=enum_text(DocumentFormat))
    byte_size: int
    sha256: bytes = Field(sa_type=LargeBinary)
    review: DocumentReview = Field(sa_type=enum_text(DocumentReview))
    review_reason: str | None = Field(default=None, sa_type=Text)
    review_note: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = utc()
    stored_at: datetime | None = utc(nullable=True)
    claimed_at: datetime | None = utc(nullable=True)
    deleted_at: datetime | None = utc(nullable=True)
