"""Guesses at passwords, codes and tokens, counted in windows.

Those at passwords and codes are counted before they are judged, and forgiven when they were right.
A token that was wrong is counted once within its window, however often it is sent.
"""

import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

# The names of sets of attempts that are kept: about 60 MB, at ten thousand guesses a minute.
MAX_ATTEMPT_SETS = 100_000
# An account is tried from many addresses before it waits as a whole.
ACCOUNT_FACTOR = 10


@dataclass(frozen=True, slots=True)
class Attempt:
    """One guess, counted under each name up to its quota.

    The first name is the guesser's own for the account: everything counted there is forgiven
    together, and nothing else. An attempt whose id is counted already is allowed, and takes no
    further place.
    """

    names: Sequence[tuple[str, int]]
    id: str = field(default_factory=lambda: secrets.token_hex(8))


def password_attempt(account: str, client: str, quota: int) -> Attempt:
    """A guess of a client that nobody knows."""
    return Attempt(
        (
            (f"{client} at {account}", quota),
            (f"client {client}", quota),
            (f"account {account}", quota * ACCOUNT_FACTOR),
        )
    )


def known_device_attempt(account: str, device: str, quota: int) -> Attempt:
    """A guess of a client that has signed in to the account before: strangers are not counted."""
    return Attempt(((f"device {device} at {account}", quota),))


def code_attempt(account: str, client: str, quota: int) -> Attempt:
    """A guess at a code of six digits, by somebody who knows the password or has a session."""
    return Attempt(((f"{client} at code of {account}", quota), (f"code of {account}", quota)))


def known_device_code_attempt(account: str, device: str, quota: int) -> Attempt:
    """A guess at a code by a client that has signed in before: strangers are not counted.

    Known clients together have a bound, for somebody who made many known before there was a code.
    """
    return Attempt(
        (
            (f"device {device} at code of {account}", quota),
            (f"known code of {account}", quota * ACCOUNT_FACTOR),
        )
    )


def token_attempt(client: str, text: str | None, quota: int) -> Attempt:
    """A token that was wrong. The same text is the same guess; None for a guess of its own."""
    names = ((f"tokens of {client}", quota),)
    if text is None:
        return Attempt(names)
    return Attempt(names, id=sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32])


class AttemptStore:
    """Sets of attempts in the memory of this process, each with the time when it counts no more."""

    def __init__(self) -> None:
        self._sets: OrderedDict[str, dict[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sets)

    def reserve(self, attempt: Attempt, seconds: int) -> int:
        """Count the attempt, for `seconds`. The seconds to wait where it is refused, else 0."""
        now = time.time()
        sets = [self._current(name, now) for name, _ in attempt.names]
        if all(attempt.id in members for members in sets):
            return 0
        waits = [
            list(members.values())[len(members) - quota] - now
            for members, (_, quota) in zip(sets, attempt.names, strict=True)
            if len(members) >= quota
        ]
        if waits:
            return max(1, math.ceil(max(waits)))
        self.add(attempt, seconds)
        return 0

    def add(self, attempt: Attempt, seconds: int) -> None:
        """Count an attempt that was allowed."""
        now = time.time()
        for name, _ in attempt.names:
            members = self._current(name, now)
            members[attempt.id] = now + seconds
            self._sets[name] = members
            self._sets.move_to_end(name)
        while len(self._sets) > MAX_ATTEMPT_SETS:
            self._sets.popitem(last=False)

    def remove(self, attempt: Attempt) -> None:
        """Take back an attempt that is not judged after all."""
        for name, _ in attempt.names:
            self._sets.get(name, {}).pop(attempt.id, None)

    def forgive(self, attempt: Attempt) -> None:
        """Give back what is counted under the attempt's first name, wherever it is counted."""
        (own, _), *others = attempt.names
        members = self._sets.pop(own, {})
        for name, _ in others:
            left = self._sets.get(name, {})
            for member in members:
                left.pop(member, None)
            if not left:
                self._sets.pop(name, None)

    def _current(self, name: str, now: float) -> dict[str, float]:
        """The set without attempts that count no more; a new one where there is none."""
        members = self._sets.get(name, {})
        for member in [one for one, ends_at in members.items() if ends_at <= now]:
            del members[member]
        return members
