"""Organisers: create, invite, sign in, change roles; the second factor (TOTP), recovery codes."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, or_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import UpdateBase
from sqlmodel import col, select

from domain.auth.roles import Role
from persistence.ids import new_id
from persistence.models import Organiser, RecoveryCode
from persistence.records import OrganiserRecord
from persistence.repositories.base import Repository, shared_values

MAX_LISTED = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganiserAccount:
    """An organiser with the secrets that a sign-in is checked against.

    `totp_salt` is set before the second factor is confirmed, too.
    """

    organiser: OrganiserRecord
    password_hash: str | None
    totp_salt: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenInvitation:
    """An invitation that can be accepted until `expires_at`."""

    organiser: OrganiserRecord
    expires_at: datetime


def _record(organiser: Organiser) -> OrganiserRecord:
    has_totp = organiser.totp_confirmed_at is not None
    return OrganiserRecord(**shared_values(OrganiserRecord, organiser), has_totp=has_totp)


def _account(organiser: Organiser) -> OrganiserAccount:
    return OrganiserAccount(
        organiser=_record(organiser),
        password_hash=organiser.password_hash,
        totp_salt=organiser.totp_salt,
    )


class OrganiserRepository(Repository):
    """Organisers with their passwords, invitations, second factors and recovery codes."""

    async def find(self, organiser_id: UUID) -> OrganiserRecord | None:
        organiser = await self._session.get(Organiser, organiser_id)
        return _record(organiser) if organiser else None

    async def find_account(self, organiser_id: UUID) -> OrganiserAccount | None:
        organiser = await self._session.get(Organiser, organiser_id)
        return _account(organiser) if organiser else None

    async def find_account_by_email(self, email: str) -> OrganiserAccount | None:
        statement = select(Organiser).where(Organiser.email == email)
        organiser = (await self._session.exec(statement)).first()
        return _account(organiser) if organiser else None

    async def find_invitation(
        self, invitation_hash: bytes, *, now: datetime
    ) -> OpenInvitation | None:
        """Find an invitation. None when it is unknown, used or expired."""
        statement = select(Organiser).where(
            Organiser.invitation_hash == invitation_hash,
            col(Organiser.invitation_expires_at) > now,
        )
        organiser = (await self._session.exec(statement)).first()
        if organiser is None or organiser.invitation_expires_at is None:
            return None
        return OpenInvitation(
            organiser=_record(organiser), expires_at=organiser.invitation_expires_at
        )

    async def list_all(self) -> list[OrganiserRecord]:
        """Organisers in order of e-mail, MAX_LISTED at most."""
        statement = select(Organiser).order_by(Organiser.email).limit(MAX_LISTED)
        return [_record(organiser) for organiser in await self._session.exec(statement)]

    async def add(
        self, *, email: str, role: Role, password_hash: str, now: datetime
    ) -> OrganiserRecord | None:
        """Add an organiser. None when the e-mail has one already, invited ones included."""
        return await self._write(
            insert(Organiser)
            .values(
                id=new_id(), email=email, role=role, password_hash=password_hash, created_at=now
            )
            .on_conflict_do_nothing(index_elements=["email"])
            .returning(Organiser)
        )

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
            "role": role,
            "invitation_hash": invitation_hash,
            "invitation_expires_at": expires_at,
        }
        return await self._write(
            insert(Organiser)
            .values(id=new_id(), email=email, created_at=now, **invitation)
            .on_conflict_do_update(
                index_elements=["email"],
                set_=invitation,
                where=col(Organiser.password_hash).is_(None),
            )
            .returning(Organiser)
        )

    async def accept_invitation(
        self, invitation_hash: bytes, *, password_hash: str, now: datetime
    ) -> OrganiserRecord | None:
        """Set the password. None when the invitation is unknown, used or expired."""
        return await self._update(
            col(Organiser.invitation_hash) == invitation_hash,
            col(Organiser.invitation_expires_at) > now,
            password_hash=password_hash,
            invitation_hash=None,
            invitation_expires_at=None,
        )

    async def set_password(self, email: str, *, password_hash: str) -> OrganiserRecord | None:
        """Set the password and end an open invitation. None for an unknown e-mail."""
        return await self._update(
            col(Organiser.email) == email,
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
            col(Organiser.id) == organiser_id,
            col(Organiser.password_hash) == password_hash,
            last_sign_in_at=now,
        )

    async def lock_owners(self) -> set[UUID]:
        """Lock all owners who can sign in, so that changes of roles exclude each other."""
        statement = (
            select(Organiser.id)
            .where(Organiser.role == Role.OWNER, col(Organiser.password_hash).is_not(None))
            .order_by(col(Organiser.id))
            .with_for_update()
        )
        return set(await self._session.exec(statement))

    async def set_role(self, organiser_id: UUID, role: Role) -> OrganiserRecord | None:
        return await self._update(col(Organiser.id) == organiser_id, role=role)

    async def propose_totp(self, organiser_id: UUID, *, salt: bytes) -> bool:
        """Store the salt of a new secret. False when the second factor is enabled already."""
        return await self._update_totp(
            organiser_id,
            col(Organiser.totp_confirmed_at).is_(None),
            totp_salt=salt,
            totp_last_step=None,
        )

    async def confirm_totp(
        self, organiser_id: UUID, *, salt: bytes, step: int, now: datetime
    ) -> bool:
        """Enable the factor. False when another secret was proposed since, or it is enabled."""
        return await self._update_totp(
            organiser_id,
            col(Organiser.totp_salt) == salt,
            col(Organiser.totp_confirmed_at).is_(None),
            totp_confirmed_at=now,
            totp_last_step=step,
        )

    async def use_totp_step(self, organiser_id: UUID, *, salt: bytes, step: int) -> bool:
        """Use a code. False when the code of this 30-second step or a later one was used."""
        last_step = col(Organiser.totp_last_step)
        return await self._update_totp(
            organiser_id,
            col(Organiser.totp_salt) == salt,
            col(Organiser.totp_confirmed_at).is_not(None),
            or_(last_step.is_(None), last_step < step),
            totp_last_step=step,
        )

    async def disable_totp(self, organiser_id: UUID) -> bool:
        """Disable the second factor and delete the recovery codes. False when there was none."""
        await self._delete_recovery_codes(organiser_id)
        return await self._update_totp(
            organiser_id,
            col(Organiser.totp_salt).is_not(None),
            totp_salt=None,
            totp_confirmed_at=None,
            totp_last_step=None,
        )

    async def replace_recovery_codes(self, organiser_id: UUID, hashes: Collection[bytes]) -> None:
        await self._delete_recovery_codes(organiser_id)
        self._session.add_all(
            RecoveryCode(organiser_id=organiser_id, code_hash=code_hash) for code_hash in hashes
        )

    async def use_recovery_code(self, organiser_id: UUID, code_hash: bytes) -> bool:
        """Use a code, which deletes it. False when it is unknown or was used before."""
        return await self._delete_recovery_codes(
            organiser_id, col(RecoveryCode.code_hash) == code_hash
        )

    async def _delete_recovery_codes(self, organiser_id: UUID, *where: ColumnElement[bool]) -> bool:
        """Delete codes of the organiser. False when there was none."""
        statement = delete(RecoveryCode).where(
            col(RecoveryCode.organiser_id) == organiser_id, *where
        )
        return (await self._session.exec(statement)).rowcount > 0

    async def _update_totp(
        self, organiser_id: UUID, *where: ColumnElement[bool], **values: Any
    ) -> bool:
        """Change the second factor. False when it does not satisfy the conditions."""
        organiser = await self._update(col(Organiser.id) == organiser_id, *where, **values)
        return organiser is not None

    async def _update(self, *where: ColumnElement[bool], **values: Any) -> OrganiserRecord | None:
        return await self._write(
            update(Organiser).where(*where).values(**values).returning(Organiser)
        )

    async def _write(self, statement: UpdateBase) -> OrganiserRecord | None:
        """Execute a statement that returns the written organiser. None when it wrote none."""
        # The row as it is now, even if the session has loaded it before.
        options = {"populate_existing": True}
        result = await self._session.exec(statement, execution_options=options)
        organiser: Organiser | None = result.scalars().first()
        return _record(organiser) if organiser else None
