"""Parsing of lists in settings: hosts, origins, header names and networks."""

import json
import re
from collections.abc import Callable
from ipaddress import ip_network

_IPV6 = r"\[[0-9a-f:.]+\]"
_HOST_NAME = r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?"
_HOST = re.compile(rf"(?:\*\.)?{_HOST_NAME}|{_IPV6}")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_ORIGIN = re.compile(rf"\*|https?://(?:{_HOST_NAME}|{_IPV6})(?::[0-9]{{1,5}})?")


def split_list(value: object) -> object:
    """The entries of comma-separated text or a JSON list; empty for `none`.

    A value that is not text is returned as it is.
    """
    if not isinstance(value, str):
        return value
    if value.strip().lower() == "none":
        return ()
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = None
    if isinstance(parsed, list):
        return tuple(parsed)
    return tuple(entry.strip() for entry in value.split(",") if entry.strip())


def parse_each(
    parse: Callable[[str], str], expected: str
) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """A function that parses every entry and drops repeated entries.

    Its ValueError names a refused entry by its number, never by its text.
    """

    def parse_all(texts: tuple[str, ...]) -> tuple[str, ...]:
        entries: dict[str, None] = {}
        for number, text in enumerate(texts, 1):
            try:
                entries[parse(text)] = None
            except ValueError:
                raise ValueError(f"entry {number} is not {expected}") from None
        return tuple(entries)

    return parse_all


def parse_host(text: str) -> str:
    """A host name or address without port; `*.example.org` stands for all its subdomains."""
    return _require_match(_HOST, text.lower())


def parse_origin(text: str) -> str:
    """Scheme, host and port as a browser sends them, or `*`."""
    return strip_default_port(_require_match(_ORIGIN, text.lower().removesuffix("/")))


def strip_default_port(origin: str) -> str:
    """An origin without the port that its scheme implies, as browsers send it."""
    for scheme, port in _DEFAULT_PORTS.items():
        if origin.startswith(f"{scheme}://"):
            return origin.removesuffix(f":{port}")
    return origin


def parse_header_name(text: str) -> str:
    """The name of an HTTP header (RFC 9110 token)."""
    return _require_match(_HEADER_NAME, text)


def parse_network(text: str) -> str:
    """Return an address or network in normal form. Raises ValueError, also for all addresses."""
    network = ip_network(text, strict=False)
    if network.prefixlen == 0:
        raise ValueError
    return str(network) if "/" in text else str(network.network_address)


def _require_match(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError
    return text
