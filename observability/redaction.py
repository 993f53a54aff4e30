"""Redaction of personal data and secrets in log events."""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from traceback import TracebackException
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from domain.auth.roles import MANAGE_TOKEN_PREFIX

REDACTED = "[redacted]"
MAX_TEXT = 8_000
MAX_TRACEBACK = 16_000
MAX_DEPTH = 6
_MAX_CACHED_KEY_LENGTH = 100

# Fields that this service writes itself. Request ids of clients are checked when they arrive.
_TRUSTED_KEYS = frozenset(
    ("timestamp", "level", "logger", "request_id", "trace_id", "team_id", "method", "status")
)
_SENSITIVE_WORDS = frozenset(
    (
        *("aadhaar", "authorization", "birth", "cookie", "cookies", "credential", "credentials"),
        *("dob", "dsn", "email", "emails", "forwarded", "ip", "jwt", "mail", "mobile", "passwd"),
        *("password", "phone", "phones", "pwd", "secret", "secrets", "signature", "telephone"),
        *("ticket", "token", "upi", "whatsapp"),
    )
)
_SENSITIVE_ENDINGS = frozenset(("address", "key", "keys", "name", "names"))
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])")

_ASSIGNED = re.compile(
    r"(?i)(password|passwd|pwd|secret|token|api[_-]?key|secret[_-]?key|authorization|cookie"
    r"|signature|ticket)"
    r"([\"']?\s*[:=]\s*)(?:b?[\"'][^\"'\n]*[\"']|(?:(?:bearer|basic)\s+)?[^\s,;&)}\]]+)"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}")
_CREDENTIALS = re.compile(r"([a-z][\w+.-]{0,40}://)[^\s@]{1,500}@(?=[^\s@]*)", re.IGNORECASE)
_EMAIL = re.compile(r"[\w.+%'!#$&*/=?^`{|}~-]{1,64}(?:@|%40)[\w.-]+")
# Manage tokens of captains, invitations, sessions and API tokens.
_TOKEN = re.compile(rf"{MANAGE_TOKEN_PREFIX}[\w-]*|(?<![a-z])ic[ist]_[\w-]+")
_TOKEN_PREFIXES = (MANAGE_TOKEN_PREFIX, "ici_", "ics_", "ict_")
# Payload and 32-byte HMAC in the format of itsdangerous: upload tickets and links to files.
_SIGNED_TOKEN = re.compile(r"(?<![\w-])\.?[\w-]{8,}+\.[\w-]{43,}")
MIN_SIGNED_TOKEN_LENGTH = 8 + 1 + 43
# A run of URL characters, any of which may be percent-encoded.
_URL_TEXT = re.compile(r"[\w.~!$&*+;=:@/?#%-]+")
MAX_DECODE_PASSES = 5
# Numbers of ten digits and more, but not inside ids, hashes and times, which operators need.
_NUMBER = re.compile(
    r"(?P<id_or_time>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|\b(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})\b"
    r"|\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b"
    r"|\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)"
    r"|\+?\d(?:[ \t\u00a0\u200b-\u2015\u202f\u2060().\-/]{0,4}\d){9,}"
)
_DATABASE_VALUES = (
    (
        re.compile(
            r"\b(DETAIL|CONTEXT):.*?(?=\n[\s|]*(?:HINT:|CONTEXT:|DETAIL:|QUERY:|\[SQL|\[parameters"
            r"|\(Background|Traceback|The above|During handling|File )|\Z)",
            re.DOTALL,
        ),
        rf"\1: {REDACTED}",
    ),
    (re.compile(r"\[parameters: .*?(?=\n\(Background|\Z)", re.DOTALL), f"[parameters: {REDACTED}]"),
    (re.compile(r"\bKey \([^)\n]*\)=\(.*?\)(?=\s|\Z)", re.DOTALL), f"Key {REDACTED}"),
    (re.compile(r"\bFailing row contains \(.*\)", re.DOTALL), f"Failing row {REDACTED}"),
    (re.compile(r"(invalid (?:input|byte)[^:\n]*: ).*"), rf"\1{REDACTED}"),
)
_QUOTED = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_.]*|NoneType")
_FRAME = re.compile(r"[\s|+-]*File \"")


def redact(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event with sensitive fields replaced and all values converted to JSON types."""
    return {
        key: value if key in _TRUSTED_KEYS or key.startswith("_") else _redact_field(key, value, 0)
        for key, value in event.items()
    }


def scrub(text: str) -> str:
    """Redact e-mail addresses, phone and identity numbers, tokens, signed links and passwords."""
    text = text[:MAX_TEXT]
    # Percent-encoded text comes first: the other patterns could remove a part of it only.
    return _scrub(_URL_TEXT.sub(_redact_encoded, text) if "%" in text else text)


def percent_decode(text: str) -> str:
    """Decode percent-encoding repeatedly until the text no longer changes.

    Returns `REDACTED` for a text that is encoded more than `MAX_DECODE_PASSES` - 1 times.
    """
    for _ in range(MAX_DECODE_PASSES):
        plain = unquote(text)
        if plain == text:
            return text
        text = plain
    return REDACTED


def _redact_encoded(match: re.Match[str]) -> str:
    """Return the matched text, or `REDACTED` if its decoded form contains something sensitive."""
    text = match.group()
    plain = percent_decode(text)
    return text if plain == text or _scrub(plain) == plain else REDACTED


def _scrub(text: str) -> str:
    if "@" in text or "%40" in text:
        text = _CREDENTIALS.sub(rf"\1{REDACTED}@", text)
        text = _EMAIL.sub(REDACTED, text)
    if any(prefix in text for prefix in _TOKEN_PREFIXES):
        text = _TOKEN.sub(REDACTED, text)
    if len(text) >= MIN_SIGNED_TOKEN_LENGTH and "." in text:
        text = _SIGNED_TOKEN.sub(REDACTED, text)
    if ":" in text or "=" in text:
        text = _ASSIGNED.sub(rf"\1\2{REDACTED}", text)
    text = _BEARER.sub(rf"\1 {REDACTED}", text)
    return _NUMBER.sub(_redact_number, text)


def scrub_message(text: str) -> str:
    """Redact a message of another library: as `scrub`, and quoted values and database rows."""
    text = text[:MAX_TEXT]
    for pattern, replacement in _DATABASE_VALUES:
        text = pattern.sub(replacement, text)
    return scrub(_QUOTED.sub(_redact_quotation, text))


def render_exception(error: BaseException) -> str:
    """Format the traceback with its causes, scrubbed, and without local variables."""
    chunks = TracebackException.from_exception(error, limit=50, max_group_width=5).format()
    text = "".join(
        scrub(chunk) if _FRAME.match(chunk) else scrub_message(chunk) for chunk in chunks
    )
    return text.rstrip("\n")[-MAX_TRACEBACK:]


def resolve_exc_info(exc_info: object, current: BaseException | None) -> BaseException | None:
    """Return the exception of a log call's `exc_info`, which is an exception, a triple or true."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return current if exc_info else None


def _redact_field(key: str, value: object, depth: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    return REDACTED if _is_sensitive(key) else _redact_value(value, depth)


def _redact_value(value: object, depth: int) -> object:
    if isinstance(value, str):
        return scrub(value.value if isinstance(value, Enum) else value)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < 10**9 else REDACTED
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _redact_collection(value, depth + 1)
    return _redact_object(value)


def _redact_collection(value: Any, depth: int) -> object:
    if depth > MAX_DEPTH:
        return REDACTED
    if isinstance(value, Mapping):
        return {
            scrub(str(key)): _redact_field(str(key), item, depth) for key, item in value.items()
        }
    return [_redact_value(item, depth) for item in value]


def _redact_object(value: object) -> str:
    # Values of other types may contain personal data: only the type is logged.
    if isinstance(value, UUID | date | timedelta):
        return str(value)
    if isinstance(value, Decimal | PurePath | Enum):
        return scrub(str(value))
    if isinstance(value, BaseException):
        return scrub_message(f"{type(value).__name__}: {value}")
    return f"<{type(value).__name__}>"


def _is_sensitive(key: str) -> bool:
    is_short = len(key) <= _MAX_CACHED_KEY_LENGTH
    return _has_sensitive_word(key) if is_short else _has_sensitive_word.__wrapped__(key)


@lru_cache(maxsize=512)
def _has_sensitive_word(key: str) -> bool:
    words = [word.lower() for word in _WORD.findall(key)]
    if not words:
        return False
    return words[-1] in _SENSITIVE_ENDINGS or not _SENSITIVE_WORDS.isdisjoint(words)


def _redact_number(match: re.Match[str]) -> str:
    return match.group() if match["id_or_time"] else REDACTED


def _redact_quotation(match: re.Match[str]) -> str:
    quoted = match.group()
    return quoted if _IDENTIFIER.fullmatch(quoted[1:-1]) else f"{quoted[0]}…{quoted[-1]}"
