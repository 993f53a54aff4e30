"""Signing in and out, and who comes with a token."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from uuid import UUID

import structlog

from domain.audit import AuditAction
from domain.auth.roles import (
    ANONYMOUS,
    Caller,
    CallerKind,
    Role,
    require_role,
    require_session,
)
from domain.errors.exceptions import Forbidden, NotFound, SignInFailed, Unauthenticated
from domain.registration.contact import parse_email
from persistence.engine.database import Connection
from persistence.ids import new_id
from persistence.records import Credential, OrganiserRecord, SessionRecord
from persistence.repositories import organisers
from persistence.repositories import sessions as stored_sessions
from persistence.repositories.organisers import OrganiserAccount
from resolvers.accounts import totp
from resolvers.accounts.request_signing import SignedRequest, require_signature
from resolvers.accounts.tokens import TokenEnded, TokenKind, hash_of, kind_of, new_token
from resolvers.audit import record
from resolvers.services import Services

# How old the last use on record may be.
LAST_USE_PRECISION = timedelta(minutes=1)
WRONG = "E-mail or password is wrong."
CODE_NEEDED = "The code of the second factor is missing, wrong or was used before."
UNKNOWN_TOKEN = "This session or token is unknown or has ended. Sign in again."  # noqa: S105

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInResult:
    """`token` is told once; only its hash is stored."""

    token: str
    session: SessionRecord
    organiser: OrganiserRecord


def account_key(email: object) -> str:
    """What failed sign-ins are counted under, whether there is such an account or not."""
    written = _email(email) or str(email)
    return sha256(written.encode("utf-8", "surrogatepass")).hexdigest()


async def sign_in(
    services: Services,
    *,
    email: object,
    password: str,
    code: str | None = None,
    count_code: Callable[[], Awaitable[None]] | None = None,
) -> SignInResult:
    """Open a session. One verification of a password, whoever it is.

    `count_code` is called before a code is judged, which only follows a right password: strangers
    cannot use up the guesses. Raises SignInFailed, the same for a wrong password as for an
    unknown e-mail, and what `count_code` raises.
    """
    account = await _find_account(services, _email(email))
    password_hash = account.password_hash if account else None
    is_right = await services.accounts.passwords.verify(password, password_hash)
    if account is None or not is_right:
        log.info("sign_in_refused")
        raise SignInFailed(WRONG)
    if code and account.organiser.has_totp and count_code is not None:
        await count_code()
    token = new_token(TokenKind.SESSION)
    session = _new_session(services, account.organiser)
    work = partial(
        _open, services=services, account=account, code=code, session=session, token=token
    )
    organiser = await services.database.run(work, repeatable=False)
    log.info("organiser_signed_in", organiser_id=organiser.id)
    return SignInResult(token=token, session=session, organiser=organiser)


async def sign_out(
    services: Services, caller: Caller, *, everywhere: bool = False
) -> OrganiserRecord | None:
    """End the caller's session, or all of theirs. None when nobody was signed in.

    Raises Forbidden for an API token, which is revoked instead.
    """
    if caller == ANONYMOUS:
        return None
    require_session(caller, Role.VIEWER)
    organiser_id, session_id = _own(caller), caller.session_id

    async def end(connection: Connection) -> OrganiserRecord | None:
        if everywhere:
            await stored_sessions.delete_organiser_sessions(connection, organiser_id)
        elif session_id is not None:
            await stored_sessions.delete_session(connection, session_id, organiser_id=organiser_id)
        await record(
            connection,
            caller,
            AuditAction.ORGANISER_SIGNED_OUT,
            organiser_id,
            at=services.clock(),
            everywhere=everywhere,
        )
        return await organisers.find(connection, organiser_id)

    return await services.database.supersede(end)


async def authenticate(
    services: Services,
    token: str,
    request: SignedRequest | None = None,
    *,
    may_be_recent: bool = False,
) -> Caller:
    """Whose session or API token it is; `request` is the one it came with, if it was signed.

    What it may do `may_be_recent` for whoever only reads: others could use the last moment of what
    is being taken away, and keep what they make with it. Raises Unauthenticated, TokenEnded.
    """
    now, recent, token_hash = services.clock(), services.database.recent, hash_of(token)
    used: Credential | None = recent.get(token_hash) if may_be_recent else None
    if used is None:
        used = await recent.fill(token_hash, partial(_credential, services, token, token_hash))
    if used is None:
        raise Unauthenticated(UNKNOWN_TOKEN)
    if _has_ended(services, used, now):
        raise TokenEnded(UNKNOWN_TOKEN)
    if used.is_signed:
        await require_signature(services, used.id, request)
    if used.last_used_at is None or now - used.last_used_at >= LAST_USE_PRECISION:
        # First of all, so that others who come meanwhile do not do it too.
        used.last_used_at = now
        await services.database.run(partial(_touch, used=used, now=now))
    return used.caller


async def me(services: Services, caller: Caller) -> OrganiserRecord:
    """Raises Unauthenticated."""
    require_role(caller, Role.VIEWER)
    found = await services.database.read(partial(organisers.find, organiser_id=_own(caller)))
    if found is None:
        raise Unauthenticated
    return found


async def list_sessions(
    services: Services, caller: Caller, organiser_id: UUID | None = None
) -> list[SessionRecord]:
    """One's own, or as OWNER another organiser's. Raises Unauthenticated, Forbidden."""
    whose = require_access(caller, organiser_id)
    now = services.clock()
    return await services.database.read(
        partial(
            stored_sessions.list_sessions,
            organiser_id=whose,
            now=now,
            idle_since=now - services.accounts.idle,
        )
    )


async def revoke_session(services: Services, caller: Caller, session_id: UUID) -> SessionRecord:
    """End a session of one's own, or as OWNER anybody's.

    Raises Unauthenticated, Forbidden, NotFound.
    """
    require_session(caller, Role.VIEWER)

    async def end(connection: Connection) -> SessionRecord:
        gone = await stored_sessions.delete_session(
            connection, session_id, organiser_id=owner_scope(caller)
        )
        if gone is None:
            raise NotFound("There is no such session.")
        await record(
            connection, caller, AuditAction.SESSION_REVOKED, gone.organiser_id, at=services.clock()
        )
        return gone

    return await services.database.supersede(end)


def require_access(caller: Caller, organiser_id: UUID | None) -> UUID:
    """Whose things are meant: one's own, or as OWNER another's. Raises as require_role."""
    require_role(caller, Role.VIEWER)
    if organiser_id is None or organiser_id == caller.organiser_id:
        return _own(caller)
    require_role(caller, Role.OWNER)
    return organiser_id


def owner_scope(caller: Caller) -> UUID | None:
    """Whose things the caller may end: None stands for everybody's."""
    is_owner = caller.kind == CallerKind.SYSTEM or caller.role == Role.OWNER
    return None if is_owner else caller.organiser_id


async def _credential(services: Services, token: str, token_hash: bytes) -> Credential | None:
    kind = kind_of(token)
    if kind is TokenKind.SESSION:
        return await stored_sessions.find_session(services.database, token_hash)
    if kind is TokenKind.API:
        return await stored_sessions.find_api_token(services.database, token_hash)
    return None


def _has_ended(services: Services, used: Credential, now: datetime) -> bool:
    """Sessions end by not being used too."""
    ends_at = used.expires_at
    if used.caller.session_id is not None and used.last_used_at is not None:
        ends_at = min(ends_at, used.last_used_at + services.accounts.idle)
    return ends_at <= now


async def _touch(connection: Connection, *, used: Credential, now: datetime) -> None:
    if used.caller.session_id is not None:
        await stored_sessions.touch_session(connection, used.id, now=now)
    else:
        await stored_sessions.touch_api_token(connection, used.id, now=now)


async def _open(  # noqa: PLR0913 - what a sign-in consists of
    connection: Connection,
    *,
    services: Services,
    account: OrganiserAccount,
    code: str | None,
    session: SessionRecord,
    token: str,
) -> OrganiserRecord:
    now = session.created_at
    organiser = await organisers.record_sign_in(
        connection, account.organiser.id, password_hash=account.password_hash or "", now=now
    )
    if organiser is None:
        raise SignInFailed(WRONG)
    # The row is locked by now, so that what it says of the second factor is still true below.
    if organiser.has_totp and not (
        code and await totp.use(connection, services.secrets, account, code, now=now)
    ):
        log.info("sign_in_refused", organiser_id=organiser.id)
        raise SignInFailed(CODE_NEEDED, details={"secondFactorRequired": True})
    await stored_sessions.add_session(connection, session, token_hash=hash_of(token))
    caller = Caller(kind=CallerKind.ORGANISER, organiser_id=organiser.id, role=organiser.role)
    await record(connection, caller, AuditAction.ORGANISER_SIGNED_IN, organiser.id, at=now)
    return organiser


async def _find_account(services: Services, email: str | None) -> OrganiserAccount | None:
    if email is None:
        return None
    return await services.database.read(partial(organisers.find_account_by_email, email=email))


def _new_session(services: Services, organiser: OrganiserRecord) -> SessionRecord:
    now = services.clock()
    return SessionRecord(
        id=new_id(),
        organiser_id=organiser.id,
        role=organiser.role,
        created_at=now,
        last_used_at=now,
        expires_at=now + services.accounts.max_age,
    )


def _own(caller: Caller) -> UUID:
    """Raises Forbidden for the system, which is nobody."""
    if caller.organiser_id is None:
        raise Forbidden
    return caller.organiser_id


def _email(value: object) -> str | None:
    try:
        return parse_email(value)
    except ValueError:
        return None
