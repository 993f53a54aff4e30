"""Opaque tokens: 32 random bytes behind a prefix. Only their hash is stored."""

import base64
import re
import secrets
from enum import StrEnum
from hashlib import sha256

from domain.errors.exceptions import Unauthenticated

_TEXT = re.compile(r"ic[ist]_[A-Za-z0-9_-]{43}")


class TokenEnded(Unauthenticated):
    """A token that was given out and has expired or was replaced: no guess."""


class TokenKind(StrEnum):
    INVITATION = "ici_"
    SESSION = "ics_"
    API = "ict_"


_KINDS = {kind.value: kind for kind in TokenKind}


def new_token(kind: TokenKind) -> str:
    """The prefix and 43 characters that are safe in headers and addresses."""
    return kind + secrets.token_urlsafe(32)


def token_of(kind: TokenKind, digest: bytes) -> str:
    """The token whose 32 bytes these are."""
    return kind + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def kind_of(token: str) -> TokenKind | None:
    """None for what cannot be a token."""
    return _KINDS[token[:4]] if _TEXT.fullmatch(token) else None


def hash_of(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
