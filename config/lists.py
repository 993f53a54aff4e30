"""Lists as operators write them, above all of addresses: hosts, origins of browsers, proxies."""

import json
import re
from collections.abc import Callable
from ipaddress import ip_network

IPV6 = r"\[[0-9a-f:.]+\]"
NAME = r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?"
HOST = re.compile(rf"(?:\*\.)?{NAME}|{IPV6}")
DEFAULT_PORTS = {"http": 80, "https": 443}
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
ORIGIN = re.compile(rf"\*|https?://(?:{NAME}|{IPV6})(?::[0-9]{{1,5}})?")


def split_list(value: object) -> object:
    """The entries of comma-separated text or a JSON list; `none` has none, not text stays."""
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
    read: Callable[[str], str], fact: str
) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """Apply `read` to every entry, without repeats; what it refuses is named by its place only."""

    def read_all(texts: tuple[str, ...]) -> tuple[str, ...]:
        result: dict[str, None] = {}
        for place, text in enumerate(texts, 1):
            try:
                result[read(text)] = None
            except ValueError:
                raise ValueError(f"entry {place} is not {fact}") from None
        return tuple(result)

    return read_all


def parse_host(text: str) -> str:
    """A host without port; `*.` before a name stands for every name below it."""
    return _matching(HOST, text.lower())


def parse_origin(text: str) -> str:
    """Scheme, host and port as a browser sends them, or `*`."""
    return strip_default_port(_matching(ORIGIN, text.lower().removesuffix("/")))


def strip_default_port(origin: str) -> str:
    """An origin without the port that its scheme implies, as browsers send it."""
    for scheme, port in DEFAULT_PORTS.items():
        if origin.startswith(f"{scheme}://"):
            return origin.removesuffix(f":{port}")
    return origin


def parse_header_name(text: str) -> str:
    """The name of an HTTP header (RFC 9110 token)."""
    return _matching(HEADER_NAME, text)


def parse_network(text: str) -> str:
    """An address or a network, but never all addresses: then every client could lie."""
    network = ip_network(text, strict=False)
    if network.prefixlen == 0:
        raise ValueError
    return str(network) if "/" in text else str(network.network_address)


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError
    return text
