"""Which address counts as one client, whoever stands in between."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from starlette.types import Scope

from resilience.byte_bounded_cache import cached
from web.graphql.negotiation import HEADER_MAX_BYTES
from web.headers import header_index

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_HOPS = 20
CLIENTS_MAX_BYTES = 512 << 10


def client_key(scope: Scope, trusted_proxies: Sequence[str]) -> str:
    """The address that counts as one client: an IPv4 address or an IPv6 network of 64 bits."""
    return _client(_peer(scope), _forwarded(scope), tuple(trusted_proxies))


def client_ip(scope: Scope, trusted_proxies: Sequence[str]) -> Address | None:
    """Where a request comes from; None for a peer without an address.

    Forwarded addresses are believed only as far as trusted proxies wrote them.
    """
    return _address(_peer(scope), _forwarded(scope), tuple(trusted_proxies))


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return (client[0] or "") if client else ""


def _forwarded(scope: Scope) -> tuple[bytes, ...]:
    return header_index(scope).get(b"x-forwarded-for", ())


# The same few clients ask again and again.
@cached(CLIENTS_MAX_BYTES, max_entry_bytes=HEADER_MAX_BYTES)
def _client(peer: str, forwarded: tuple[bytes, ...], trusted_proxies: tuple[str, ...]) -> str:
    address = _address(peer, forwarded, trusted_proxies)
    return _group(address) if address is not None else "local"


def _address(
    peer: str, forwarded: tuple[bytes, ...], trusted_proxies: tuple[str, ...]
) -> Address | None:
    networks = parse_networks(trusted_proxies)
    client = _parse(peer)
    if client is None:
        return None
    hops = [hop.strip() for value in forwarded for hop in value.decode("latin-1").split(",")]
    for hop in reversed(hops[-MAX_HOPS:]):
        if not any(client in network for network in networks):
            break
        address = _parse(hop)
        if address is None:
            break
        client = address
    return client


def _parse(text: str) -> Address | None:
    host = text[1:].partition("]")[0] if text.startswith("[") else text
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _group(address: Address) -> str:
    if address.version == 4:  # noqa: PLR2004 - the version of the protocol
        return str(address)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


@lru_cache(maxsize=8)
def parse_networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
