"""What organisers may set of a tournament, and within which bounds."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from domain.characters import is_blank, strip_ignorable
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import INPUT, Issue, make_issue
from domain.naming import camel_case
from domain.registration.names import FreeText

TEXT_SETTINGS = {
    "name": FreeText(max_length=80),
    "venue": FreeText(max_length=200),
    "upi_payee": FreeText(max_length=80),
    "consent_version": FreeText(max_length=64),
}
NUMBER_RANGES = {
    "capacity": (0, 10_000),
    "teams_per_church": (1, 10_000),
    "squad_min": (1, 50),
    "squad_max": (1, 50),
    "fee_amount": (0, 10_000_000),
}
# These always have a value.
NON_NULLABLE = ("name", "time_zone", "squad_min", "squad_max", "required_documents")
# Codes of people, copied from elsewhere.
CODE_SETTINGS = ("time_zone", "fee_currency", "upi_id")

_PATTERNS = {
    "time_zone": (re.compile(r"[A-Za-z0-9_+/-]{1,64}"), IssueCode.TIME_ZONE_UNKNOWN),
    "fee_currency": (re.compile(r"[A-Z]{3}"), IssueCode.CURRENCY_INVALID),
    "upi_id": (
        re.compile(r"[A-Za-z0-9._-]{2,256}@[A-Za-z][A-Za-z0-9.-]{1,63}"),
        IssueCode.UPI_ID_INVALID,
    ),
}


def parse_changes(changes: Mapping[str, Any]) -> tuple[dict[str, Any], list[Issue]]:
    """The changes as they are stored, and what is wrong with each by itself.

    A text that shows nothing is null. One with an issue is among the changes as it was sent.
    """
    issues: list[Issue] = []
    return {name: _read(name, value, issues) for name, value in changes.items()}, issues


def order_issues(after: Mapping[str, Any], changes: Collection[str]) -> list[Issue]:
    """Issues of the season as a whole, `after`, each at its part that was changed."""
    opens_at, closes_at = after["opens_at"], after["closes_at"]
    pairs = {
        ("squad_min", "squad_max"): after["squad_min"] > after["squad_max"],
        ("opens_at", "closes_at"): None not in {opens_at, closes_at} and opens_at >= closes_at,
    }
    return [
        setting_issue(low if low in changes else high, IssueCode.ORDER_REVERSED)
        for (low, high), is_reversed in pairs.items()
        if is_reversed
    ]


def setting_issue(name: str, code: IssueCode, params: Mapping[str, Any] | None = None) -> Issue:
    """An issue at the field of the input that is this column."""
    return make_issue((*INPUT, camel_case(name)), code, params)


def _read(name: str, value: Any, issues: list[Issue]) -> Any:
    text: Any = value
    if name in CODE_SETTINGS and value is not None:
        text = strip_ignorable(value).strip()
    if text is None or is_blank(text):
        if name in NON_NULLABLE:
            missing = IssueCode.VALUE_REQUIRED if value is None else IssueCode.TEXT_REQUIRED
            issues.append(setting_issue(name, missing))
        return None
    code: IssueCode | None = None
    params: dict[str, Any] = {}
    if name in TEXT_SETTINGS:
        text, code = TEXT_SETTINGS[name].read(text)
        params = TEXT_SETTINGS[name].params(code)
    elif name in NUMBER_RANGES:
        low, high = NUMBER_RANGES[name]
        params = {"min": low, "max": high}
        code = None if low <= text <= high else IssueCode.NUMBER_OUT_OF_RANGE
    elif name in _PATTERNS:
        pattern, wrong = _PATTERNS[name]
        code = None if pattern.fullmatch(text) else wrong
    if code is not None:
        issues.append(setting_issue(name, code, params))
    return text
