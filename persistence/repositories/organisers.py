"""Organisers: create, invite, sign in, change roles."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, select, text, update
from sqlalchemy.dialects.postgresql import insert

from domain.auth.roles import Role
from persistence.ids import new_id
from persistence.models import organiser
from persistence.records import OrganiserRecord
from persistence.repositories.base import Repository

MAX_LISTED = 500

_COLUMNS = (
    organiser.c.id,
    organiser.c.email,
    organiser.c.role,
    organiser.c.totp_confirmed_at.is_not(None).label("has_totp"),
    organiser.c.created_at,
    organiser.c.last_sign_in_at,
)
_SECRETS = (organiser.c.password_hash, organiser.c.totp_salt)

_LOCK_OWNERS = text("""
    SELECT id FROM organiser WHERE role = 'OWNER' AND password_hash IS NOT NULL
    ORDER BY id FOR UPDATE
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganiserAccount:
    """An organiser with the secrets that a sign-in is checked against.

    `totp_salt` is set before the second factor is confirmed, too.
    """

    organiser: OrganiserRecord
    password_hash: str | None
    totp_salt: bytes | None


def _record(row: RowMapping | None) -> OrganiserRecord | None:
    return OrganiserRecord(**_values(row)) if row is not None else None


def _account(row: RowMapping | None) -> OrganiserAccount | None:
    if row is None:
        return None
    secrets = {column.name: row[column.name] for column in _SECRETS}
    return OrganiserAccount(organiser=OrganiserRecord(**_values(row)), **secrets)


def _values(row: RowMapping) -> dict[str, Any]:
    values = {column.name: row[column.name] for column in _COLUMNS}
    return values | {"role": Role(values["role"])}


class OrganiserRepository(Repository):
    """Organisers: create, invite, sign in, change roles."""

    async def find(self, organiser_id: UUID) -> OrganiserRecord | None:
        account = await self.find_account(organiser_id)
        return account.organiser if account else None

    async def find_account(self, organiser_id: UUID) -> OrganiserAccount | None:
        result = await self._execute(
            select(*_COLUMNS, *_SECRETS).where(organiser.c.id == organiser_id)
        )
        return _account(result.mappings().first())

    async def find_account_by_email(self, email: str) -> OrganiserAccount | None:
        result = await self._execute(select(*_COLUMNS, *_SECRETS).where(organiser.c.email == email))
        return _account(result.mappings().first())

    async def find_by_invitation(
        self, invitation_hash: bytes, *, now: datetime
    ) -> OrganiserRecord | None:
        result = await self._execute(
            select(*_COLUMNS)
            .where(organiser.c.invitation_hash == invitation_hash)
            .where(organiser.c.invitation_expires_at > now)
        )
        return _record(result.mappings().first())

    async def find_invited(
        self, invitation_hash: bytes, *, now: datetime
    ) -> tuple[OrganiserRecord, datetime] | None:
        """The organiser with this open invitation, and the time at which it expires."""
        result = await self._execute(
            select(*_COLUMNS, organiser.c.invitation_expires_at)
            .where(organiser.c.invitation_hash == invitation_hash)
            .where(organiser.c.invitation_expires_at > now)
        )
        row = result.mappings().first()
        if row is None:
            return None
        return OrganiserRecord(**_values(row)), row["invitation_expires_at"]

    async def list_all(self) -> list[OrganiserRecord]:
        """Organisers in order of e-mail, MAX_LISTED at most."""
        rows = await self._execute(select(*_COLUMNS).order_by(organiser.c.email).limit(MAX_LISTED))
        return [OrganiserRecord(**_values(row)) for row in rows.mappings()]

    async def add(
        self, *, email: str, role: Role, password_hash: str, now: datetime
    ) -> OrganiserRecord | None:
        """Add an organiser. None when the e-mail has one already, invited ones included."""
        result = await self._execute(
            insert(organiser)
            .values(
                id=new_id(),
                email=email,
                role=role.value,
                password_hash=password_hash,
                created_at=now,
            )
            .on_conflict_do_nothing(index_elements=["email"])
            .returning(*_COLUMNS)
        )
        return _record(result.mappings().first())

    async def invite(
        self,
        *,
        email: str,
        role: Role,
        invitation_hash: bytes,
        expires_at: datetime,
        now: datetime,
    ) -> OrganiserRecord | None:
        """Add an invited organiser, or replace an invitation that is still open.

        None when the organiser has accepted an invitation before.
        """
        invitation = {
            "role": role.value,
            "invitation_hash": invitation_hash,
            "invitation_expires_at": expires_at,
        }
        result = await self._execute(
            insert(organiser)
            .values(id=new_id(), email=email, created_at=now, **invitation)
            .on_conflict_do_update(
                index_elements=["email"],
                set_=invitation,
                where=organiser.c.password_hash.is_(None),
            )
            .returning(*_COLUMNS)
        )
        return _record(result.mappings().first())

    async def accept_invitation(
        self, invitation_hash: bytes, *, password_hash: str, now: datetime
    ) -> OrganiserRecord | None:
        """Set the password. None when the invitation is unknown, used or expired."""
        return await self._update(
            organiser.c.invitation_hash == invitation_hash,
            organiser.c.invitation_expires_at > now,
            password_hash=password_hash,
            invitation_hash=None,
            invitation_expires_at=None,
        )

    async def set_password(self, email: str, *, password_hash: str) -> OrganiserRecord | None:
        """Set the password and end an open invitation. None for an unknown e-mail."""
        return await self._update(
            organiser.c.email == email,
            password_hash=password_hash,
            invitation_hash=None,
            invitation_expires_at=None,
        )

    async def record_sign_in(
        self, organiser_id: UUID, *, password_hash: str, now: datetime
    ) -> OrganiserRecord | None:
        """Record a sign-in and lock the organiser.

        None when the password was changed after it was checked.
        """
        return await self._update(
            organiser.c.id == organiser_id,
            organiser.c.password_hash == password_hash,
            last_sign_in_at=now,
        )

    async def lock_owners(self) -> set[UUID]:
        """Lock all owners who can sign in, so that changes of roles exclude each other."""
        return set((await self._execute(_LOCK_OWNERS)).scalars())

    async def set_role(self, organiser_id: UUID, role: Role) -> OrganiserRecord | None:
        return await self._update(organiser.c.id == organiser_id, role=role.value)

    async def _update(self, *where: Any, **values: Any) -> OrganiserRecord | None:
        result = await self._execute(
            update(organiser).where(*where).values(**values).returning(*_COLUMNS)
        )
        return _record(result.mappings().first())
