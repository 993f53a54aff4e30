"""`/metrics`: Prometheus metrics, for clients with the token or on this machine."""

import hmac
import ipaddress

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from domain.errors.exceptions import Forbidden, Unauthenticated
from observability.metrics import exposition
from resolvers.operations import metrics
from resolvers.services import Services
from web.errors import error_response
from web.headers import bearer_token
from web.rate_limiting.guesses import GuessLimiter

# A request with one of these headers has come through a proxy, and may be from anywhere.
PROXY_HEADERS = frozenset(("forwarded", "via", "x-real-ip"))
CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"


class Metrics:
    """The endpoint. Without a configured token it answers only direct, local connections."""

    def __init__(self, services: Services, guesses: GuessLimiter, token: SecretStr | None) -> None:
        self._services = services
        self._guesses = guesses
        self._token = None if token is None else token.get_secret_value()

    async def respond(self, request: Request) -> Response:
        if self._token is not None:
            token = bearer_token(request.scope) or ""
            if not hmac.compare_digest(token.encode("latin-1"), self._token.encode()):
                return error_response(await self._guesses.count(request, Unauthenticated()))
        elif not _is_local(request):
            return error_response(Forbidden())
        await metrics.collect(self._services)
        return Response(exposition(), headers={"Content-Type": CONTENT_TYPE})


def _is_local(request: Request) -> bool:
    if request.client is None or any(map(_is_proxy_header, request.headers)):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _is_proxy_header(name: str) -> bool:
    return name in PROXY_HEADERS or name.startswith("x-forwarded-")
