"""Phone numbers, e-mail addresses and dates of birth: any notation in, canonical values out.

`phonenumbers` and `email_validator` take long to import, so they are imported when a value first
needs them.
"""

import re
from datetime import date
from functools import lru_cache
from typing import Any

from domain.characters import strip_invisible
from domain.datetimes import parse_date
from domain.registration.names import canonicalize

HOME_REGION = "IN"
PHONE_MAX_LENGTH = 40
EMAIL_MAX_LENGTH = 254
LOCAL_PART_MAX_LENGTH = 64
MAX_AGE_YEARS = 100
DOMAIN_CACHE_SIZE = 1024

# The usual notations, which need no library. Everything else goes to the libraries.
_PLAIN_LOCAL_PART = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
_PLAIN_MOBILE = re.compile(r"\+91([6-9][0-9]{9})")
_PHONE_CHARACTERS = re.compile(r"[\d\s+().‐‑–—/-]*")


def parse_phone(value: object) -> str:
    """The number in E.164; an Indian number unless it starts with +. Raises ValueError."""
    if not isinstance(value, str) or len(value) > PHONE_MAX_LENGTH:
        raise ValueError("phone")
    match = _PLAIN_MOBILE.fullmatch(value)
    if match and all(pattern.fullmatch(match[1]) for pattern in _mobile_patterns()):
        return value
    # Numbers copied from address books have no-break spaces and direction marks.
    text = canonicalize(value)
    if not text.isprintable():
        raise ValueError("phone")
    try:
        return _e164(text)
    except ValueError:
        corrected = _with_single_country_code(text)
        if corrected is None:
            raise
        return _e164(corrected)


def parse_email(value: object) -> str:
    """The address in lower case. Only the syntax is checked. Raises ValueError."""
    if not isinstance(value, str) or len(value) > EMAIL_MAX_LENGTH:
        raise ValueError("e-mail")
    # Keyboards of other scripts write letters and the @ in full width.
    text = canonicalize(value)
    local_part, _, domain = text.partition("@")
    is_plain = len(local_part) <= LOCAL_PART_MAX_LENGTH and _PLAIN_LOCAL_PART.fullmatch(local_part)
    try:
        if is_plain and domain.isascii():
            return f"{local_part.lower()}@{_normalized_domain(domain)}"
        return _normalized_email(text)
    except ValueError as error:
        raise ValueError("e-mail") from error


def parse_birth_date(value: object, *, today: date) -> date:
    """A day written YYYY-MM-DD, not in the future and at most 100 years ago. Raises ValueError."""
    born = parse_date(strip_invisible(value).strip() if isinstance(value, str) else value)
    age = today.year - born.year
    is_past_birthday = (today.month, today.day) > (born.month, born.day)
    if born > today or age > MAX_AGE_YEARS or (age == MAX_AGE_YEARS and is_past_birthday):
        raise ValueError("date")
    return born


def mask_phone(phone: str) -> str:
    """The country code and the last four digits: +91••••••3210."""
    return f"{phone[:3]}{'•' * (len(phone) - 7)}{phone[-4:]}"


def mask_email(email: str) -> str:
    """The first letter and the domain: a•••@example.org."""
    local_part, _, domain = email.partition("@")
    return f"{local_part[:1]}•••@{domain}"


def _e164(text: str) -> str:
    import phonenumbers  # noqa: PLC0415 - slow to import

    try:
        number = phonenumbers.parse(text, HOME_REGION)
    except phonenumbers.NumberParseException as error:
        raise ValueError("phone") from error
    if number.extension or not phonenumbers.is_valid_number(number):
        raise ValueError("phone")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _with_single_country_code(text: str) -> str | None:
    """An Indian number with + and one country code, from a notation with zeros before the code or
    with the code twice: 091-98765 43210, +91 91 98765 43210. None for any other notation.
    """
    import phonenumbers  # noqa: PLC0415 - slow to import

    if not _PHONE_CHARACTERS.fullmatch(text):
        return None
    digits = phonenumbers.normalize_digits_only(text)
    match = re.fullmatch(r"0*91(?:0*91)?0?([1-9][0-9]{9})", digits)
    return match and f"+91{match[1]}"


@lru_cache
def _mobile_patterns() -> tuple[re.Pattern[str], ...]:
    """Patterns that a ten-digit number must match to be an Indian mobile number."""
    import phonenumbers  # noqa: PLC0415 - slow to import

    metadata: Any = phonenumbers.PhoneMetadata.metadata_for_region(HOME_REGION)
    return tuple(
        re.compile(kind.national_number_pattern)
        for kind in (metadata.general_desc, metadata.mobile)
    )


@lru_cache(maxsize=DOMAIN_CACHE_SIZE)
def _normalized_domain(domain: str) -> str:
    """The domain in lower case, as in a normalized address. Raises ValueError."""
    return _normalized_email(f"a@{domain}").removeprefix("a@")


def _normalized_email(email: str) -> str:
    """Raises ValueError."""
    from email_validator import validate_email  # noqa: PLC0415 - slow to import

    return validate_email(email, check_deliverability=False).normalized.lower()
