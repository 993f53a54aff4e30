"""Attempts to guess passwords, codes and tokens, counted in moving windows.

Attempts at passwords and codes are counted before they are checked, and cleared after a success.
A wrong token is counted once within its window, however often it is sent.
"""

import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

# At 10,000 attempts a minute these sets take about 60 MB.
MAX_ATTEMPT_SETS = 100_000
# An account as a whole has this many times the quota of one client.
ACCOUNT_FACTOR = 10


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, counted in several sets: `sets` has the name and quota of each.

    The first set belongs to one client and one account. A success clears exactly its attempts. An
    attempt whose id is in the sets already is allowed, and not counted again.
    """

    sets: Sequence[tuple[str, int]]
    id: str = field(default_factory=lambda: secrets.token_hex(8))


def password_attempt(account: str, client: str, quota: int) -> Attempt:
    """Return an attempt at a password by a client that has not signed in to the account before."""
    return Attempt(
        (
            (f"{client} at {account}", quota),
            (f"client {client}", quota),
            (f"account {account}", quota * ACCOUNT_FACTOR),
        )
    )


def known_device_attempt(account: str, device: str, quota: int) -> Attempt:
    """Return an attempt at a password by a client that has signed in to the account before.

    Attempts by unknown clients do not count against it.
    """
    return Attempt(((f"device {device} at {account}", quota),))


def code_attempt(account: str, client: str, quota: int) -> Attempt:
    """Return an attempt at a code of six digits, by a client with the password or a session."""
    return Attempt(((f"{client} at code of {account}", quota), (f"code of {account}", quota)))


def known_device_code_attempt(account: str, device: str, quota: int) -> Attempt:
    """Return an attempt at a code by a client that has signed in to the account before.

    Attempts by unknown clients do not count against it. All known clients share a quota too, since
    an attacker may have signed in with many clients before the second factor was enabled.
    """
    return Attempt(
        (
            (f"device {device} at code of {account}", quota),
            (f"known code of {account}", quota * ACCOUNT_FACTOR),
        )
    )


def token_attempt(client: str, token: str | None, quota: int) -> Attempt:
    """Return an attempt with a wrong token. Equal tokens are one attempt; None is always new."""
    sets = ((f"tokens of {client}", quota),)
    if token is None:
        return Attempt(sets)
    return Attempt(sets, id=sha256(token.encode("utf-8", "surrogatepass")).hexdigest()[:32])


class AttemptStore:
    """Sets of attempts in the memory of this process, each attempt with its time of expiry."""

    def __init__(self) -> None:
        self._sets: OrderedDict[str, dict[str, float]] = OrderedDict()

    def reserve(self, attempt: Attempt, seconds: int) -> int:
        """Count the attempt for `seconds`. Return 0, or the seconds to wait if it is refused."""
        now = time.time()
        sets = [self._current(name, now) for name, _ in attempt.sets]
        if all(attempt.id in members for members in sets):
            return 0
        waits = [
            list(members.values())[len(members) - quota] - now
            for members, (_, quota) in zip(sets, attempt.sets, strict=True)
            if len(members) >= quota
        ]
        if waits:
            return max(1, math.ceil(max(waits)))
        self.add(attempt, seconds)
        return 0

    def add(self, attempt: Attempt, seconds: int) -> None:
        """Count an attempt that is allowed."""
        now = time.time()
        for name, _ in attempt.sets:
            members = self._current(name, now)
            members[attempt.id] = now + seconds
            self._sets[name] = members
            self._sets.move_to_end(name)
        while len(self._sets) > MAX_ATTEMPT_SETS:
            self._sets.popitem(last=False)

    def cancel(self, attempt: Attempt) -> None:
        """Remove an attempt that was not checked after all."""
        for name, _ in attempt.sets:
            self._sets.get(name, {}).pop(attempt.id, None)

    def clear_after_success(self, attempt: Attempt) -> None:
        """Remove the attempts of the first set from all sets."""
        (first_name, _), *others = attempt.sets
        members = self._sets.pop(first_name, {})
        for name, _ in others:
            remaining = self._sets.get(name, {})
            for member in members:
                remaining.pop(member, None)
            if not remaining:
                self._sets.pop(name, None)

    def _current(self, name: str, now: float) -> dict[str, float]:
        """Return the set without expired attempts; a new one if there is none."""
        members = self._sets.get(name, {})
        for member in [id_ for id_, expires_at in members.items() if expires_at <= now]:
            del members[member]
        return members
