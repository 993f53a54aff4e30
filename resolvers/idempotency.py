"""Idempotent creation of API tokens and invitations.

The secret token is derived by HMAC from the idempotency key and a random id of the creation, so a
repeated request gets the same token although only its hash is stored. Because of the id, a key
that is used again after it has expired gives a new token.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from domain.auth.roles import Caller
from domain.errors.exceptions import IdempotencyKeyReused
from persistence.ids import new_id
from persistence.records import IdempotencyEntry
from persistence.unit_of_work import UnitOfWork
from resolvers.accounts.tokens import TokenKind, encode_token, hash_token, new_token
from resolvers.security.secrets import derive_keys, fingerprint, verify_fingerprint
from resolvers.services import Services

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCreation:
    """A request to create a token. `key` is the idempotency key; `content` is the input."""

    caller: Caller
    operation: str
    kind: TokenKind
    key: str | None
    content: object
    object_id: UUID = field(default_factory=new_id)

    @property
    def scoped_key(self) -> str:
        """The key with its organiser: two organisers may use the same key."""
        return f"{self.caller.actor}:{self.key}"


def create_token(services: Services, creation: TokenCreation) -> str:
    """Return a token derived from the idempotency key, a random one without a key."""
    if creation.key is None:
        return new_token(creation.kind)
    return derived_tokens(services, creation, creation.object_id)[0]


def derived_tokens(services: Services, creation: TokenCreation, object_id: UUID) -> tuple[str, ...]:
    """Return the token of an earlier creation, derived with each secret of the service."""
    message = f"{creation.operation}:{creation.scoped_key}:{object_id.hex}".encode()
    return tuple(
        encode_token(creation.kind, digest)
        for digest in derive_keys(services.secrets, "repeatable-token", message)
    )


async def find_created(
    services: Services,
    creation: TokenCreation,
    object_id: UUID,
    find: Callable[[bytes], Awaitable[R | None]],
) -> tuple[str, R] | None:
    """Return the token of an earlier creation and what `find` returns for its hash.

    None if `find` returns None for the hash of every possible token.
    """
    for token in derived_tokens(services, creation, object_id):
        record = await find(hash_token(token))
        if record is not None:
            return token, record
    return None


async def reserve_key(services: Services, uow: UnitOfWork, creation: TokenCreation) -> UUID | None:
    """Reserve the key; return the object id of an earlier creation with the same key.

    Raises IdempotencyKeyReused, IdempotencyInProgress.
    """
    if creation.key is None:
        return None
    now = services.clock()
    former = await uow.idempotency.reserve(
        operation=creation.operation,
        key=creation.scoped_key,
        entry=IdempotencyEntry(
            fingerprint=fingerprint(services.secrets, creation.content),
            object_id=creation.object_id,
        ),
        now=now,
        expires_at=now + services.idempotency_ttl,
    )
    if former is None:
        return None
    if not verify_fingerprint(services.secrets, creation.content, former.fingerprint):
        raise IdempotencyKeyReused
    return former.object_id
