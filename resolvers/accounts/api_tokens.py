"""API tokens: what scripts of an organiser come with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog

from domain.audit import AuditAction
from domain.auth.roles import Caller, Role, require_session
from domain.errors.exceptions import InvalidForm, IssueCode, NotFound
from domain.errors.issues import INPUT, issue
from domain.registration.names import FreeText
from persistence.engine.database import Connection
from persistence.records import ApiTokenRecord
from persistence.repositories import sessions as stored_sessions
from resolvers.accounts.request_signing import signing_secret
from resolvers.accounts.sessions import owner_scope, require_access
from resolvers.accounts.tokens import TokenKind, hash_of
from resolvers.audit import record
from resolvers.idempotency import making, reserve, token_for, tokens_of
from resolvers.services import Services

NAME = FreeText(max_length=80)
MOST_DAYS = 365

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiToken:
    """`text` and `signing_secret` are told once; a hash of the first is stored.

    `is_replay`: the key had made this token before, nothing was written.
    """

    text: str
    signing_secret: str | None
    record: ApiTokenRecord
    is_replay: bool = False


async def create(  # noqa: PLR0913 - what a token is made of
    services: Services,
    caller: Caller,
    *,
    name: str,
    role: Role,
    days: int,
    is_signed: bool = False,
    key: str | None = None,
) -> NewApiToken:
    """A new token, or the one that the idempotency key made before.

    Raises Unauthenticated, InvalidForm, IdempotencyKeyReused, IdempotencyInProgress, Forbidden for
    a role above the caller's, and NotFound for a key whose token has ended.
    """
    require_session(caller, role)
    organiser_id = require_access(caller, None)
    name = _checked(name, days)
    content = (name, role, days, is_signed)
    made = making(caller, "createApiToken", TokenKind.API, key=key, content=content)
    now, text = services.clock(), token_for(services, made)
    token = ApiTokenRecord(
        id=made.made_id,
        organiser_id=organiser_id,
        name=name,
        role=role,
        organiser_role=caller.role or role,
        created_at=now,
        expires_at=now + timedelta(days=days),
        last_used_at=None,
        is_signed=is_signed,
    )

    async def add(connection: Connection) -> NewApiToken:
        made_before = await reserve(services, connection, made)
        if made_before is not None:
            texts = tokens_of(services, made, made_before)
            # Its own id is found where a commit was tried again whose answer had been lost.
            is_replay = made_before != made.made_id
            return await _again(services, connection, texts, is_replay=is_replay)
        await _add(connection, caller, token, text)
        return _new(services, text, token)

    new = await services.database.run(add, repeatable=key is not None)
    if not new.is_replay:
        log.info("api_token_created", organiser_id=organiser_id, role=role)
    return new


async def _add(connection: Connection, caller: Caller, token: ApiTokenRecord, text: str) -> None:
    await stored_sessions.add_api_token(connection, token, token_hash=hash_of(text))
    await record(
        connection,
        caller,
        AuditAction.API_TOKEN_CREATED,
        token.organiser_id,
        at=token.created_at,
        token=token.id.hex,
        role=token.role.value,
        signed=token.is_signed,
    )


async def _again(
    services: Services, connection: Connection, texts: Sequence[str], *, is_replay: bool
) -> NewApiToken:
    """The token that was made with one of these texts. Raises NotFound once it has ended."""
    for text in texts:
        token = await stored_sessions.find_active_api_token(
            connection, hash_of(text), now=services.clock()
        )
        if token is not None:
            return _new(services, text, token, is_replay=is_replay)
    raise NotFound("This API token has ended. Use a new key to make another one.")


def _new(
    services: Services, text: str, token: ApiTokenRecord, *, is_replay: bool = False
) -> NewApiToken:
    secret = signing_secret(services.secrets, token.id) if token.is_signed else None
    return NewApiToken(text=text, signing_secret=secret, record=token, is_replay=is_replay)


async def list_tokens(
    services: Services, caller: Caller, organiser_id: UUID | None = None
) -> list[ApiTokenRecord]:
    """One's own, or as OWNER another organiser's. Raises Unauthenticated, Forbidden."""
    whose = require_access(caller, organiser_id)
    return await services.database.read(
        partial(stored_sessions.list_api_tokens, organiser_id=whose, now=services.clock())
    )


async def revoke(services: Services, caller: Caller, token_id: UUID) -> ApiTokenRecord:
    """One of the caller's own, or as OWNER anybody's.

    Raises Unauthenticated, Forbidden, NotFound.
    """
    require_session(caller, Role.VIEWER)

    async def end(connection: Connection) -> ApiTokenRecord:
        gone = await stored_sessions.delete_api_token(
            connection, token_id, organiser_id=owner_scope(caller)
        )
        if gone is None:
            raise NotFound("There is no such API token.")
        await record(
            connection,
            caller,
            AuditAction.API_TOKEN_REVOKED,
            gone.organiser_id,
            at=services.clock(),
            token=token_id.hex,
        )
        return gone

    return await services.database.supersede(end)


def _checked(name: str, days: int) -> str:
    """The name as it is stored. Raises InvalidForm."""
    name, code = NAME.read(name)
    issues = [] if code is None else [issue((*INPUT, "name"), code, NAME.params(code))]
    if not 1 <= days <= MOST_DAYS:
        bounds = {"min": 1, "max": MOST_DAYS}
        issues.append(issue((*INPUT, "expiresInDays"), IssueCode.NUMBER_OUT_OF_RANGE, bounds))
    if issues:
        raise InvalidForm(issues)
    return name
