"""The address of a client, also behind trusted proxies."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from starlette.types import Scope

from resilience.byte_bounded_cache import cached
from web.headers import HEADER_CACHE_ENTRY_BYTES, header_index

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_HOPS = 20
# About 2,000 clients.
CLIENTS_MAX_BYTES = 1 << 20


def client_key(scope: Scope, trusted_proxies: Sequence[str]) -> str:
    """Return the client that a request is counted for: an IPv4 address or an IPv6 /64 network.

    Clients without an address, such as those on a Unix socket, are `local`.
    """
    return _client(_peer(scope), _forwarded(scope), tuple(trusted_proxies))


def client_ip(scope: Scope, trusted_proxies: Sequence[str]) -> Address | None:
    """Return the address of the client; None for a peer without an address.

    Only entries of X-Forwarded-For that trusted proxies have added are used.
    """
    return _address(_peer(scope), _forwarded(scope), tuple(trusted_proxies))


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return (client[0] or "") if client else ""


def _forwarded(scope: Scope) -> tuple[bytes, ...]:
    return header_index(scope).get(b"x-forwarded-for", ())


# Cached, since the same few clients send most requests.
@cached(CLIENTS_MAX_BYTES, max_entry_bytes=HEADER_CACHE_ENTRY_BYTES)
def _client(peer: str, forwarded: tuple[bytes, ...], trusted_proxies: tuple[str, ...]) -> str:
    address = _address(peer, forwarded, trusted_proxies)
    return _network_key(address) if address is not None else "local"


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


def _parse(entry: str) -> Address | None:
    """Parse an address with or without brackets, port and zone. Return None for anything else."""
    host = entry[1:].partition("]")[0] if entry.startswith("[") else entry
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _network_key(address: Address) -> str:
    if address.version == 4:  # noqa: PLR2004 - IPv4
        return str(address)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


@lru_cache(maxsize=8)
def parse_networks(networks: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(network, strict=False) for network in networks)
