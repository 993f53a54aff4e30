"""Organisers and their credentials. Tokens, codes and passwords are stored as hashes only."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, LargeBinary, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from domain.auth.roles import Role
from persistence.models.base import UTC_TIME, enum_text, utc

_ROLE_KNOWN = "role IN ('OWNER', 'REVIEWER', 'VIEWER')"


class Organiser(SQLModel, table=True):
    """Without `password_hash`, an organiser who has not accepted the invitation yet.

    The TOTP secret is derived from `totp_salt` and the service's secret key. The second factor is
    enabled from `totp_confirmed_at` on. `totp_last_step` is the last 30-second step whose code was
    used.
    """

    __table_args__ = (
        UniqueConstraint("email", name="uq_organiser_email"),
        UniqueConstraint("invitation_hash", name="uq_organiser_invitation_hash"),
        CheckConstraint(_ROLE_KNOWN, name="role_known"),
        CheckConstraint(
            "(invitation_hash IS NULL) = (invitation_expires_at IS NULL)",
            name="invitation_expires",
        ),
        CheckConstraint(
            "totp_salt IS NOT NULL OR totp_confirmed_at IS NULL", name="totp_has_a_secret"
        ),
    )

    id: UUID = Field(primary_key=True)
    email: str = Field(sa_type=Text)
    role: Role = Field(sa_type=enum_text(Role))
    password_hash: str | None = Field(default=None, sa_type=Text)
    invitation_hash: bytes | None = Field(default=None, sa_type=LargeBinary)
    invitation_expires_at: datetime | None = utc(nullable=True)
    totp_salt: bytes | None = Field(default=None, sa_type=LargeBinary)
    totp_confirmed_at: datetime | None = utc(nullable=True)
    totp_last_step: int | None = Field(default=None, sa_type=BigInteger)
    created_at: datetime = utc()
    last_sign_in_at: datetime | None = utc(nullable=True)


class RecoveryCode(SQLModel, table=True):
    """A code that replaces the second factor once. Deleted when it is used."""

    __tablename__ = "recovery_code"

    organiser_id: UUID = Field(primary_key=True, foreign_key="organiser.id", ondelete="CASCADE")
    code_hash: bytes = Field(primary_key=True, sa_type=LargeBinary)


class OrganiserSession(SQLModel, table=True):
    """A sign-in. `last_used_at` is updated once a minute at most."""

    __tablename__ = "organiser_session"
    __table_args__ = (UniqueConstraint("token_hash", name="uq_organiser_session_token_hash"),)

    id: UUID = Field(primary_key=True)
    organiser_id: UUID = Field(foreign_key="organiser.id", ondelete="CASCADE", index=True)
    token_hash: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = utc()
    last_used_at: datetime = utc()
    expires_at: datetime = utc()


class ApiToken(SQLModel, table=True):
    """An API token for an organiser's scripts. `last_used_at` is updated once a minute at most.

    `is_signed`: requests with it have to be signed.
    """

    __tablename__ = "api_token"
    __table_args__ = (
        UniqueConstraint("token_hash", name="uq_api_token_token_hash"),
        CheckConstraint(_ROLE_KNOWN, name="role_known"),
    )

    id: UUID = Field(primary_key=True)
    organiser_id: UUID = Field(foreign_key="organiser.id", ondelete="CASCADE", index=True)
    name: str = Field(sa_type=Text)
    role: Role = Field(sa_type=enum_text(Role))
    token_hash: bytes = Field(sa_type=LargeBinary)
    is_signed: bool = Field(sa_column_kwargs={"server_default": text("false")})
    created_at: datetime = utc()
    expires_at: datetime = utc()
    last_used_at: datetime | None = utc(nullable=True)


class RequestNonce(SQLModel, table=True):
    """The nonce of a signed request, which is accepted once."""

    __tablename__ = "request_nonce"

    api_token_id: UUID = Field(primary_key=True, foreign_key="api_token.id", ondelete="CASCADE")
    nonce: str = Field(primary_key=True, sa_type=Text)
    expires_at: datetime = Field(sa_type=UTC_TIME, index=True)
