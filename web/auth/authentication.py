"""Who makes a request: an organiser by bearer token or cookie, or anybody.

A bearer token is sent on purpose: one that is unknown or has ended is refused, whatever was asked.
A cookie is sent by itself: one that has ended counts as none, and is taken away. What is unknown is
counted as a guess, once however often it is sent; a cookie is never refused for it. A second cookie
outlives the session: strangers who guess at its account do not keep its client out.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from config.lists import strip_default_port
from domain.auth.roles import ANONYMOUS, Caller, CallerKind
from domain.errors.base import DomainError
from domain.errors.exceptions import Forbidden, Unauthenticated
from resolvers.accounts import sessions as accounts
from resolvers.accounts.known_clients import LIFETIME, read_known_client, sign_known_client
from resolvers.accounts.request_signing import SignedRequest
from resolvers.accounts.tokens import TokenEnded
from resolvers.services import Services
from schema.context import RateLimitKind
from web.auth.client_ip import client_ip, client_key, parse_networks
from web.headers import get_header, header_index
from web.rate_limiting.attempts import (
    Attempt,
    code_attempt,
    known_device_attempt,
    known_device_code_attempt,
    password_attempt,
)
from web.rate_limiting.limiter import RateLimiter
from web.rate_limiting.status import RateLimitExceeded, RateLimitStatus

COOKIE = "__Host-icct26"
PLAIN_COOKIE = "icct26"
# Behind the name of either.
KNOWN = "-known"
KNOWN_CLIENT_COOKIES = frozenset((f"{COOKIE}{KNOWN}".encode(), f"{PLAIN_COOKIE}{KNOWN}".encode()))
MANAGE_TOKEN_PREFIX = "icm_"  # noqa: S105 - the prefix of captains' tokens, which are not ours
# A browser sends these to another page's server only after a preflight.
PREFLIGHT_HEADERS = frozenset((b"x-requested-with", b"apollo-require-preflight"))
LOCAL_HOSTS = frozenset(("localhost", "127.0.0.1", "::1"))


class Authentication:
    def __init__(  # noqa: PLR0913 - one argument for each setting
        self,
        services: Services,
        limits: RateLimiter,
        *,
        environment: str,
        trusted_proxies: Sequence[str],
        cors_origins: Sequence[str],
        allowed_networks: Sequence[str],
    ) -> None:
        self.services = services
        self.limits = limits
        self.trusted_proxies = tuple(trusted_proxies)
        self.origins = frozenset(cors_origins) - {"*"}
        self.networks = parse_networks(tuple(allowed_networks))
        self.is_deployed = environment in {"staging", "production"}
        self.is_development = environment == "development"


class RequestAuth:
    """One request: who makes it, what it may do, which cookie its answer brings.

    Anybody makes it until they are recognised.
    """

    def __init__(self, sessions: Authentication, request: Request) -> None:
        self.caller: Caller = ANONYMOUS
        self.client = client_key(request.scope, sessions.trusted_proxies)
        self._sessions = sessions
        self._request = request
        self._cookie = PLAIN_COOKIE if self._is_plain() else COOKIE
        cookies = request.cookies if b"cookie" in header_index(request.scope) else {}
        self._given = cookies.get(self._cookie)
        self._known_text = cookies.get(self._cookie + KNOWN)
        self._new_known_text: str | None = None
        self._attempts: dict[str, list[Attempt]] = {}
        self._bearer = _bearer_of(request)
        self._kept: tuple[str, datetime] | None = None
        self._is_dropped = False
        self._rate_limit: RateLimitStatus | None = None
        self._is_counted = False

    @property
    def rate_limit_key(self) -> str:
        """An organiser wherever they are, anybody else by their address."""
        organiser = self.caller.organiser_id
        return f"organiser {organiser.hex}" if organiser else self.client

    @property
    def manage_token(self) -> str | None:
        """A captain's, as it was sent."""
        is_captains = self._bearer is not None and self._bearer.startswith(MANAGE_TOKEN_PREFIX)
        return self._bearer if is_captains else None

    @property
    def is_anonymous(self) -> bool:
        return self.caller.kind is CallerKind.ANONYMOUS

    async def authenticate(self, *, only_reads: bool) -> None:
        """Raises Unauthenticated, Forbidden, RateLimited."""
        token, services = self._bearer, self._sessions.services
        if token is None:
            await self._recognise_cookie(services, only_reads=only_reads)
        elif not token.startswith(MANAGE_TOKEN_PREFIX):
            self.require_allowed_network()
            is_signed = get_header(self._request.scope, b"x-signature") is not None
            signed = await _signed(self._request) if is_signed else None
            try:
                self.caller = await accounts.authenticate(
                    services, token, signed, allow_cached=only_reads
                )
            except TokenEnded:
                raise
            except Unauthenticated:
                # With another signature it is another guess.
                await self.count_token_guess(f"{token} {signed.signature if signed else ''}")
                raise

    async def _recognise_cookie(self, services: Services, *, only_reads: bool) -> None:
        if self._given is not None and self._is_allowed_place():
            try:
                self.caller = await accounts.authenticate(
                    services, self._given, allow_cached=only_reads
                )
            except TokenEnded:
                self.clear_session_cookie()
            except Unauthenticated:
                self.clear_session_cookie()
                with suppress(RateLimitExceeded):
                    await self.count_token_guess(self._given)

    async def check_rate_limit(self, kind: RateLimitKind, count: int = 1) -> None:
        """Raises Forbidden, RateLimited."""
        if kind != "query":
            self._check_csrf()
        await self._hit(kind, count)

    async def count_if_uncounted(self, kind: RateLimitKind) -> None:
        """Count a request that nothing has counted: to refuse is work too. Raises RateLimited."""
        if not self._is_counted:
            await self._hit(kind)

    @property
    def is_waiting(self) -> bool:
        """Whether the client was told to come again later, and has not waited for so long."""
        return self._sessions.limits.is_waiting(self.rate_limit_key)

    def require_no_wait(self, kind: RateLimitKind | None) -> None:
        """Refuse what would be refused after more work; see RateLimits. Raises Exceeded."""
        try:
            self._sessions.limits.require_no_wait(kind, self.rate_limit_key)
        except RateLimitExceeded:
            # A client that waits is not counted again.
            self._is_counted = True
            raise

    async def count_refusal(self, error: DomainError, kind: RateLimitKind) -> DomainError:
        """The error of a request, or the rate limit that the refusal exceeds."""
        try:
            await self.count_if_uncounted(kind)
        except RateLimitExceeded as refusal:
            error = refusal
        if isinstance(error, RateLimitExceeded):
            # It tells a standing of its own.
            self._rate_limit = None
        return error

    async def _hit(self, kind: RateLimitKind, count: int = 1) -> None:
        self._is_counted = True
        limits = self._sessions.limits
        try:
            self._rate_limit = await limits.hit(kind, self.rate_limit_key, count)
        except RateLimitExceeded as refusal:
            self._rate_limit = refusal.rate_limit
            await limits.remember(refusal, self.rate_limit_key)
            raise

    def require_allowed_network(self) -> None:
        if not self._is_allowed_place():
            raise Forbidden("Organisers cannot work from this network.")

    async def count_sign_in(self, account: str) -> None:
        self.require_allowed_network()
        quota = self._sessions.limits.sign_ins.quota
        device = self._device_known_to(account)
        if device is not None:
            attempt = known_device_attempt(account, device, quota)
        else:
            attempt = password_attempt(account, self.client, quota)
        await self._reserve(account, attempt)

    async def count_code(self, account: str) -> None:
        quota = self._sessions.limits.sign_ins.quota
        device = self._device_known_to(account)
        if device is not None:
            attempt = known_device_code_attempt(account, device, quota)
        else:
            attempt = code_attempt(account, self.client, quota)
        await self._reserve(account, attempt)

    async def reset_sign_in_count(self, account: str) -> None:
        for attempt in self._attempts.pop(account, ()):
            await self._sessions.limits.forgive(attempt)

    async def uncount_sign_ins(self, account: str) -> None:
        for attempt in self._attempts.pop(account, ()):
            await self._sessions.limits.take_back(attempt)

    async def count_token_guess(self, token: str) -> None:
        await self._sessions.limits.count_token(self.client, token)

    def remember_client(self, account: str) -> None:
        services = self._sessions.services
        before = read_known_client(services, self._new_known_text or self._known_text)
        self._new_known_text = sign_known_client(services, before, account)

    def set_session_cookie(self, token: str, expires_at: datetime) -> None:
        self._kept = (token, expires_at)

    def clear_session_cookie(self) -> None:
        self._kept, self._is_dropped = None, True

    def apply_to_response(self, response: Response) -> Response:
        """The response with the cookies that it brings, or takes away, and the client's rate."""
        if self._rate_limit is not None:
            response.raw_headers += self._rate_limit.headers()
        if self._kept is not None:
            token, expires_at = self._kept
            left = (expires_at - self._sessions.services.clock()).total_seconds()
            self._set_cookie(response, self._cookie, token, math.floor(left))
        elif self._is_dropped and self._given is not None:
            self._set_cookie(response, self._cookie, "", 0)
        if self._new_known_text is not None:
            seconds = int(LIFETIME.total_seconds())
            self._set_cookie(response, self._cookie + KNOWN, self._new_known_text, seconds)
        return response

    def _device_known_to(self, account: str) -> str | None:
        """The client's name where it has signed in to the account before."""
        known = read_known_client(self._sessions.services, self._known_text)
        return known.device if known is not None and known.has_signed_in_to(account) else None

    async def _reserve(self, account: str, attempt: Attempt) -> None:
        await self._sessions.limits.reserve(attempt)
        self._attempts.setdefault(account, []).append(attempt)

    def _set_cookie(self, response: Response, name: str, value: str, seconds: int) -> None:
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            path="/",
            secure=self._cookie == COOKIE,
            httponly=True,
            samesite="strict" if self._cookie == COOKIE else "lax",
        )

    def _is_plain(self) -> bool:
        """On a developer's machine, where there is no TLS for a secure cookie."""
        if not self._sessions.is_development:
            return False
        url = self._request.url
        return url.scheme == "http" and url.hostname in LOCAL_HOSTS

    def _is_allowed_place(self) -> bool:
        networks = self._sessions.networks
        if not networks:
            return True
        address = client_ip(self._request.scope, self._sessions.trusted_proxies)
        return address is not None and any(address in network for network in networks)

    def _check_csrf(self) -> None:
        """Other people's pages can make a browser send its cookie. Raises Forbidden."""
        if self._bearer is not None or self._given is None:
            return
        scope = self._request.scope
        origin = get_header(scope, b"origin") or ""
        if not header_index(scope).keys().isdisjoint(PREFLIGHT_HEADERS) or self._is_allowed_origin(
            origin.lower()
        ):
            return
        raise Forbidden(
            "With the cookie a mutation needs the Origin of an allowed page, or the header"
            " X-Requested-With or Apollo-Require-Preflight."
        )

    def _is_allowed_origin(self, origin: str) -> bool:
        host = (get_header(self._request.scope, b"host") or "").lower()
        schemes = ("https",) if self._sessions.is_deployed else ("https", "http")
        own = {strip_default_port(f"{scheme}://{host}") for scheme in schemes if host}
        return strip_default_port(origin) in own | self._sessions.origins


def _bearer_of(request: Request) -> str | None:
    """None for another scheme: that is a proxy's, not ours."""
    authorization = get_header(request.scope, b"authorization") or ""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


async def _signed(request: Request) -> SignedRequest:
    """The request for its signature."""
    scope = request.scope
    query = scope["query_string"].decode("latin-1")
    path = scope["raw_path"].decode("latin-1")
    return SignedRequest(
        method=request.method,
        target=f"{path}?{query}" if query else path,
        timestamp=get_header(scope, b"x-signature-timestamp") or "",
        nonce=get_header(scope, b"x-signature-nonce") or "",
        signature=get_header(scope, b"x-signature") or "",
        body=await request.body(),
    )
