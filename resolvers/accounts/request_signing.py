"""Requests of scripts that are signed, so that a token that was seen is of no use by itself."""

import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from uuid import UUID

from domain.errors.exceptions import Unauthenticated
from persistence.repositories import sessions as stored_sessions
from resolvers.security.secrets import Secrets, derive_keys, is_same
from resolvers.services import Services

PURPOSE = "request-signature"
# How far the clock of a script may be off, and how long its nonces are kept.
TOLERANCE = timedelta(minutes=5)
NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")

_TIMESTAMP = re.compile(r"[0-9]{10}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """A request as it came. `target` is the path with its query, as it was sent."""

    method: str
    target: str
    timestamp: str
    nonce: str
    signature: str
    body: bytes


def signing_secret(secrets: Secrets, token_id: UUID) -> str:
    """64 hexadecimal digits; stored nowhere."""
    return derive_keys(secrets, PURPOSE, token_id.bytes)[0].hex()


def signature_of(secret: str, request: SignedRequest) -> str:
    """An HMAC with SHA-256 over five lines, in hexadecimal digits."""
    lines = (
        request.method,
        request.target,
        request.timestamp,
        request.nonce,
        sha256(request.body).hexdigest(),
    )
    return hmac.new(bytes.fromhex(secret), "\n".join(lines).encode(), sha256).hexdigest()


async def require_signature(
    services: Services, token_id: UUID, request: SignedRequest | None
) -> None:
    """Each signature is good once. Raises Unauthenticated."""
    if request is None:
        raise Unauthenticated("Requests with this API token have to be signed.")
    now = services.clock()
    if not _is_recent(request.timestamp, now) or not NONCE.fullmatch(request.nonce):
        raise Unauthenticated("The signature is too old or too new, or its nonce is none.")
    expected = (
        signature_of(secret.hex(), request)
        for secret in derive_keys(services.secrets, PURPOSE, token_id.bytes)
    )
    if not any(is_same(one, request.signature.lower()) for one in expected):
        raise Unauthenticated("The signature is not that of this request.")
    is_new = await services.database.run(
        partial(
            stored_sessions.use_nonce,
            token_id=token_id,
            nonce=request.nonce,
            # One from ahead of our clock can come again for twice as long.
            expires_at=now + 2 * TOLERANCE,
        ),
        repeatable=False,
    )
    if not is_new:
        raise Unauthenticated("This request was made before.")


def _is_recent(timestamp: str, now: datetime) -> bool:
    if not _TIMESTAMP.fullmatch(timestamp):
        return False
    return abs(datetime.fromtimestamp(int(timestamp), UTC) - now) <= TOLERANCE
