"""HMAC request signatures for API tokens: a leaked token is useless without its signing secret."""

import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from domain.errors.exceptions import Unauthenticated
from resolvers.security.secrets import Secrets, constant_time_equal, derive_keys
from resolvers.services import Services

KEY_PURPOSE = "request-signature"
# Greatest accepted difference between the clocks of client and server.
TOLERANCE = timedelta(minutes=5)
NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")

_TIMESTAMP = re.compile(r"[0-9]{10}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """A request as received. `target` is the raw path with its query string."""

    method: str
    target: str
    timestamp: str
    nonce: str
    signature: str
    body: bytes


def signing_secret(secrets: Secrets, token_id: UUID) -> str:
    """Derive the signing secret of a token, 64 hexadecimal digits. It is not stored."""
    return derive_keys(secrets, KEY_PURPOSE, token_id.bytes)[0].hex()


def compute_signature(secret: str, request: SignedRequest) -> str:
    """Return HMAC-SHA256 over method, target, timestamp, nonce and body hash, in hexadecimal."""
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
    """Verify a signature and use up its nonce. Raises Unauthenticated."""
    if request is None:
        raise Unauthenticated("Requests with this API token have to be signed.")
    now = services.clock()
    if not _is_recent(request.timestamp, now) or not NONCE.fullmatch(request.nonce):
        raise Unauthenticated(
            "The timestamp is more than five minutes off, or the nonce is not valid."
        )
    expected = (
        compute_signature(secret.hex(), request)
        for secret in derive_keys(services.secrets, KEY_PURPOSE, token_id.bytes)
    )
    if not any(constant_time_equal(value, request.signature.lower()) for value in expected):
        raise Unauthenticated("The signature does not match this request.")
    is_new = await services.database.run(
        lambda uow: uow.api_tokens.use_nonce(
            token_id=token_id,
            nonce=request.nonce,
            # A timestamp in the future stays valid for up to twice the tolerance.
            expires_at=now + 2 * TOLERANCE,
        ),
        repeatable=False,
    )
    if not is_new:
        raise Unauthenticated("This nonce was used before.")


def _is_recent(timestamp: str, now: datetime) -> bool:
    if not _TIMESTAMP.fullmatch(timestamp):
        return False
    return abs(datetime.fromtimestamp(int(timestamp), UTC) - now) <= TOLERANCE
