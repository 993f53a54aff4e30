"""What may differ from tournament to tournament, and the rules of text that do not."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.documents import DocumentKind
from domain.errors.exceptions import (
    ChurchLimitReached,
    RegistrationClosed,
    RegistrationNotOpen,
    TournamentFull,
)
from domain.registration.contact import EMAIL_MAX_LENGTH, PHONE_MAX_LENGTH
from domain.registration.names import PERSON_NAME, TEAM_OR_CHURCH_NAME, NameRule


class RegistrationState(StrEnum):
    NOT_OPEN = "NOT_OPEN"
    OPEN = "OPEN"
    FULL = "FULL"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class TournamentRules:
    """None means no bound. `closes_at` is the first moment that is too late."""

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
    """`pattern` is ECMAScript with flag u, for text that was trimmed."""

    field: str
    min_length: int
    max_length: int
    pattern: str
    description: str


def registration_state(rules: TournamentRules, *, taken: int, now: datetime) -> RegistrationState:
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


def _name(field: str, rule: NameRule) -> TextRule:
    return TextRule(
        field=field,
        min_length=rule.min_length,
        max_length=rule.max_length,
        pattern=rule.pattern,
        description=f"{rule.description} At least two letters. A letter with its marks counts as"
        " one character; a pattern cannot count so, and lets longer names in scripts with marks"
        " pass.",
    )


# Phone and e-mail patterns let through all that the validator takes, and some that it does not.
TEXT_RULES = (
    _name("teamName", TEAM_OR_CHURCH_NAME),
    _name("churchName", TEAM_OR_CHURCH_NAME),
    _name("person.name", PERSON_NAME),
    _name("player.name", PERSON_NAME),
    TextRule(
        field="person.phone",
        min_length=7,
        max_length=PHONE_MAX_LENGTH,
        pattern=rf"^.{{7,{PHONE_MAX_LENGTH}}}$",
        description="A phone number, written any way; Indian unless it starts with +.",
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
        description="A day as YYYY-MM-DD, not ahead and not more than 100 years back.",
    ),
)
