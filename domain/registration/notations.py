"""Phones and e-mails in every notation. The libraries that know them take long to import."""

import re
from typing import Any

import phonenumbers
from email_validator import validate_email

_DIGITS_AND_SIGNS = re.compile(r"[\d\s+().‐‑–—/-]*")
_E164 = phonenumbers.PhoneNumberFormat.E164


def phone(written: str, region: str) -> str:
    """E.164, of the region unless it starts with +. Raises ValueError."""
    try:
        return _phone(written, region)
    except ValueError:
        repeated = _with_one_code(written, region)
        if repeated is None:
            raise
        return _phone(repeated, region)


def _phone(written: str, region: str) -> str:
    try:
        number = phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException as error:
        raise ValueError("phone") from error
    if number.extension or not phonenumbers.is_valid_number(number):
        raise ValueError("phone")
    return phonenumbers.format_number(number, _E164)


def _with_one_code(written: str, region: str) -> str | None:
    """The number with + and one country code, where it has zeros or the code before it:
    091-98765 43210, +91 91 98765 43210. None for any other notation.
    """
    if not _DIGITS_AND_SIGNS.fullmatch(written):
        return None
    code = str(phonenumbers.country_code_for_region(region))
    digits = phonenumbers.normalize_digits_only(written)
    match = re.fullmatch(rf"0*{code}(?:0*{code})?0?([1-9][0-9]{{9}})", digits)
    return match and f"+{code}{match[1]}"


def mobiles(region: str) -> tuple[re.Pattern[str], ...]:
    """All that a number without the country's code has to match to be a mobile one."""
    found: Any = phonenumbers.PhoneMetadata.metadata_for_region(region)
    kinds = (found.general_desc, found.mobile)
    return tuple(re.compile(kind.national_number_pattern) for kind in kinds)


def email(written: str) -> str:
    """In lower case; nothing is looked up. Raises ValueError."""
    return validate_email(written, check_deliverability=False).normalized.lower()
