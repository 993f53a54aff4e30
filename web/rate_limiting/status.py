"""What a client is told of the rate that it is counted by."""

from dataclasses import dataclass

from domain.errors.exceptions import RateLimited
from web.headers import RawHeaders


class RateLimitPolicy:
    """So many operations of a kind within so many minutes."""

    def __init__(self, kind: str, name: str, quota: int, *, minutes: int) -> None:
        self.kind = kind
        self.name = name.encode()
        self.quota = quota
        self.minutes = minutes
        self.seconds = minutes * 60
        self.header = (b"ratelimit-policy", f'"{name}";q={quota};w={self.seconds}'.encode())


@dataclass(slots=True)
class RateLimitStatus:
    """Where a client stands after a request that was counted by the policy."""

    policy: RateLimitPolicy
    remaining: int
    reset_seconds: int

    def headers(self) -> RawHeaders:
        """Headers as the draft of the IETF's HTTPAPI group has them."""
        rate = b'"%b";r=%d;t=%d' % (self.policy.name, self.remaining, self.reset_seconds)
        return [self.policy.header, (b"ratelimit", rate)]


class RateLimitExceeded(RateLimited):
    """`rate_limit` is as of the refusal; its reset is when to come again."""

    def __init__(self, rate_limit: RateLimitStatus) -> None:
        super().__init__(retry_after_seconds=rate_limit.reset_seconds)
        self.rate_limit = rate_limit
