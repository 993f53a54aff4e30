"""Who the organisers are, and what they may do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import structlog

from domain.audit import AuditAction
from domain.auth.passwords import require_strong
from domain.auth.roles import Caller, CallerKind, Role, require_role, require_session
from domain.errors.exceptions import (
    BadUserInput,
    Forbidden,
    InvalidForm,
    IssueCode,
    NotFound,
    Unauthenticated,
)
from domain.errors.issues import INPUT, issue
from domain.registration.contact import parse_email
from persistence.engine.database import Connection
from persistence.records import OrganiserRecord
from persistence.repositories import organisers, totp
from persistence.repositories import sessions as stored_sessions
from resolvers.accounts.tokens import TokenKind, hash_of
from resolvers.audit import record
from resolvers.idempotency import making, reserve, token_for, tokens_of
from resolvers.services import Services

_EMAIL = (*INPUT, "email")
NO_INVITATION = "This invitation is unknown, was used before or has expired."

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """`token` is told once; only its hash is stored.

    `is_replay`: the key had made this invitation before, nothing was written.
    """

    organiser: OrganiserRecord
    token: str
    expires_at: datetime
    is_replay: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordResetResult:
    """How many sessions and API tokens ended with the old password."""

    sessions: int
    api_tokens: int


async def list_organisers(services: Services, caller: Caller) -> list[OrganiserRecord]:
    """By e-mail, invited ones included. Raises Unauthenticated, Forbidden."""
    require_role(caller, Role.OWNER)
    return await services.database.read(organisers.list_all)


async def create(
    services: Services, caller: Caller, *, email: str, role: Role, password: str
) -> OrganiserRecord:
    """An organiser who can sign in at once. Raises InvalidForm, BadUserInput."""
    require_session(caller, Role.OWNER)
    written = _email(email)
    require_strong(password, email=written)
    password_hash = await services.accounts.passwords.hash(password)
    now = services.clock()

    async def add(connection: Connection) -> OrganiserRecord:
        added = await organisers.add(
            connection, email=written, role=role, password_hash=password_hash, now=now
        )
        if added is None:
            raise _exists()
        await record(
            connection, caller, AuditAction.ORGANISER_CREATED, added.id, at=now, role=role.value
        )
        return added

    return await services.database.run(add, repeatable=False)


async def invite(
    services: Services, caller: Caller, *, email: object, role: Role, key: str | None = None
) -> Invitation:
    """A new organiser without a password; one who has not come yet is invited anew.

    The idempotency key gives the invitation again that it made before. Raises Unauthenticated,
    Forbidden, InvalidForm, BadUserInput, IdempotencyKeyReused, IdempotencyInProgress, and NotFound
    for a key whose invitation was used, replaced or has expired.
    """
    require_session(caller, Role.OWNER)
    written = _email(email)
    content = (written, role)
    made = making(caller, "inviteOrganiser", TokenKind.INVITATION, key=key, content=content)
    token, now = token_for(services, made), services.clock()
    expires_at = now + services.accounts.invitation_lifetime

    async def add(connection: Connection) -> Invitation:
        made_before = await reserve(services, connection, made)
        if made_before is not None:
            texts = tokens_of(services, made, made_before)
            # Its own id is found where a commit was tried again whose answer had been lost.
            is_replay = made_before != made.made_id
            return await _again(services, connection, texts, is_replay=is_replay)
        invited = await organisers.invite(
            connection,
            email=written,
            role=role,
            invitation_hash=hash_of(token),
            expires_at=expires_at,
            now=now,
        )
        if invited is None:
            raise _exists()
        await record(
            connection, caller, AuditAction.ORGANISER_INVITED, invited.id, at=now, role=role.value
        )
        return Invitation(organiser=invited, token=token, expires_at=expires_at)

    invitation = await services.database.run(add)
    if not invitation.is_replay:
        log.info("organiser_invited", organiser_id=invitation.organiser.id)
    return invitation


async def _again(
    services: Services, connection: Connection, texts: Sequence[str], *, is_replay: bool
) -> Invitation:
    """The invitation that was made with one of these texts. Raises NotFound once it has ended."""
    for text in texts:
        found = await organisers.find_invited(connection, hash_of(text), now=services.clock())
        if found is not None:
            invited, expires_at = found
            return Invitation(
                organiser=invited, token=text, expires_at=expires_at, is_replay=is_replay
            )
    raise NotFound("This invitation was used, replaced or has expired. Use a new key for another.")


async def accept_invitation(services: Services, *, token: str, password: str) -> OrganiserRecord:
    """Give the invited organiser a password. Raises Unauthenticated, InvalidForm."""
    invitation_hash, now = hash_of(token), services.clock()
    invited = await services.database.read(
        partial(organisers.find_by_invitation, invitation_hash=invitation_hash, now=now)
    )
    if invited is None:
        raise Unauthenticated(NO_INVITATION)
    require_strong(password, email=invited.email)
    password_hash = await services.accounts.passwords.hash(password)

    async def accept(connection: Connection) -> OrganiserRecord:
        accepted = await organisers.accept_invitation(
            connection, invitation_hash, password_hash=password_hash, now=now
        )
        if accepted is None:
            raise Unauthenticated(NO_INVITATION)
        own = Caller(kind=CallerKind.ORGANISER, organiser_id=accepted.id, role=accepted.role)
        await record(
            connection, own, AuditAction.ORGANISER_INVITATION_ACCEPTED, accepted.id, at=now
        )
        return accepted

    organiser = await services.database.run(accept, repeatable=False)
    log.info("invitation_accepted", organiser_id=organiser.id)
    return organiser


async def set_role(
    services: Services, caller: Caller, organiser_id: UUID, role: Role
) -> OrganiserRecord:
    """Counts from the next request on, API tokens included.

    Raises Unauthenticated, NotFound, and Forbidden also where no OWNER would be left.
    """
    require_session(caller, Role.OWNER)

    async def change(connection: Connection) -> OrganiserRecord:
        owners = await organisers.lock_owners(connection)
        before = await organisers.find(connection, organiser_id)
        if before is None:
            raise NotFound("There is no such organiser.")
        if role != Role.OWNER and owners == {organiser_id}:
            raise Forbidden("This is the last OWNER. Make another one first.")
        roles = [before.role.value, role.value]
        await record(
            connection,
            caller,
            AuditAction.ORGANISER_ROLE_CHANGED,
            organiser_id,
            at=services.clock(),
            role=roles,
        )
        return await organisers.set_role(connection, organiser_id, role) or before

    organiser = await services.database.supersede(change)
    log.info("organiser_role_changed", organiser_id=organiser.id, role=role)
    return organiser


async def reset_password(
    services: Services, caller: Caller, *, email: str, password: str, keep_totp: bool = True
) -> PasswordResetResult:
    """End everything that was opened with the old password.

    Raises InvalidForm, NotFound.
    """
    require_session(caller, Role.OWNER)
    written = _email(email)
    require_strong(password, email=written)
    password_hash = await services.accounts.passwords.hash(password)
    now = services.clock()

    async def change(connection: Connection) -> PasswordResetResult:
        changed = await organisers.set_password(connection, written, password_hash=password_hash)
        if changed is None:
            raise NotFound("There is no organiser with this e-mail.")
        if not keep_totp:
            await totp.disable(connection, changed.id)
        await record(
            connection,
            caller,
            AuditAction.ORGANISER_PASSWORD_RESET,
            changed.id,
            at=now,
            secondFactor=[changed.has_totp, changed.has_totp and keep_totp],
        )
        return PasswordResetResult(
            sessions=await stored_sessions.delete_organiser_sessions(connection, changed.id),
            api_tokens=await stored_sessions.delete_organiser_api_tokens(connection, changed.id),
        )

    return await services.database.supersede(change)


def _exists() -> BadUserInput:
    return BadUserInput(
        issue(_EMAIL, IssueCode.ORGANISER_EXISTS),
        message="There is an organiser with this e-mail already.",
    )


def _email(value: object) -> str:
    try:
        return parse_email(value)
    except ValueError:
        raise InvalidForm((issue(_EMAIL, IssueCode.EMAIL_INVALID),)) from None
