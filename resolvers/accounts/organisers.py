"""Organisers' accounts: creation, invitations, roles and password resets."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import structlog

from domain.audit import AuditAction
from domain.auth.passwords import require_strong
from domain.auth.roles import Caller, CallerKind, Role, require_role, require_session
from domain.errors.exceptions import BadUserInput, Forbidden, InvalidForm, NotFound, Unauthenticated
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import INPUT, make_issue
from domain.registration.contact import parse_email
from persistence.records import OrganiserRecord
from persistence.unit_of_work import UnitOfWork
from resolvers import audit
from resolvers.accounts.tokens import TokenKind, hash_token
from resolvers.idempotency import TokenCreation, create_token, find_created, reserve_key
from resolvers.services import Services

_EMAIL = (*INPUT, "email")
INVALID_INVITATION = (
    "This invitation is unknown, was used before or has expired. Ask for a new one."
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """An invitation. Only the hash of `token` is stored.

    `is_replay`: the idempotency key created this invitation before, nothing was written.
    """

    organiser: OrganiserRecord
    token: str
    expires_at: datetime
    is_replay: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordResetResult:
    """Numbers of sessions and API tokens that were ended."""

    sessions: int
    api_tokens: int


async def list_organisers(services: Services, caller: Caller) -> list[OrganiserRecord]:
    """List all organisers by e-mail, invited ones included. Raises Unauthenticated, Forbidden."""
    require_role(caller, Role.OWNER)
    return await services.database.read(lambda uow: uow.organisers.list_all())


async def create(
    services: Services, caller: Caller, *, email: str, role: Role, password: str
) -> OrganiserRecord:
    """Create an organiser who can sign in at once. Raises InvalidForm, BadUserInput."""
    require_session(caller, Role.OWNER)
    email = _require_email(email)
    require_strong(password, email=email)
    password_hash = await services.accounts.passwords.hash(password)
    now = services.clock()

    async def add(uow: UnitOfWork) -> OrganiserRecord:
        organiser = await uow.organisers.add(
            email=email, role=role, password_hash=password_hash, now=now
        )
        if organiser is None:
            raise _exists()
        await audit.record(
            uow,
            AuditAction.ORGANISER_CREATED,
            caller.actor,
            at=now,
            organiser_id=organiser.id,
            changes={"role": role.value},
        )
        return organiser

    return await services.database.run(add, repeatable=False)


async def invite(
    services: Services, caller: Caller, *, email: object, role: Role, key: str | None = None
) -> Invitation:
    """Invite a new organiser, or replace the invitation of an organiser who has not accepted.

    A repeated idempotency key returns the earlier invitation.

    Raises Unauthenticated, Forbidden, InvalidForm, BadUserInput, IdempotencyKeyReused,
    IdempotencyInProgress; NotFound for a key whose invitation was used, replaced or has expired.
    """
    require_session(caller, Role.OWNER)
    address = _require_email(email)
    creation = TokenCreation(
        caller=caller,
        operation="inviteOrganiser",
        kind=TokenKind.INVITATION,
        key=key,
        content=(address, role),
    )
    token, now = create_token(services, creation), services.clock()
    expires_at = now + services.accounts.invitation_lifetime

    async def add(uow: UnitOfWork) -> Invitation:
        earlier_id = await reserve_key(services, uow, creation)
        if earlier_id is not None:
            return await _replay(services, uow, creation, earlier_id)
        organiser = await uow.organisers.invite(
            email=address,
            role=role,
            invitation_hash=hash_token(token),
            expires_at=expires_at,
            now=now,
        )
        if organiser is None:
            raise _exists()
        await audit.record(
            uow,
            AuditAction.ORGANISER_INVITED,
            caller.actor,
            at=now,
            organiser_id=organiser.id,
            changes={"role": role.value},
        )
        return Invitation(organiser=organiser, token=token, expires_at=expires_at)

    invitation = await services.database.run(add)
    if not invitation.is_replay:
        log.info("organiser_invited", organiser_id=invitation.organiser.id)
    return invitation


async def _replay(
    services: Services, uow: UnitOfWork, creation: TokenCreation, earlier_id: UUID
) -> Invitation:
    """Return the invitation of an earlier creation. Raises NotFound if it has ended."""
    # After a commit whose answer was lost, the retry finds its own id, which is no replay.
    is_replay = earlier_id != creation.object_id
    find = partial(uow.organisers.find_invitation, now=services.clock())
    created = await find_created(services, creation, earlier_id, find)
    if created is None:
        raise NotFound(
            "This invitation was used, replaced or has expired. Use a new Idempotency-Key for"
            " another one."
        )
    token, invitation = created
    return Invitation(
        organiser=invitation.organiser,
        token=token,
        expires_at=invitation.expires_at,
        is_replay=is_replay,
    )


async def accept_invitation(services: Services, *, token: str, password: str) -> OrganiserRecord:
    """Set the password of the invited organiser. Raises Unauthenticated, InvalidForm."""
    invitation_hash, now = hash_token(token), services.clock()
    invitation = await services.database.read(
        lambda uow: uow.organisers.find_invitation(invitation_hash, now=now)
    )
    if invitation is None:
        raise Unauthenticated(INVALID_INVITATION)
    require_strong(password, email=invitation.organiser.email)
    password_hash = await services.accounts.passwords.hash(password)

    async def accept(uow: UnitOfWork) -> OrganiserRecord:
        organiser = await uow.organisers.accept_invitation(
            invitation_hash, password_hash=password_hash, now=now
        )
        if organiser is None:
            raise Unauthenticated(INVALID_INVITATION)
        caller = Caller(kind=CallerKind.ORGANISER, organiser_id=organiser.id, role=organiser.role)
        await audit.record(
            uow,
            AuditAction.ORGANISER_INVITATION_ACCEPTED,
            caller.actor,
            at=now,
            organiser_id=organiser.id,
        )
        return organiser

    organiser = await services.database.run(accept, repeatable=False)
    log.info("invitation_accepted", organiser_id=organiser.id)
    return organiser


async def set_role(
    services: Services, caller: Caller, organiser_id: UUID, role: Role
) -> OrganiserRecord:
    """Change a role, effective from the next request on, API tokens included.

    The present role changes nothing and is not recorded.

    Raises Unauthenticated, NotFound, Forbidden; Forbidden too if no OWNER would remain.
    """
    require_session(caller, Role.OWNER)

    async def change(uow: UnitOfWork) -> OrganiserRecord:
        owners = await uow.organisers.lock_owners()
        before = await uow.organisers.find(organiser_id)
        if before is None:
            raise NotFound("There is no such organiser.")
        if role == before.role:
            return before
        if role != Role.OWNER and owners == {organiser_id}:
            raise Forbidden("This is the last OWNER. Make somebody else an OWNER first.")
        await audit.record(
            uow,
            AuditAction.ORGANISER_ROLE_CHANGED,
            caller.actor,
            at=services.clock(),
            organiser_id=organiser_id,
            changes={"role": [before.role.value, role.value]},
        )
        return await uow.organisers.set_role(organiser_id, role) or before

    organiser = await services.database.run(change)
    log.info("organiser_role_changed", organiser_id=organiser.id, role=role)
    return organiser


async def reset_password(
    services: Services, caller: Caller, *, email: str, password: str, keep_totp: bool = True
) -> PasswordResetResult:
    """Set a new password and end all sessions and API tokens. Raises InvalidForm, NotFound."""
    require_session(caller, Role.OWNER)
    email = _require_email(email)
    require_strong(password, email=email)
    password_hash = await services.accounts.passwords.hash(password)
    now = services.clock()

    async def change(uow: UnitOfWork) -> PasswordResetResult:
        organiser = await uow.organisers.set_password(email, password_hash=password_hash)
        if organiser is None:
            raise NotFound("There is no organiser with this e-mail.")
        if not keep_totp:
            await uow.organisers.disable_totp(organiser.id)
        await audit.record(
            uow,
            AuditAction.ORGANISER_PASSWORD_RESET,
            caller.actor,
            at=now,
            organiser_id=organiser.id,
            changes={"secondFactor": [organiser.has_totp, organiser.has_totp and keep_totp]},
        )
        return PasswordResetResult(
            sessions=await uow.sessions.delete_by_organiser(organiser.id),
            api_tokens=await uow.api_tokens.delete_by_organiser(organiser.id),
        )

    return await services.database.run(change)


def _exists() -> BadUserInput:
    return BadUserInput(
        make_issue(_EMAIL, IssueCode.ORGANISER_EXISTS),
        message="There is an organiser with this e-mail already.",
    )


def _require_email(value: object) -> str:
    """Raises InvalidForm."""
    try:
        return parse_email(value)
    except ValueError:
        raise InvalidForm((make_issue(_EMAIL, IssueCode.EMAIL_INVALID),)) from None
