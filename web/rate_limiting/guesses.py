"""A limit on wrong tokens in addresses and headers: tickets, links, the token of /metrics."""

from collections.abc import Sequence

from starlette.requests import Request

from domain.errors.base import DomainError
from resolvers.security.secrets import InvalidSignature
from web.auth.client_ip import client_key
from web.rate_limiting.limiter import RateLimiter
from web.rate_limiting.status import RateLimitExceeded


class GuessLimiter:
    """Only wrong ones count, and only wrong ones are refused: links cannot be guessed by trying,
    and somebody who tries does not keep others of the same address from theirs.
    """

    def __init__(self, limits: RateLimiter, trusted_proxies: Sequence[str]) -> None:
        self._limits = limits
        self._trusted_proxies = tuple(trusted_proxies)

    def client(self, request: Request) -> str:
        """The client that the request counts for."""
        return client_key(request.scope, self._trusted_proxies)

    async def count(self, request: Request, error: DomainError) -> DomainError:
        """Count a guess; the refusal where there were too many."""
        try:
            await self._limits.count_token(self.client(request))
        except RateLimitExceeded as refusal:
            return refusal
        return error

    async def count_if_guess(self, request: Request, error: DomainError) -> DomainError:
        """The same for an error that may be another one, which stays as it is."""
        return await self.count(request, error) if isinstance(error, InvalidSignature) else error
