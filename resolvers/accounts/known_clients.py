"""Recognition of clients that have signed in before, by a signed cookie."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from resolvers.security.secrets import sign, verify_signed
from resolvers.services import Services

PURPOSE = "known-client"
LIFETIME = timedelta(days=180)
MAX_ACCOUNTS = 5
MAX_LENGTH = 1_000
ACCOUNT_KEY_LENGTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownClient:
    """A client with its random id.

    `accounts` are shortened keys of accounts that it signed in to, newest first.
    """

    client_id: str
    accounts: tuple[str, ...]

    def has_signed_in_to(self, account: str) -> bool:
        return account[:ACCOUNT_KEY_LENGTH] in self.accounts


def read_known_client(services: Services, text: str | None) -> KnownClient | None:
    """Verify a cookie's value. None if it is missing, forged or too old."""
    if text is None or len(text) > MAX_LENGTH or not text.isascii():
        return None
    values = verify_signed(services.secrets, PURPOSE, text)
    if values is None:
        return None
    client_id, issued_at, *accounts = values
    if services.clock() - datetime.fromtimestamp(issued_at, UTC) >= LIFETIME:
        return None
    return KnownClient(client_id=client_id, accounts=tuple(accounts))


def known_client_id(services: Services, text: str) -> str | None:
    """Return the client's random id from a cookie's value. None if forged or too old."""
    client = read_known_client(services, text)
    return client.client_id if client else None


def sign_known_client(services: Services, client: KnownClient | None, account: str) -> str:
    """Return the cookie's value for a client, None for a new one, that signed in to `account`."""
    client_id = client.client_id if client else secrets.token_hex(16)
    key = account[:ACCOUNT_KEY_LENGTH]
    others = [other for other in client.accounts if other != key] if client else []
    issued_at = int(services.clock().timestamp())
    return sign(services.secrets, PURPOSE, [client_id, issued_at, *[key, *others][:MAX_ACCOUNTS]])
