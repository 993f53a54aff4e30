"""Which address counts as one client, whoever stands in between."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from starlette.types import Scope

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_HOPS = 20


def client_address(scope: Scope, trusted_proxies: Sequence[str]) -> str:
    """The address that counts as one client: an IPv4 address or an IPv6 network of 64 bits."""
    client = address_of(scope, trusted_proxies)
    return _group(client) if client is not None else "local"


def address_of(scope: Scope, trusted_proxies: Sequence[str]) -> Address | None:
    """Where a request comes from; None for a peer without an address.

    Forwarded addresses are believed only as far as trusted proxies wrote them.
    """
    networks = networks_of(tuple(trusted_proxies))
    client = _parse((scope.get("client") or ("",))[0])
    if client is None:
        return None
    for hop in reversed(_forwarded(scope)[-MAX_HOPS:]):
        if not any(client in network for network in networks):
            break
        address = _parse(hop)
        if address is None:
            break
        client = address
    return client


def _forwarded(scope: Scope) -> list[str]:
    values = (v.decode("latin-1") for k, v in scope["headers"] if k == b"x-forwarded-for")
    return [hop.strip() for value in values for hop in value.split(",")]


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
def networks_of(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
