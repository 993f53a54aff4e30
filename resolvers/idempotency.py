"""Making something once under an idempotency key, and its secret again for a repeat.

A secret is an HMAC of the key and of an id that each making has for itself, so that it need not be
stored, and so that a key which is used again once it is forgotten never brings an old secret back.
"""

from dataclasses import dataclass
from uuid import UUID

from domain.auth.roles import Caller
from domain.errors.exceptions import IdempotencyKeyReused
from persistence.engine.database import Connection
from persistence.ids import new_id
from persistence.repositories import idempotency
from resolvers.accounts.tokens import TokenKind, new_token, token_of
from resolvers.security.secrets import derive_keys, fingerprint, verify_fingerprint
from resolvers.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """A token that an organiser has made. Keys are the organiser's own; None for no key."""

    caller: Caller
    operation: str
    kind: TokenKind
    key: str | None
    content: object
    made_id: UUID

    @property
    def own_key(self) -> str:
        return f"{self.caller.actor}:{self.key}"


def making(
    caller: Caller, operation: str, kind: TokenKind, *, key: str | None, content: object
) -> Making:
    return Making(
        caller=caller,
        operation=operation,
        kind=kind,
        key=key,
        content=content,
        made_id=new_id(),
    )


def token_for(services: Services, making: Making) -> str:
    """The text of the token, random where there is no key."""
    if making.key is None:
        return new_token(making.kind)
    return tokens_of(services, making, making.made_id)[0]


def tokens_of(services: Services, making: Making, made_id: UUID) -> tuple[str, ...]:
    """The text of the token that was made with this id, by each secret of the service."""
    message = f"{making.operation}:{making.own_key}:{made_id.hex}".encode()
    return tuple(
        token_of(making.kind, digest)
        for digest in derive_keys(services.secrets, "repeatable-token", message)
    )


async def reserve(services: Services, connection: Connection, making: Making) -> UUID | None:
    """Use the key, if there is one. Return the id of what it made before, None for nothing.

    Raises IdempotencyKeyReused, IdempotencyInProgress.
    """
    if making.key is None:
        return None
    now = services.clock()
    remembered = await idempotency.reserve(
        connection,
        operation=making.operation,
        key=making.own_key,
        fingerprint=fingerprint(services.secrets, making.content),
        object_id=making.made_id,
        now=now,
        expires_at=now + services.idempotency_kept,
    )
    if remembered is None:
        return None
    if not verify_fingerprint(services.secrets, making.content, remembered.fingerprint):
        raise IdempotencyKeyReused
    return remembered.team_id
