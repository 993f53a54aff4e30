"""Sign-in, sign-out, sessions, and authentication of requests by token."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from uuid import UUID

import structlog

from domain.audit import AuditAction
from domain.auth.roles import ANONYMOUS, Caller, CallerKind, Role, require_role, require_session
from domain.errors.exceptions import Forbidden, NotFound, SignInFailed, Unauthenticated
from domain.registration.contact import parse_email
from persistence import lookups
from persistence.ids import new_id
from persistence.records import Credential, OrganiserRecord, SessionRecord
from persistence.repositories.organisers import OrganiserAccount
from persistence.unit_of_work import UnitOfWork
from resolvers import audit
from resolvers.accounts import totp
from resolvers.accounts.request_signing import SignedRequest, require_signature
from resolvers.accounts.tokens import TokenEnded, TokenKind, hash_token, new_token, token_kind
from resolvers.services import Services

# `last_used_at` is written at most this often.
LAST_USE_PRECISION = timedelta(minutes=1)
WRONG_CREDENTIALS = "E-mail or password is wrong."
SECOND_FACTOR_REQUIRED = (
    "The code of the second factor is missing, wrong or was used before. Enter a new code."
)
UNKNOWN_TOKEN = "This session or token is unknown or has ended. Sign in again."  # noqa: S105

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInResult:
    """A new session. Only the hash of `token` is stored."""

    token: str
    session: SessionRecord
    organiser: OrganiserRecord


def account_key(email: object) -> str:
    """Return the key for counting failed sign-ins, whether the account exists or not."""
    normalized = _parse_email(email) or str(email)
    return sha256(normalized.encode("utf-8", "surrogatepass")).hexdigest()


async def sign_in(
    services: Services,
    *,
    email: object,
    password: str,
    code: str | None = None,
    count_code: Callable[[], Awaitable[None]] | None = None,
) -> SignInResult:
    """Open a session. Verify one password hash for unknown accounts too.

    `count_code` is called before a second-factor code is checked, which happens only after a
    correct password: strangers cannot use up the organiser's attempts.

    Raises SignInFailed, the same for a wrong password as for an unknown e-mail address, and what
    `count_code` raises.
    """
    account = await _find_account(services, _parse_email(email))
    password_hash = account.password_hash if account else None
    is_correct = await services.accounts.passwords.verify(password, password_hash)
    if account is None or not is_correct:
        log.info("sign_in_refused")
        raise SignInFailed(WRONG_CREDENTIALS)
    if code and account.organiser.has_totp and count_code is not None:
        await count_code()
    token = new_token(TokenKind.SESSION)
    session = _new_session(services, account.organiser)
    work = partial(
        _open_session, services=services, account=account, code=code, session=session, token=token
    )
    organiser = await services.database.run(work, repeatable=False)
    log.info("organiser_signed_in", organiser_id=organiser.id)
    return SignInResult(token=token, session=session, organiser=organiser)


async def sign_out(
    services: Services, caller: Caller, *, everywhere: bool = False
) -> OrganiserRecord | None:
    """End the caller's session, or all sessions of the caller. None for an anonymous caller.

    Raises Forbidden for an API token, which has to be revoked instead.
    """
    if caller == ANONYMOUS:
        return None
    require_session(caller, Role.VIEWER)
    organiser_id, session_id = _require_organiser_id(caller), caller.session_id

    async def end(uow: UnitOfWork) -> OrganiserRecord | None:
        if everywhere:
            await uow.sessions.delete_by_organiser(organiser_id)
        elif session_id is not None:
            await uow.sessions.delete(session_id, organiser_id=organiser_id)
        await audit.record(
            uow,
            AuditAction.ORGANISER_SIGNED_OUT,
            caller.actor,
            at=services.clock(),
            organiser_id=organiser_id,
            changes={"everywhere": everywhere},
        )
        return await uow.organisers.find(organiser_id)

    return await services.database.run(end)


async def authenticate(
    services: Services,
    token: str,
    request: SignedRequest | None = None,
) -> Caller:
    """Return the caller of a session or API token. `request` is the signed request, if signed.

    Raises Unauthenticated, TokenEnded.
    """
    now = services.clock()
    credential = await _find_credential(services, token)
    if credential is None:
        raise Unauthenticated(UNKNOWN_TOKEN)
    if _has_ended(services, credential, now):
        raise TokenEnded(UNKNOWN_TOKEN)
    if credential.is_signed:
        await require_signature(services, credential.id, request)
    last_used_at = credential.last_used_at
    if last_used_at is None or now - last_used_at >= LAST_USE_PRECISION:
        await services.database.run(partial(_touch, credential=credential, now=now))
    return credential.caller


async def current_organiser(services: Services, caller: Caller) -> OrganiserRecord:
    """Raises Unauthenticated."""
    require_role(caller, Role.VIEWER)
    organiser_id = _require_organiser_id(caller)
    organiser = await services.database.read(
        lambda uow: uow.organisers.find(organiser_id=organiser_id)
    )
    if organiser is None:
        raise Unauthenticated
    return organiser


async def list_sessions(
    services: Services, caller: Caller, organiser_id: UUID | None = None
) -> list[SessionRecord]:
    """List the caller's sessions or, for an OWNER, those of another organiser.

    Raises Unauthenticated, Forbidden.
    """
    now = services.clock()
    return await services.database.read(
        lambda uow: uow.sessions.list_by_organiser(
            organiser_id=require_access(caller, organiser_id),
            now=now,
            idle_since=now - services.accounts.session_idle_timeout,
        )
    )


async def revoke_session(services: Services, caller: Caller, session_id: UUID) -> SessionRecord:
    """End a session of the caller or, for an OWNER, of any organiser.

    Raises Unauthenticated, Forbidden, NotFound.
    """
    require_session(caller, Role.VIEWER)

    async def end(uow: UnitOfWork) -> SessionRecord:
        session = await uow.sessions.delete(session_id, organiser_id=revocation_scope(caller))
        if session is None:
            raise NotFound("There is no such session.")
        await audit.record(
            uow,
            AuditAction.SESSION_REVOKED,
            caller.actor,
            at=services.clock(),
            organiser_id=session.organiser_id,
        )
        return session

    return await services.database.run(end)


def require_access(caller: Caller, organiser_id: UUID | None) -> UUID:
    """Return the id to read: the caller's own (also for None) or, for an OWNER, another one.

    Raises Unauthenticated, Forbidden.
    """
    require_role(caller, Role.VIEWER)
    if organiser_id is None or organiser_id == caller.organiser_id:
        return _require_organiser_id(caller)
    require_role(caller, Role.OWNER)
    return organiser_id


def revocation_scope(caller: Caller) -> UUID | None:
    """Return the organiser whose sessions and tokens the caller may end; None for everybody's."""
    is_owner = caller.kind == CallerKind.SYSTEM or caller.role == Role.OWNER
    return None if is_owner else caller.organiser_id


async def _find_credential(services: Services, token: str) -> Credential | None:
    kind, token_hash = token_kind(token), hash_token(token)
    if kind is TokenKind.SESSION:
        return await lookups.find_session(services.database, token_hash)
    if kind is TokenKind.API:
        return await lookups.find_api_token(services.database, token_hash)
    return None


def _has_ended(services: Services, credential: Credential, now: datetime) -> bool:
    """Check the expiry and, for sessions, the idle timeout."""
    ends_at = credential.expires_at
    if credential.caller.session_id is not None and credential.last_used_at is not None:
        idle_ends_at = credential.last_used_at + services.accounts.session_idle_timeout
        ends_at = min(ends_at, idle_ends_at)
    return ends_at <= now


async def _touch(uow: UnitOfWork, *, credential: Credential, now: datetime) -> None:
    if credential.caller.session_id is not None:
        await uow.sessions.touch(credential.id, now=now, precision=LAST_USE_PRECISION)
    else:
        await uow.api_tokens.touch(credential.id, now=now, precision=LAST_USE_PRECISION)


async def _open_session(  # noqa: PLR0913 - the parts of a sign-in
    uow: UnitOfWork,
    *,
    services: Services,
    account: OrganiserAccount,
    code: str | None,
    session: SessionRecord,
    token: str,
) -> OrganiserRecord:
    now = session.created_at
    organiser = await uow.organisers.record_sign_in(
        account.organiser.id, password_hash=account.password_hash or "", now=now
    )
    if organiser is None:
        raise SignInFailed(WRONG_CREDENTIALS)
    # `record_sign_in` has locked the row: `has_totp` cannot change before the commit.
    if organiser.has_totp and not (
        code and await totp.consume_code(uow, services.secrets, account, code, now=now)
    ):
        log.info("sign_in_refused", organiser_id=organiser.id)
        raise SignInFailed(SECOND_FACTOR_REQUIRED, details={"secondFactorRequired": True})
    uow.sessions.add(session, token_hash=hash_token(token))
    caller = Caller(kind=CallerKind.ORGANISER, organiser_id=organiser.id, role=organiser.role)
    await audit.record(
        uow, AuditAction.ORGANISER_SIGNED_IN, caller.actor, at=now, organiser_id=organiser.id
    )
    return organiser


async def _find_account(services: Services, email: str | None) -> OrganiserAccount | None:
    if email is None:
        return None
    return await services.database.read(
        lambda uow: uow.organisers.find_account_by_email(email=email)
    )


def _new_session(services: Services, organiser: OrganiserRecord) -> SessionRecord:
    now = services.clock()
    return SessionRecord(
        id=new_id(),
        organiser_id=organiser.id,
        created_at=now,
        last_used_at=now,
        expires_at=now + services.accounts.session_max_age,
    )


def _require_organiser_id(caller: Caller) -> UUID:
    """Raises Forbidden for the system, which has no account."""
    if caller.organiser_id is None:
        raise Forbidden
    return caller.organiser_id


def _parse_email(value: object) -> str | None:
    try:
        return parse_email(value)
    except ValueError:
        return None
