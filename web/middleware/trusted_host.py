"""Refuse requests for other host names."""

import re
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from domain.errors.exceptions import MalformedRequest
from resilience.byte_bounded_cache import cached
from web.headers import HEADER_CACHE_BYTES, HEADER_CACHE_ENTRY_BYTES, header_index

# Probes of a platform use the address of the server, not its name.
PROBES = ("/livez", "/readyz")

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+?)\.?(:[0-9]{1,5})?")


class TrustedHost:
    """Raise MalformedRequest for a Host header that is not allowed, except on PROBES.

    `*.example.org` allows every name below example.org. Starlette's TrustedHostMiddleware answers
    in plain text, and accepts anything between the brackets or before the colon of a host.
    """

    def __init__(self, app: ASGIApp, *, allowed_hosts: Sequence[str]) -> None:
        self.app = app
        names = [host.lower() for host in allowed_hosts]
        self._names = frozenset(name for name in names if not name.startswith("*."))
        self._suffixes = tuple(name[1:] for name in names if name.startswith("*."))
        cache = cached(HEADER_CACHE_BYTES, max_entry_bytes=HEADER_CACHE_ENTRY_BYTES)
        self._is_trusted = cache(self._matches)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in PROBES:
            hosts = header_index(scope).get(b"host", ())
            if not self._is_trusted(hosts):
                raise MalformedRequest("This host name is not served here.")
        await self.app(scope, receive, send)

    def _matches(self, hosts: tuple[bytes, ...]) -> bool:
        match = _HOST.fullmatch(b",".join(hosts).decode("latin-1").lower())
        return match is not None and (match[1] in self._names or match[1].endswith(self._suffixes))
