"""Opaque tokens: a prefix and 32 bytes in base64. Only their SHA-256 hash is stored."""

import base64
import re
import secrets
from enum import StrEnum
from hashlib import sha256

from domain.errors.exceptions import Unauthenticated

_TOKEN = re.compile(r"ic[ist]_[A-Za-z0-9_-]{43}")


class TokenEnded(Unauthenticated):
    """An issued token has expired or was replaced.

    Callers that count unknown tokens as guesses do not count this one.
    """


class TokenKind(StrEnum):
    INVITATION = "ici_"
    SESSION = "ics_"
    API = "ict_"


_KINDS = {kind.value: kind for kind in TokenKind}


def new_token(kind: TokenKind) -> str:
    """Return a random token: its prefix and 43 URL-safe characters."""
    return kind + secrets.token_urlsafe(32)


def encode_token(kind: TokenKind, digest: bytes) -> str:
    """Return the token with these 32 bytes."""
    return kind + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def token_kind(token: str) -> TokenKind | None:
    """Return the kind by the token's prefix; None for malformed tokens."""
    return _KINDS[token[:4]] if _TOKEN.fullmatch(token) else None


def hash_token(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
