"""What organisers may set of a tournament, and within which bounds."""

import re
from collections.abc import Mapping
from typing import Any

from domain.errors import BadUserInput, IssueCode
from domain.text import FreeText

TEXTS = {
    "name": FreeText(max_length=80),
    "venue": FreeText(max_length=200),
    "upi_payee": FreeText(max_length=80),
    "consent_version": FreeText(max_length=64),
}
NUMBERS = {
    "capacity": (0, 10_000),
    "teams_per_church": (1, 10_000),
    "squad_min": (1, 50),
    "squad_max": (1, 50),
    "fee_amount": (0, 10_000_000),
}
NO_TIME_ZONE = "timeZone must be an IANA zone, such as Asia/Kolkata."
# These always have a value.
NEEDED = ("name", "time_zone", "squad_min", "squad_max", "required_documents")

_TIME_ZONE = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_UPI_ID = re.compile(r"[A-Za-z0-9._-]{2,256}@[A-Za-z][A-Za-z0-9.-]{1,63}")


def read_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes with their texts as they are stored. Raises BadUserInput."""
    return {
        name: _text(name, value) if name in TEXTS and value is not None else value
        for name, value in changes.items()
    }


def check_tournament(changes: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """`changes` as `read_changes` gives them, `after` the whole as it would be.

    Raises BadUserInput.
    """
    for name in NEEDED:
        if name in changes and changes[name] is None:
            raise BadUserInput(f"{_shown(name)} cannot be null.")
    for name, value in changes.items():
        if value is not None:
            _check_one(name, value)
    if after["squad_min"] > after["squad_max"]:
        raise BadUserInput("squadMin must not be above squadMax.")
    opens_at, closes_at = after["opens_at"], after["closes_at"]
    if opens_at is not None and closes_at is not None and opens_at >= closes_at:
        raise BadUserInput("opensAt must be before closesAt.")


def _check_one(name: str, value: Any) -> None:
    if name in NUMBERS:
        low, high = NUMBERS[name]
        if not low <= value <= high:
            raise BadUserInput(f"{_shown(name)} must be between {low} and {high}.")
    if name == "time_zone" and not _TIME_ZONE.fullmatch(value):
        raise BadUserInput(NO_TIME_ZONE)
    if name == "fee_currency" and not _CURRENCY.fullmatch(value):
        raise BadUserInput("feeCurrency must be three capital letters, such as INR.")
    if name == "upi_id" and not _UPI_ID.fullmatch(value):
        raise BadUserInput("upiId must be a UPI id, such as payee@bank.")


def _text(name: str, value: str) -> str:
    rule = TEXTS[name]
    text, code = rule.read(value)
    if code == IssueCode.IDENTITY_NUMBER_NOT_ALLOWED:
        raise BadUserInput(f"{_shown(name)} looks like an Aadhaar number; please take it out.")
    if code is not None:
        raise BadUserInput(f"{_shown(name)} must have 1 to {rule.max_length} printable characters.")
    return text


def _shown(name: str) -> str:
    """As GraphQL writes it."""
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
