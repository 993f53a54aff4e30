"""Rate limit policies, and the state that clients are told in response headers."""

from dataclasses import dataclass

from domain.errors.exceptions import RateLimited
from web.headers import RawHeaders


class RateLimitPolicy:
    """A quota: `quota` operations of a kind within `minutes` minutes."""

    def __init__(self, kind: str, name: str, quota: int, *, minutes: int) -> None:
        self.kind = kind
        self.name = name.encode()
        self.quota = quota
        self.minutes = minutes
        self.seconds = minutes * 60
        self.header = (b"ratelimit-policy", f'"{name}";q={quota};w={self.seconds}'.encode())


@dataclass(slots=True)
class RateLimitStatus:
    """The state of a client under a policy, after a counted request."""

    policy: RateLimitPolicy
    remaining: int
    reset_seconds: int

    def headers(self) -> RawHeaders:
        """Return the RateLimit headers (draft-ietf-httpapi-ratelimit-headers)."""
        rate = b'"%b";r=%d;t=%d' % (self.policy.name, self.remaining, self.reset_seconds)
        return [self.policy.header, (b"ratelimit", rate)]


class RateLimitExceeded(RateLimited):
    """A refusal by a rate limit. The client may retry after the reset of `rate_limit`."""

    def __init__(self, rate_limit: RateLimitStatus) -> None:
        super().__init__(retry_after_seconds=rate_limit.reset_seconds)
        self.rate_limit = rate_limit
