"""Argon2id password hashing in threads; concurrency is limited because a hash takes much memory."""

import base64
import secrets

from anyio import CapacityLimiter, to_thread
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from domain.auth.passwords import canonicalize

MAX_CONCURRENT_HASHES = 2


class Passwords:
    """Hash and verify passwords with the cost parameters of `hasher`."""

    def __init__(
        self, hasher: PasswordHasher, *, max_concurrent: int = MAX_CONCURRENT_HASHES
    ) -> None:
        self._hasher = hasher
        self._limiter = CapacityLimiter(max_concurrent)
        self._dummy_hash = _dummy_hash(hasher)

    async def hash(self, password: str) -> str:
        return await to_thread.run_sync(self._hasher.hash, _encode(password), limiter=self._limiter)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Verify a dummy hash if there is none, so that timing does not reveal accounts."""
        return await to_thread.run_sync(
            self._verify,
            password_hash or self._dummy_hash,
            _encode(password),
            limiter=self._limiter,
        )

    def _verify(self, password_hash: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


def _encode(password: str) -> bytes:
    # A lone surrogate makes a wrong password, not an encoding error.
    return canonicalize(password).encode("utf-8", "surrogatepass")


def _dummy_hash(hasher: PasswordHasher) -> str:
    """Return a hash of random bytes with the parameters of real hashes."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(length)).rstrip(b"=").decode()
        for length in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"
