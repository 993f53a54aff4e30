"""API tokens of organisers, for scripts."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog

from domain.audit import AuditAction
from domain.auth.roles import Caller, Role, require_session
from domain.errors.exceptions import InvalidForm, NotFound
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import INPUT, make_issue
from domain.registration.names import FreeText
from persistence.records import ApiTokenRecord
from persistence.unit_of_work import UnitOfWork
from resolvers import audit
from resolvers.accounts.request_signing import signing_secret
from resolvers.accounts.sessions import require_access, revocation_scope
from resolvers.accounts.tokens import TokenKind, hash_token
from resolvers.idempotency import TokenCreation, create_token, find_created, reserve_key
from resolvers.services import Services

NAME_RULE = FreeText(max_length=80)
MAX_LIFETIME_DAYS = 365

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiToken:
    """A created token. `token` is the secret; only its hash is stored.

    `is_replay`: the idempotency key created this token before, nothing was written.
    """

    token: str
    signing_secret: str | None
    record: ApiTokenRecord
    is_replay: bool = False


async def create(  # noqa: PLR0913 - the fields of a token
    services: Services,
    caller: Caller,
    *,
    name: str,
    role: Role,
    days: int,
    is_signed: bool = False,
    key: str | None = None,
) -> NewApiToken:
    """Create a token, or return the token that the idempotency key created before.

    Raises Unauthenticated, InvalidForm, IdempotencyKeyReused, IdempotencyInProgress; Forbidden for
    a role above the caller's; NotFound for a key whose token has ended.
    """
    require_session(caller, role)
    organiser_id = require_access(caller, None)
    name = _validate(name, days)
    creation = TokenCreation(
        caller=caller,
        operation="createApiToken",
        kind=TokenKind.API,
        key=key,
        content=(name, role, days, is_signed),
    )
    now, token = services.clock(), create_token(services, creation)
    record = ApiTokenRecord(
        id=creation.object_id,
        organiser_id=organiser_id,
        name=name,
        role=role,
        created_at=now,
        expires_at=now + timedelta(days=days),
        last_used_at=None,
        is_signed=is_signed,
    )

    async def add(uow: UnitOfWork) -> NewApiToken:
        earlier_id = await reserve_key(services, uow, creation)
        if earlier_id is not None:
            return await _replay(services, uow, creation, earlier_id)
        await _add(uow, caller, record, token)
        return _new_api_token(services, token, record)

    new = await services.database.run(add, repeatable=key is not None)
    if not new.is_replay:
        log.info("api_token_created", organiser_id=organiser_id, role=role)
    return new


async def _add(uow: UnitOfWork, caller: Caller, record: ApiTokenRecord, token: str) -> None:
    uow.api_tokens.add(record, token_hash=hash_token(token))
    await audit.record(
        uow,
        AuditAction.API_TOKEN_CREATED,
        caller.actor,
        at=record.created_at,
        organiser_id=record.organiser_id,
        changes={"token": record.id.hex, "role": record.role.value, "signed": record.is_signed},
    )


async def _replay(
    services: Services, uow: UnitOfWork, creation: TokenCreation, earlier_id: UUID
) -> NewApiToken:
    """Return the token of an earlier creation. Raises NotFound if it has ended."""
    # After a commit whose answer was lost, the retry finds its own id, which is no replay.
    is_replay = earlier_id != creation.object_id
    find = partial(uow.api_tokens.find_active, now=services.clock())
    created = await find_created(services, creation, earlier_id, find)
    if created is None:
        raise NotFound("This API token has ended. Use a new Idempotency-Key for another one.")
    return _new_api_token(services, *created, is_replay=is_replay)


def _new_api_token(
    services: Services, token: str, record: ApiTokenRecord, *, is_replay: bool = False
) -> NewApiToken:
    secret = signing_secret(services.secrets, record.id) if record.is_signed else None
    return NewApiToken(token=token, signing_secret=secret, record=record, is_replay=is_replay)


async def list_tokens(
    services: Services, caller: Caller, organiser_id: UUID | None = None
) -> list[ApiTokenRecord]:
    """List the caller's tokens or, for an OWNER, those of another organiser.

    Raises Unauthenticated, Forbidden.
    """
    organiser_id = require_access(caller, organiser_id)
    return await services.database.read(
        lambda uow: uow.api_tokens.list_by_organiser(
            organiser_id=organiser_id, now=services.clock()
        )
    )


async def revoke(services: Services, caller: Caller, token_id: UUID) -> ApiTokenRecord:
    """End a token of the caller or, for an OWNER, of any organiser.

    Raises Unauthenticated, Forbidden, NotFound.
    """
    require_session(caller, Role.VIEWER)

    async def end(uow: UnitOfWork) -> ApiTokenRecord:
        token = await uow.api_tokens.delete(token_id, organiser_id=revocation_scope(caller))
        if token is None:
            raise NotFound("There is no such API token.")
        await audit.record(
            uow,
            AuditAction.API_TOKEN_REVOKED,
            caller.actor,
            at=services.clock(),
            organiser_id=token.organiser_id,
            changes={"token": token_id.hex},
        )
        return token

    return await services.database.run(end)


def _validate(name: str, days: int) -> str:
    """Return the normalised name. Raises InvalidForm."""
    name, code = NAME_RULE.parse(name)
    issues = [] if code is None else [make_issue((*INPUT, "name"), code, NAME_RULE.params(code))]
    if not 1 <= days <= MAX_LIFETIME_DAYS:
        bounds = {"min": 1, "max": MAX_LIFETIME_DAYS}
        issues.append(make_issue((*INPUT, "expiresInDays"), IssueCode.NUMBER_OUT_OF_RANGE, bounds))
    if issues:
        raise InvalidForm(issues)
    return name
