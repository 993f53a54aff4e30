"""Clients that have signed in before, known by a signed text that they bring again."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from resolvers.security.secrets import read_signed, sign
from resolvers.services import Services

PURPOSE = "known-client"
LIFETIME = timedelta(days=180)
ACCOUNTS_MAX = 5
LENGTH_MAX = 1_000
KEY_CHARACTERS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownClient:
    """`accounts` are the beginnings of the keys of accounts it signed in to, the newest first."""

    device: str
    accounts: tuple[str, ...]

    def has_used(self, account: str) -> bool:
        return account[:KEY_CHARACTERS] in self.accounts


def read_known_client(services: Services, text: str | None) -> KnownClient | None:
    """None for a text that is not from here or is too old."""
    if text is None or len(text) > LENGTH_MAX or not text.isascii():
        return None
    claims = read_signed(services.secrets, PURPOSE, text)
    if claims is None:
        return None
    device, issued_at, *accounts = claims
    if services.clock() - datetime.fromtimestamp(issued_at, UTC) >= LIFETIME:
        return None
    return KnownClient(device=device, accounts=tuple(accounts))


def device_of(services: Services, text: str) -> str | None:
    """The name of the client; None for a text that is not from here or is too old."""
    known = read_known_client(services, text)
    return known.device if known else None


def known_client_text(services: Services, before: KnownClient | None, account: str) -> str:
    """The text for a client that has just signed in to the account."""
    device = before.device if before else secrets.token_hex(16)
    key = account[:KEY_CHARACTERS]
    others = [one for one in before.accounts if one != key] if before else []
    issued_at = int(services.clock().timestamp())
    return sign(services.secrets, PURPOSE, [device, issued_at, *[key, *others][:ACCOUNTS_MAX]])
