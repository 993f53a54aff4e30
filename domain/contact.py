"""Phones, e-mails and dates: what people write in, canonical values out, or ValueError."""

import re
import unicodedata
from datetime import date

import phonenumbers
from email_validator import EmailNotValidError, validate_email

HOME_REGION = "IN"
PHONE_MAX_LENGTH = 40
EMAIL_MAX_LENGTH = 254
OLDEST_YEARS = 100

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

_E164 = phonenumbers.PhoneNumberFormat.E164


def parse_phone(value: object) -> str:
    """E.164; Indian unless it starts with +."""
    if not isinstance(value, str) or len(value) > PHONE_MAX_LENGTH:
        raise ValueError("phone")
    # Address books copy numbers with no-break spaces.
    written = unicodedata.normalize("NFKC", value)
    if not written.isprintable():
        raise ValueError("phone")
    try:
        number = phonenumbers.parse(written, HOME_REGION)
    except phonenumbers.NumberParseException as error:
        raise ValueError("phone") from error
    if number.extension or not phonenumbers.is_valid_number(number):
        raise ValueError("phone")
    return phonenumbers.format_number(number, _E164)


def parse_email(value: object) -> str:
    """In lower case; the syntax is checked, nothing is looked up."""
    if not isinstance(value, str) or len(value) > EMAIL_MAX_LENGTH:
        raise ValueError("e-mail")
    try:
        found = validate_email(value.strip(), check_deliverability=False)
    except (EmailNotValidError, UnicodeError) as error:
        raise ValueError("e-mail") from error
    return found.normalized.lower()


def parse_birth_date(value: object, *, today: date) -> date:
    """A day written YYYY-MM-DD, not ahead and not more than 100 years back."""
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError("date")
    born = date.fromisoformat(value)
    is_too_old = (born.year + OLDEST_YEARS, born.month, born.day) < today.timetuple()[:3]
    if is_too_old or born > today:
        raise ValueError("date")
    return born


def masked_phone(phone: str) -> str:
    """The country and the last four digits: +91••••••3210."""
    return f"{phone[:3]}{'•' * (len(phone) - 7)}{phone[-4:]}"


def masked_email(email: str) -> str:
    """The first letter and the domain: a•••@example.org."""
    local, _, domain = email.partition("@")
    return f"{local[:1]}•••@{domain}"
