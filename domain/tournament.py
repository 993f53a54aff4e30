"""What organisers may set of a tournament, and within which bounds."""

import re
from collections.abc import Mapping
from typing import Any

from domain.errors import BadUserInput
from domain.text import has_identity_number

TEXT_LENGTHS = {"name": 80, "venue": 200, "upi_payee": 80, "consent_version": 64}
NUMBERS = {
    "capacity": (0, 10_000),
    "teams_per_church": (1, 10_000),
    "squad_min": (1, 50),
    "squad_max": (1, 50),
    "fee_amount": (0, 10_000_000),
}
# These always have a value.
NEEDED = ("name", "time_zone", "squad_min", "squad_max", "required_documents")

_CURRENCY = re.compile(r"[A-Z]{3}")
_UPI_ID = re.compile(r"[A-Za-z0-9._-]{2,256}@[A-Za-z][A-Za-z0-9.-]{1,63}")


def check_tournament(changes: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """`changes` as they were given, `after` the whole as it would be. Raises BadUserInput."""
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
    if name in TEXT_LENGTHS:
        _check_text(name, value)
    if name in NUMBERS:
        low, high = NUMBERS[name]
        if not low <= value <= high:
            raise BadUserInput(f"{_shown(name)} must be between {low} and {high}.")
    if name == "fee_currency" and not _CURRENCY.fullmatch(value):
        raise BadUserInput("feeCurrency must be three capital letters, such as INR.")
    if name == "upi_id" and not _UPI_ID.fullmatch(value):
        raise BadUserInput("upiId must be a UPI id, such as payee@bank.")


def _check_text(name: str, value: str) -> None:
    length = TEXT_LENGTHS[name]
    if not 1 <= len(value.strip()) <= length or not value.isprintable():
        raise BadUserInput(f"{_shown(name)} must have 1 to {length} printable characters.")
    if has_identity_number(value):
        raise BadUserInput(f"{_shown(name)} looks like an Aadhaar number; please take it out.")


def _shown(name: str) -> str:
    """As GraphQL writes it."""
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
