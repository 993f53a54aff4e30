"""Authenticate requests: organisers by bearer token or session cookie, captains by manage token.

A client sends a bearer token deliberately: an unknown or ended token is an error. A browser sends
its cookie with every request: an ended session is anonymous, and its cookie is removed. Unknown
tokens and cookies are counted as guesses, each once; a cookie is never refused for that. A second
cookie, for known clients, outlives the session. It keeps failed sign-ins of other clients from
locking this client out of the account.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from config.lists import strip_default_port
from domain.auth.roles import ANONYMOUS, MANAGE_TOKEN_PREFIX, Caller, CallerKind
from domain.errors.base import DomainError
from domain.errors.exceptions import Forbidden, Unauthenticated
from resolvers.accounts import sessions as accounts
from resolvers.accounts.known_clients import LIFETIME, read_known_client, sign_known_client
from resolvers.accounts.request_signing import SignedRequest
from resolvers.accounts.tokens import TokenEnded
from resolvers.services import Services
from schema.context import RateLimitKind
from web.auth.client_ip import client_ip, client_key, parse_networks
from web.headers import bearer_token, get_header, header_index
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
# Suffix of the known-client cookie, after the name of the session cookie.
KNOWN_SUFFIX = "-known"
KNOWN_CLIENT_COOKIES = frozenset(
    (f"{COOKIE}{KNOWN_SUFFIX}".encode(), f"{PLAIN_COOKIE}{KNOWN_SUFFIX}".encode())
)
# Browsers send these headers to another origin only after a preflight.
PREFLIGHT_HEADERS = frozenset((b"x-requested-with", b"apollo-require-preflight"))
LOCAL_HOSTS = frozenset(("localhost", "127.0.0.1", "::1"))


class AuthenticationConfig:
    """Services and settings that authenticate requests."""

    def __init__(  # noqa: PLR0913 - one argument for each setting
        self,
        services: Services,
        limits: RateLimiter,
        *,
        is_deployed: bool,
        is_development: bool,
        trusted_proxies: Sequence[str],
        cors_origins: Sequence[str],
        allowed_networks: Sequence[str],
    ) -> None:
        self.services = services
        self.limits = limits
        self.trusted_proxies = tuple(trusted_proxies)
        self.origins = frozenset(cors_origins) - {"*"}
        self.networks = parse_networks(tuple(allowed_networks))
        self.is_deployed = is_deployed
        self.is_development = is_development


class RequestAuth:
    """The authentication of one request: its caller, rate limits, and cookies of its response.

    The caller is anonymous until `authenticate` has been called.
    """

    def __init__(self, authentication: AuthenticationConfig, request: Request) -> None:
        self.caller: Caller = ANONYMOUS
        self.client = client_key(request.scope, authentication.trusted_proxies)
        self._config = authentication
        self._request = request
        self._cookie = PLAIN_COOKIE if self._is_insecure_localhost() else COOKIE
        cookies = request.cookies if b"cookie" in header_index(request.scope) else {}
        self._session_token = cookies.get(self._cookie)
        self._known_cookie = cookies.get(self._cookie + KNOWN_SUFFIX)
        self._new_known_cookie: str | None = None
        self._attempts: dict[str, list[Attempt]] = {}
        bearer = bearer_token(request.scope)
        self._bearer = None if bearer is None else bearer.strip()
        self._new_session: tuple[str, datetime] | None = None
        self._is_session_cleared = False
        self._rate_limit: RateLimitStatus | None = None
        self._is_counted = False

    @property
    def rate_limit_key(self) -> str:
        """The key of rate limits: an organiser at any address, or the address of anyone else."""
        organiser = self.caller.organiser_id
        return f"organiser {organiser.hex}" if organiser else self.client

    @property
    def manage_token(self) -> str | None:
        """The captain's manage token, not verified; None without one."""
        is_captains = self._bearer is not None and self._bearer.startswith(MANAGE_TOKEN_PREFIX)
        return self._bearer if is_captains else None

    @property
    def is_anonymous(self) -> bool:
        return self.caller.kind is CallerKind.ANONYMOUS

    async def authenticate(self) -> None:
        """Set the caller.

        Raises Unauthenticated, Forbidden, RateLimited.
        """
        token, services = self._bearer, self._config.services
        if token is None:
            await self._authenticate_cookie(services)
        elif not token.startswith(MANAGE_TOKEN_PREFIX):
            self.require_allowed_network()
            is_signed = get_header(self._request.scope, b"x-signature") is not None
            signed = await _signed_request(self._request) if is_signed else None
            try:
                self.caller = await accounts.authenticate(services, token, signed)
            except TokenEnded:
                raise
            except Unauthenticated:
                # The same token with another signature is another guess.
                await self.count_token_guess(f"{token} {signed.signature if signed else ''}")
                raise

    async def _authenticate_cookie(self, services: Services) -> None:
        if self._session_token is not None and self._is_allowed_network():
            try:
                self.caller = await accounts.authenticate(services, self._session_token)
            except TokenEnded:
                self.clear_session_cookie()
            except Unauthenticated:
                self.clear_session_cookie()
                with suppress(RateLimitExceeded):
                    await self.count_token_guess(self._session_token)

    async def check_rate_limit(self, kind: RateLimitKind, count: int = 1) -> None:
        """Count operations of a kind. Raises Forbidden, RateLimited."""
        if kind != "query":
            self._check_csrf()
        await self._hit(kind, count)

    async def count_if_uncounted(self, kind: RateLimitKind) -> None:
        """Count a request that has not been counted, since refusals are work too.

        Raises RateLimited.
        """
        if not self._is_counted:
            await self._hit(kind)

    @property
    def is_waiting(self) -> bool:
        """Whether the client was told to wait, and the wait is not over."""
        return self._config.limits.is_waiting(self.rate_limit_key)

    def require_no_wait(self, kind: RateLimitKind | None) -> None:
        """Refuse early a client that has to wait: see `RateLimiter`. Raises RateLimitExceeded."""
        try:
            self._config.limits.require_no_wait(kind, self.rate_limit_key)
        except RateLimitExceeded:
            # A client that waits is not counted again.
            self._is_counted = True
            raise

    async def count_refusal(self, error: DomainError, kind: RateLimitKind) -> DomainError:
        """Count a refused request. Return its error, or RateLimitExceeded beyond the limit."""
        try:
            await self.count_if_uncounted(kind)
        except RateLimitExceeded as refusal:
            error = refusal
        if isinstance(error, RateLimitExceeded):
            # The error response has rate limit headers of its own.
            self._rate_limit = None
        return error

    async def _hit(self, kind: RateLimitKind, count: int = 1) -> None:
        self._is_counted = True
        limits = self._config.limits
        try:
            self._rate_limit = await limits.hit(kind, self.rate_limit_key, count)
        except RateLimitExceeded as refusal:
            self._rate_limit = refusal.rate_limit
            await limits.remember(refusal, self.rate_limit_key)
            raise

    def require_allowed_network(self) -> None:
        if not self._is_allowed_network():
            raise Forbidden("Organisers cannot work from this network.")

    async def count_sign_in(self, account: str) -> None:
        self.require_allowed_network()
        quota = self._config.limits.sign_ins.quota
        device = self._known_client_id(account)
        if device is not None:
            attempt = known_device_attempt(account, device, quota)
        else:
            attempt = password_attempt(account, self.client, quota)
        await self._reserve(account, attempt)

    async def count_code(self, account: str) -> None:
        quota = self._config.limits.sign_ins.quota
        device = self._known_client_id(account)
        if device is not None:
            attempt = known_device_code_attempt(account, device, quota)
        else:
            attempt = code_attempt(account, self.client, quota)
        await self._reserve(account, attempt)

    async def clear_sign_ins_after_success(self, account: str) -> None:
        for attempt in self._attempts.pop(account, ()):
            await self._config.limits.clear_after_success(attempt)

    async def cancel_sign_ins(self, account: str) -> None:
        for attempt in self._attempts.pop(account, ()):
            await self._config.limits.cancel(attempt)

    async def count_token_guess(self, token: str) -> None:
        await self._config.limits.count_token(self.client, token)

    def remember_client(self, account: str) -> None:
        services = self._config.services
        known = read_known_client(services, self._new_known_cookie or self._known_cookie)
        self._new_known_cookie = sign_known_client(services, known, account)

    def set_session_cookie(self, token: str, expires_at: datetime) -> None:
        self._new_session = (token, expires_at)

    def clear_session_cookie(self) -> None:
        self._new_session, self._is_session_cleared = None, True

    def apply_to_response(self, response: Response) -> Response:
        """Return the response with cookies and rate limit headers added."""
        if self._rate_limit is not None:
            response.raw_headers += self._rate_limit.headers()
        if self._new_session is not None:
            token, expires_at = self._new_session
            seconds_left = (expires_at - self._config.services.clock()).total_seconds()
            self._set_cookie(response, self._cookie, token, math.floor(seconds_left))
        elif self._is_session_cleared and self._session_token is not None:
            self._set_cookie(response, self._cookie, "", 0)
        if self._new_known_cookie is not None:
            seconds = int(LIFETIME.total_seconds())
            self._set_cookie(response, self._cookie + KNOWN_SUFFIX, self._new_known_cookie, seconds)
        return response

    def _known_client_id(self, account: str) -> str | None:
        """Return the id of a client that has signed in to the account before, else None."""
        known = read_known_client(self._config.services, self._known_cookie)
        return known.client_id if known is not None and known.has_signed_in_to(account) else None

    async def _reserve(self, account: str, attempt: Attempt) -> None:
        await self._config.limits.reserve(attempt)
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

    def _is_insecure_localhost(self) -> bool:
        """Return whether this is local development without TLS, which secure cookies need."""
        if not self._config.is_development:
            return False
        url = self._request.url
        return url.scheme == "http" and url.hostname in LOCAL_HOSTS

    def _is_allowed_network(self) -> bool:
        networks = self._config.networks
        if not networks:
            return True
        address = client_ip(self._request.scope, self._config.trusted_proxies)
        return address is not None and any(address in network for network in networks)

    def _check_csrf(self) -> None:
        """Refuse a cookie that a page of another origin may have sent. Raises Forbidden."""
        if self._bearer is not None or self._session_token is None:
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
        schemes = ("https",) if self._config.is_deployed else ("https", "http")
        allowed = {strip_default_port(f"{scheme}://{host}") for scheme in schemes if host}
        return strip_default_port(origin) in allowed | self._config.origins


async def _signed_request(request: Request) -> SignedRequest:
    """Return the parts of the request that its signature covers, and the signature."""
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
