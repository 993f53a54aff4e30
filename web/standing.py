"""What a client is told of the rate that it is counted by."""

from dataclasses import dataclass
from functools import lru_cache

from domain.errors import RateLimited
from web.refusals import Pairs

POLICIES_KEPT = 64


@dataclass(slots=True, kw_only=True)
class Standing:
    """Where a client stands after a request that was counted."""

    name: str
    quota: int
    window_seconds: int
    remaining: int
    reset_seconds: int

    def pairs(self) -> Pairs:
        """Headers as the draft of the IETF's HTTPAPI group has them."""
        rate = f'"{self.name}";r={self.remaining};t={self.reset_seconds}'
        return [
            _policy(self.name, self.quota, self.window_seconds),
            (b"ratelimit", rate.encode()),
        ]


class Exceeded(RateLimited):
    """`standing` is as of the refusal; its reset is when to come again."""

    def __init__(self, standing: Standing) -> None:
        super().__init__(retry_after_seconds=standing.reset_seconds)
        self.standing = standing


@lru_cache(maxsize=POLICIES_KEPT)
def _policy(name: str, quota: int, window_seconds: int) -> tuple[bytes, bytes]:
    return b"ratelimit-policy", f'"{name}";q={quota};w={window_seconds}'.encode()
