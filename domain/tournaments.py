"""Rules and settings of a tournament, and the text rules that are the same for every tournament."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from domain.characters import is_blank, strip_ignorable
from domain.documents import DocumentKind
from domain.errors.exceptions import (
    ChurchLimitReached,
    RegistrationClosed,
    RegistrationNotOpen,
    TournamentFull,
)
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import INPUT, Issue, Path, make_issue
from domain.naming import camel_case
from domain.registration.contact import EMAIL_MAX_LENGTH, PHONE_MAX_LENGTH
from domain.registration.names import PERSON_NAME, TEAM_OR_CHURCH_NAME, FreeText, NameRule


class RegistrationState(StrEnum):
    NOT_OPEN = "NOT_OPEN"
    OPEN = "OPEN"
    FULL = "FULL"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class TournamentRules:
    """None means unlimited. Registration is open from `opens_at` until just before `closes_at`."""

    squad_min: int = 11
    squad_max: int = 15
    teams_per_church: int | None = 2
    capacity: int | None = 16
    opens_at: datetime | None = None
    closes_at: datetime | None = None
    required_documents: tuple[DocumentKind, ...] = ()
    consent_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRule:
    """`pattern` is an ECMAScript expression with flag u, for trimmed text."""

    field: str
    min_length: int
    max_length: int
    pattern: str
    description: str


def registration_state(rules: TournamentRules, *, taken: int, now: datetime) -> RegistrationState:
    """The state with `taken` live teams."""
    if rules.opens_at is not None and now < rules.opens_at:
        return RegistrationState.NOT_OPEN
    if rules.closes_at is not None and now >= rules.closes_at:
        return RegistrationState.CLOSED
    if rules.capacity is not None and taken >= rules.capacity:
        return RegistrationState.FULL
    return RegistrationState.OPEN


def require_open(rules: TournamentRules, now: datetime) -> None:
    """Raises RegistrationNotOpen, RegistrationClosed."""
    if rules.opens_at is not None and now < rules.opens_at:
        raise RegistrationNotOpen(rules.opens_at)
    if rules.closes_at is not None and now >= rules.closes_at:
        raise RegistrationClosed(rules.closes_at)


def require_church_capacity(rules: TournamentRules, registered: int) -> None:
    """Raises ChurchLimitReached."""
    limit = rules.teams_per_church
    if limit is not None and registered >= limit:
        raise ChurchLimitReached(limit=limit, registered=registered)


def require_tournament_capacity(rules: TournamentRules, taken: int) -> None:
    """Raises TournamentFull."""
    if rules.capacity is not None and taken >= rules.capacity:
        raise TournamentFull(rules.capacity)


def _name_text_rule(field: str, rule: NameRule) -> TextRule:
    return TextRule(
        field=field,
        min_length=rule.min_length,
        max_length=rule.max_length,
        pattern=rule.pattern,
        description=f"{rule.description} At least two letters. A letter with its marks counts as"
        " one character. The pattern cannot count that way, so it accepts longer names in scripts"
        " with marks.",
    )


# The patterns for phone and e-mail accept everything that the server accepts, and more.
TEXT_RULES = (
    _name_text_rule("teamName", TEAM_OR_CHURCH_NAME),
    _name_text_rule("churchName", TEAM_OR_CHURCH_NAME),
    _name_text_rule("person.name", PERSON_NAME),
    _name_text_rule("player.name", PERSON_NAME),
    TextRule(
        field="person.phone",
        min_length=7,
        max_length=PHONE_MAX_LENGTH,
        pattern=rf"^.{{7,{PHONE_MAX_LENGTH}}}$",
        description="A phone number in any notation; Indian unless it starts with +.",
    ),
    TextRule(
        field="person.email",
        min_length=3,
        max_length=EMAIL_MAX_LENGTH,
        pattern=rf"^(?=.{{3,{EMAIL_MAX_LENGTH}}}$)[^@\s]+@[^@\s]+$",
        description="An e-mail address, e.g. captain@church.example.",
    ),
    TextRule(
        field="player.dateOfBirth",
        min_length=10,
        max_length=10,
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        description="A day as YYYY-MM-DD, not in the future and at most 100 years ago.",
    ),
)

# Settings that organisers may change, by column name.
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
NON_NULLABLE = ("name", "time_zone", "squad_min", "squad_max", "required_documents")
_CODE_PATTERNS = {
    "time_zone": (re.compile(r"[A-Za-z0-9_+/-]{1,64}"), IssueCode.TIME_ZONE_UNKNOWN),
    "fee_currency": (re.compile(r"[A-Z]{3}"), IssueCode.CURRENCY_INVALID),
    "upi_id": (
        re.compile(r"[A-Za-z0-9._-]{2,256}@[A-Za-z][A-Za-z0-9.-]{1,63}"),
        IssueCode.UPI_ID_INVALID,
    ),
}


def parse_changes(changes: Mapping[str, Any]) -> tuple[dict[str, Any], list[Issue]]:
    """The changed settings as they are stored, and the issues of each setting by itself.

    A blank text becomes None. A text with an issue stays as it was sent.
    """
    issues: list[Issue] = []
    return {name: _parse_setting(name, value, issues) for name, value in changes.items()}, issues


def order_issues(settings: Mapping[str, Any], changes: Collection[str]) -> list[Issue]:
    """Issues of lower bounds above their upper bounds, each at a bound that was changed."""
    opens_at, closes_at = settings["opens_at"], settings["closes_at"]
    reversed_pairs = {
        ("squad_min", "squad_max"): settings["squad_min"] > settings["squad_max"],
        ("opens_at", "closes_at"): None not in {opens_at, closes_at} and opens_at >= closes_at,
    }
    return [
        setting_issue(lower if lower in changes else upper, IssueCode.ORDER_REVERSED)
        for (lower, upper), is_reversed in reversed_pairs.items()
        if is_reversed
    ]


def setting_path(name: str) -> Path:
    """The path of the input field of a column."""
    return (*INPUT, camel_case(name))


def setting_issue(name: str, code: IssueCode, params: Mapping[str, Any] | None = None) -> Issue:
    """An issue at the input field of a column."""
    return make_issue(setting_path(name), code, params)


def _parse_setting(name: str, value: Any, issues: list[Issue]) -> Any:
    # Codes are often copied from elsewhere, with invisible characters around them.
    if name in _CODE_PATTERNS and value is not None:
        value = strip_ignorable(value).strip()
    if value is None or is_blank(value):
        if name in NON_NULLABLE:
            code = IssueCode.VALUE_REQUIRED if value is None else IssueCode.TEXT_REQUIRED
            issues.append(setting_issue(name, code))
        return None
    return _parse_present_setting(name, value, issues)


def _parse_present_setting(name: str, value: Any, issues: list[Issue]) -> Any:
    code: IssueCode | None = None
    params: dict[str, Any] = {}
    if name in TEXT_SETTINGS:
        value, code = TEXT_SETTINGS[name].parse(value)
        params = TEXT_SETTINGS[name].params(code)
    elif name in NUMBER_RANGES:
        minimum, maximum = NUMBER_RANGES[name]
        params = {"min": minimum, "max": maximum}
        code = None if minimum <= value <= maximum else IssueCode.NUMBER_OUT_OF_RANGE
    elif name in _CODE_PATTERNS:
        pattern, pattern_code = _CODE_PATTERNS[name]
        code = None if pattern.fullmatch(value) else pattern_code
    if code is not None:
        issues.append(setting_issue(name, code, params))
    return value
