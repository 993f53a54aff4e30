"""Phones, e-mails and dates: what people write in, canonical values out, or ValueError."""

import re
from datetime import date
from functools import lru_cache

from domain.characters import strip_invisible
from domain.datetimes import parse_date
from domain.registration.names import canonicalize

HOME_REGION = "IN"
PHONE_MAX_LENGTH = 40
EMAIL_MAX_LENGTH = 254
MAX_AGE_YEARS = 100


# What most people write; anything else is read by the libraries from end to end.
_PLAIN_LOCAL = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
_PLAIN_MOBILE = re.compile(r"\+91([6-9][0-9]{9})")
LOCAL_MAX_LENGTH = 64
DOMAIN_CACHE_SIZE = 1024


def parse_phone(value: object) -> str:
    """E.164; Indian unless it starts with +."""
    if not isinstance(value, str) or len(value) > PHONE_MAX_LENGTH:
        raise ValueError("phone")
    plain = _PLAIN_MOBILE.fullmatch(value)
    if plain and all(one.fullmatch(plain[1]) for one in _home_mobiles()):
        return value
    # Address books copy numbers with no-break spaces and marks of direction.
    written = canonicalize(value)
    if not written.isprintable():
        raise ValueError("phone")
    from domain.registration import notations  # noqa: PLC0415 - takes long, few numbers need it

    return notations.phone(written, HOME_REGION)


def parse_email(value: object) -> str:
    """In lower case; the syntax is checked, nothing is looked up."""
    if not isinstance(value, str) or len(value) > EMAIL_MAX_LENGTH:
        raise ValueError("e-mail")
    # Keyboards of other scripts write letters and the @ in full width.
    written = canonicalize(value)
    local, _, domain = written.partition("@")
    is_plain = len(local) <= LOCAL_MAX_LENGTH and _PLAIN_LOCAL.fullmatch(local)
    try:
        if is_plain and domain.isascii():
            return f"{local.lower()}@{_domain(domain)}"
        return _read_email(written)
    except ValueError as error:
        raise ValueError("e-mail") from error


@lru_cache(maxsize=DOMAIN_CACHE_SIZE)
def _domain(written: str) -> str:
    """As it stands in an address in lower case. Raises ValueError."""
    return _read_email(f"a@{written}").removeprefix("a@")


def _read_email(email: str) -> str:
    from domain.registration import notations  # noqa: PLC0415 - takes long, needed with the first address

    return notations.email(email)


@lru_cache
def _home_mobiles() -> tuple[re.Pattern[str], ...]:
    """What a number of ten digits has to match to be a mobile one."""
    from domain.registration import notations  # noqa: PLC0415 - takes long, needed with the first number

    return notations.mobiles(HOME_REGION)


def parse_birth_date(value: object, *, today: date) -> date:
    """A day written YYYY-MM-DD, not ahead and not more than 100 years back."""
    born = parse_date(strip_invisible(value).strip() if isinstance(value, str) else value)
    age = today.year - born.year
    has_aged = (today.month, today.day) > (born.month, born.day)
    if born > today or age > MAX_AGE_YEARS or (age == MAX_AGE_YEARS and has_aged):
        raise ValueError("date")
    return born


def mask_phone(phone: str) -> str:
    """The country and the last four digits: +91••••••3210."""
    return f"{phone[:3]}{'•' * (len(phone) - 7)}{phone[-4:]}"


def mask_email(email: str) -> str:
    """The first letter and the domain: a•••@example.org."""
    local, _, domain = email.partition("@")
    return f"{local[:1]}•••@{domain}"
