"""Argon2id, in a thread and only a few at once: each needs tens of megabytes."""

import base64
import secrets

from anyio import CapacityLimiter, to_thread
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from domain.auth.passwords import canonical

AT_ONCE = 2


class Passwords:
    """`hasher` sets what one verification costs; it is the same for everybody."""

    def __init__(self, hasher: PasswordHasher, *, at_once: int = AT_ONCE) -> None:
        self._hasher = hasher
        self._threads = CapacityLimiter(at_once)
        self._nobody = _hash_of_nobody(hasher)

    async def hash(self, password: str) -> str:
        return await to_thread.run_sync(self._hasher.hash, _bytes(password), limiter=self._threads)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Without a hash False, after the same work."""
        return await to_thread.run_sync(
            self._verify, password_hash or self._nobody, _bytes(password), limiter=self._threads
        )

    def _verify(self, password_hash: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


def _bytes(password: str) -> bytes:
    # Half a character is a wrong password, not a failure.
    return canonical(password).encode("utf-8", "surrogatepass")


def _hash_of_nobody(hasher: PasswordHasher) -> str:
    """Random bytes in the place of a hash, with the parameters of a real one."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(length)).rstrip(b"=").decode()
        for length in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"
