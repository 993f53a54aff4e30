"""What is derived from the service's secret: manage tokens, signed links, fingerprints."""

import base64
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from itsdangerous import BadData, URLSafeSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from domain.errors.exceptions import NotFound

FIRST_GENERATION = 1

# 32 bytes of a signature are 43 characters.
_SIGNED = re.compile(r"[A-Za-z0-9_.-]+\.([A-Za-z0-9_-]{43})")


class NotSigned(NotFound):
    """A ticket or link that was never given out: a guess."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Secrets:
    """`previous` is still accepted, never used to make anything."""

    current: str
    previous: str | None = None


def manage_token(secrets: Secrets, team_id: UUID, generation: int = FIRST_GENERATION) -> str:
    """`icm_`, the team's id in hex, `_`, the generation, `_` and 43 characters of an HMAC."""
    return _manage_token(secrets.current, f"{team_id.hex}_{generation}")


def verify_manage_token(secrets: Secrets, token: str) -> bool:
    """Whether one of the secrets made it."""
    signed = "_".join(token.removeprefix("icm_").split("_")[:2])
    return any(is_same(_manage_token(key, signed), token) for key in _keys(secrets))


def is_same(secret: str, text: str) -> bool:
    """Whether any text is the secret, in a time that does not tell how much of it is right."""
    return hmac.compare_digest(_bytes(secret), _bytes(text))


def sign(secrets: Secrets, purpose: str, claims: Sequence[str | int]) -> str:
    """URL-safe text that `read_signed` gives back, for this purpose alone."""
    return _serializer(secrets, purpose).dumps(list(claims))


def read_signed(secrets: Secrets, purpose: str, text: str) -> list[Any] | None:
    """What was signed for the purpose; None when the text is not from here."""
    # The library drops what is no base64, and bits at the end that say nothing.
    written = _SIGNED.fullmatch(text)
    if written is None or base64_encode(base64_decode(written[1])).decode() != written[1]:
        return None
    try:
        claims: list[Any] = _serializer(secrets, purpose).loads(text)
    except BadData:
        return None
    return claims


def derive_keys(secrets: Secrets, purpose: str, message: bytes) -> tuple[bytes, ...]:
    """32 bytes for this purpose and message alone; those of the previous secret come second."""
    return tuple(_digest(key, purpose, message) for key in _keys(secrets))


def fingerprint(secrets: Secrets, form: object) -> bytes:
    """An HMAC of a form as it was sent, whatever the order of its keys."""
    return _fingerprint(secrets.current, form)


def verify_fingerprint(secrets: Secrets, form: object, expected: bytes) -> bool:
    return any(hmac.compare_digest(_fingerprint(key, form), expected) for key in _keys(secrets))


def _bytes(text: str) -> bytes:
    """Of any text, half an emoji included."""
    return text.encode("utf-8", "surrogatepass")


def _keys(secrets: Secrets) -> list[str]:
    """The present one first."""
    return [secrets.current, secrets.previous] if secrets.previous else [secrets.current]


def _manage_token(key: str, signed: str) -> str:
    digest = _digest(key, "manage-token", _bytes(signed))
    return f"icm_{signed}_{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _serializer(secrets: Secrets, purpose: str) -> URLSafeSerializer:
    # The last key signs, all of them are accepted.
    keys = _keys(secrets)[::-1]
    return URLSafeSerializer(keys, salt=purpose, signer_kwargs={"digest_method": sha256})


def _fingerprint(key: str, form: object) -> bytes:
    try:
        canonical = orjson.dumps(form, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # Lone surrogates and numbers of more than 64 bits.
        text = json.dumps(form, default=_fields, sort_keys=True, separators=(",", ":"))
        canonical = text.encode()
    return _digest(key, "fingerprint", canonical)


def _fields(form: Any) -> dict[str, Any] | str:
    """Of a form or a part of one; what it holds is not copied, as `asdict` would."""
    if not is_dataclass(form):
        return str(form)
    return {one: getattr(form, one) for one in form.__dataclass_fields__}


def _digest(key: str, purpose: str, message: bytes) -> bytes:
    one = _keyed(key, purpose).copy()
    one.update(message)
    return one.digest()


@lru_cache(maxsize=32)
def _keyed(key: str, purpose: str) -> hmac.HMAC:
    """Of nothing yet, for this purpose: a copy takes less than to begin again."""
    return hmac.new(hmac.digest(key.encode(), purpose.encode(), "sha256"), digestmod="sha256")
