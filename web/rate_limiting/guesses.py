"""Limit wrong tokens in addresses and headers: tickets, links, the token of `/metrics`."""

from collections.abc import Sequence

from starlette.requests import Request

from domain.errors.base import DomainError
from resolvers.security.secrets import InvalidSignature
from web.auth.client_ip import client_key
from web.rate_limiting.limiter import RateLimiter
from web.rate_limiting.status import RateLimitExceeded


class GuessLimiter:
    """Count and limit the wrong tokens of each client.

    Valid tokens are never refused, so that guessing does not lock out other people at the same
    address.
    """

    def __init__(self, limits: RateLimiter, trusted_proxies: Sequence[str]) -> None:
        self._limits = limits
        self._trusted_proxies = tuple(trusted_proxies)

    def client(self, request: Request) -> str:
        """Return the client that the request is counted for."""
        return client_key(request.scope, self._trusted_proxies)

    async def count(self, request: Request, error: DomainError) -> DomainError:
        """Count a wrong token. Return `error`, or RateLimitExceeded after too many."""
        try:
            await self._limits.count_token(self.client(request))
        except RateLimitExceeded as refusal:
            return refusal
        return error

    async def count_if_guess(self, request: Request, error: DomainError) -> DomainError:
        """Count an invalid signature as `count` does. Return every other error unchanged."""
        return await self.count(request, error) if isinstance(error, InvalidSignature) else error
