"""Tokens, signatures and fingerprints derived from the service's secret."""

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

from domain.auth.roles import MANAGE_TOKEN_PREFIX
from domain.errors.exceptions import NotFound

FIRST_GENERATION = 1

# A signature of 32 bytes is 43 characters.
_SIGNED = re.compile(r"[A-Za-z0-9_.-]+\.([A-Za-z0-9_-]{43})")


class InvalidSignature(NotFound):
    """A ticket or link was not signed by this service. The HTTP routes count it as a guess."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Secrets:
    """Secrets of the service. `previous` verifies but never signs."""

    current: str
    previous: str | None = None


def manage_token(secrets: Secrets, team_id: UUID, generation: int = FIRST_GENERATION) -> str:
    """Return `icm_<team id in hex>_<generation>_<HMAC of 43 characters>`."""
    return _manage_token(secrets.current, f"{team_id.hex}_{generation}")


def verify_manage_token(secrets: Secrets, token: str) -> bool:
    signed = "_".join(token.removeprefix(MANAGE_TOKEN_PREFIX).split("_")[:2])
    return any(constant_time_equal(_manage_token(key, signed), token) for key in _keys(secrets))


def constant_time_equal(secret: str, text: str) -> bool:
    """Compare in a time that does not reveal how much of `text` is right."""
    return hmac.compare_digest(_encode(secret), _encode(text))


def sign(secrets: Secrets, purpose: str, values: Sequence[str | int]) -> str:
    """Return URL-safe text with the values and a signature valid for this purpose only."""
    return _serializer(secrets, purpose).dumps(list(values))


def verify_signed(secrets: Secrets, purpose: str, text: str) -> list[Any] | None:
    """Return the values of text signed for the purpose; None for any other text."""
    # itsdangerous ignores invalid base64 characters and unused trailing bits. Only the canonical
    # encoding of a signature is accepted, so that a signed text has one form.
    match = _SIGNED.fullmatch(text)
    if match is None or base64_encode(base64_decode(match[1])).decode() != match[1]:
        return None
    try:
        values: list[Any] = _serializer(secrets, purpose).loads(text)
    except BadData:
        return None
    return values


def derive_keys(secrets: Secrets, purpose: str, message: bytes) -> tuple[bytes, ...]:
    """Derive 32 bytes for this purpose and message from each secret, the current one first."""
    return tuple(_digest(key, purpose, message) for key in _keys(secrets))


def fingerprint(secrets: Secrets, form: object) -> bytes:
    """Return an HMAC of a form as sent, independent of the order of its keys."""
    return _fingerprint(secrets.current, form)


def verify_fingerprint(secrets: Secrets, form: object, expected: bytes) -> bool:
    return any(hmac.compare_digest(_fingerprint(key, form), expected) for key in _keys(secrets))


def _encode(text: str) -> bytes:
    """Encode any text, lone surrogates included."""
    return text.encode("utf-8", "surrogatepass")


def _keys(secrets: Secrets) -> list[str]:
    return [secrets.current, secrets.previous] if secrets.previous else [secrets.current]


def _manage_token(key: str, signed: str) -> str:
    digest = _digest(key, "manage-token", _encode(signed))
    return f"{MANAGE_TOKEN_PREFIX}{signed}_{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _serializer(secrets: Secrets, purpose: str) -> URLSafeSerializer:
    # itsdangerous signs with the last key and accepts all.
    keys = _keys(secrets)[::-1]
    return URLSafeSerializer(keys, salt=purpose, signer_kwargs={"digest_method": sha256})


def _fingerprint(key: str, form: object) -> bytes:
    try:
        canonical = orjson.dumps(form, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # orjson refuses lone surrogates and integers of more than 64 bits.
        text = json.dumps(form, default=_shallow_json, sort_keys=True, separators=(",", ":"))
        canonical = text.encode()
    return _digest(key, "fingerprint", canonical)


def _shallow_json(value: Any) -> dict[str, Any] | str:
    """Convert one level: unlike `asdict`, do not copy nested forms."""
    if not is_dataclass(value):
        return str(value)
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _digest(key: str, purpose: str, message: bytes) -> bytes:
    digest = _keyed_hmac(key, purpose).copy()
    digest.update(message)
    return digest.digest()


@lru_cache(maxsize=32)
def _keyed_hmac(key: str, purpose: str) -> hmac.HMAC:
    """Return an empty HMAC for this purpose; copying it is cheaper than a new one."""
    return hmac.new(hmac.digest(key.encode(), purpose.encode(), "sha256"), digestmod="sha256")
