"""Parsing of registration forms into canonical values and issues."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from domain.characters import is_blank, strip_ignorable
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import INPUT, Issue, Path, make_issue
from domain.registration.contact import parse_birth_date, parse_email, parse_phone
from domain.registration.forms import PersonForm, PlayerForm, PlayerRole, ValidPlayer
from domain.registration.names import PERSON_NAME, NameRule, normalize
from domain.tournaments import TournamentRules

MAX_JERSEY_NUMBER = 999
_ROLES = {role.value: role for role in PlayerRole}


@dataclass(slots=True, kw_only=True)
class ParsedPerson:
    """A person's canonical values. None for a field with an issue."""

    name: str | None
    phone: str | None
    whatsapp: str | None
    email: str | None


@dataclass(slots=True)
class FormParser:
    """Parse parts of a form and collect their issues. A value with an issue is parsed as None."""

    issues: list[Issue] = field(default_factory=list)

    def add(self, path: Path, code: IssueCode, params: Mapping[str, Any] | None = None) -> None:
        self.issues.append(make_issue(path, code, params))

    def parse_name(self, path: Path, field: str, value: object, rule: NameRule) -> str | None:
        name, code = rule.parse(value)
        if code is None:
            return name
        self.add((*path, field), code, rule.params(name, code))
        return None

    def parse_person(self, path: Path, form: PersonForm) -> ParsedPerson:
        name = self.parse_name(path, "name", form.name, PERSON_NAME)
        phone = self.parse_phone((*path, "phone"), form.phone)
        whatsapp = phone
        if not _is_omitted(form.whatsapp):
            whatsapp = self.parse_phone((*path, "whatsapp"), form.whatsapp)
        email = None
        try:
            email = parse_email(form.email)
        except ValueError:
            self.add((*path, "email"), IssueCode.EMAIL_INVALID)
        return ParsedPerson(name=name, phone=phone, whatsapp=whatsapp, email=email)

    def parse_phone(self, path: Path, value: object) -> str | None:
        try:
            return parse_phone(value)
        except ValueError:
            self.add(path, IssueCode.PHONE_INVALID)
            return None

    def check_distinct_people(self, captain: ParsedPerson, vice_captain: ParsedPerson) -> None:
        """Require different phones; and different names, unless phone and e-mail both differ."""
        path = (*INPUT, "viceCaptain")
        has_same_phone = bool(captain.phone) and captain.phone == vice_captain.phone
        has_same_email = bool(captain.email) and captain.email == vice_captain.email
        if (has_same_phone or has_same_email) and _is_same_name(captain.name, vice_captain.name):
            self.add((*path, "name"), IssueCode.SAME_PERSON_TWICE)
        if has_same_phone:
            self.add((*path, "phone"), IssueCode.SAME_PERSON_TWICE)

    def parse_squad(
        self, forms: tuple[PlayerForm, ...], rules: TournamentRules, today: date
    ) -> tuple[ValidPlayer, ...]:
        """Players beyond the maximum are counted, but not parsed."""
        path = (*INPUT, "players")
        size = {"min": rules.squad_min, "max": rules.squad_max, "actual": len(forms)}
        if len(forms) < rules.squad_min:
            self.add(path, IssueCode.SQUAD_TOO_SMALL, size)
        if len(forms) > rules.squad_max:
            self.add(path, IssueCode.SQUAD_TOO_LARGE, size)
        players = tuple(
            self.parse_player((*path, index), form, today)
            for index, form in enumerate(forms[: rules.squad_max])
        )
        self.check_unique_names(path, players)
        self.check_unique_jersey_numbers(path, players)
        return players

    def parse_player(self, path: Path, form: PlayerForm, today: date) -> ValidPlayer:
        """A name with an issue is empty, other values with an issue are None."""
        name = self.parse_name(path, "name", form.name, PERSON_NAME)
        role = None
        if isinstance(form.role, str):
            role = _ROLES.get(strip_ignorable(form.role).strip())
        if role is None and not _is_omitted(form.role):
            self.add((*path, "role"), IssueCode.ROLE_UNKNOWN)
        birth_date = None
        if not _is_omitted(form.date_of_birth):
            try:
                birth_date = parse_birth_date(form.date_of_birth, today=today)
            except ValueError:
                self.add((*path, "dateOfBirth"), IssueCode.DATE_INVALID)
        return ValidPlayer(
            name=name or "",
            normalized_name=normalize(name) if name else "",
            role=role,
            jersey_number=self.parse_jersey_number(path, form.jersey_number),
            date_of_birth=birth_date,
        )

    def parse_jersey_number(self, path: Path, value: object) -> int | None:
        if _is_omitted(value):
            return None
        if type(value) is float and value.is_integer():
            value = int(value)
        # `isinstance` would accept booleans.
        if type(value) is int and 0 <= value <= MAX_JERSEY_NUMBER:
            return value
        self.add((*path, "jerseyNumber"), IssueCode.JERSEY_INVALID)
        return None

    def check_unique_names(self, path: Path, players: tuple[ValidPlayer, ...]) -> None:
        """Players with the same name must all have different dates of birth."""
        birth_dates: dict[str, list[date | None]] = {}
        for index, player in enumerate(players):
            if not player.normalized_name:
                continue
            others = birth_dates.setdefault(player.normalized_name, [])
            if others and (
                player.date_of_birth is None or None in others or player.date_of_birth in others
            ):
                self.add((*path, index, "name"), IssueCode.DUPLICATE_PLAYER)
            others.append(player.date_of_birth)

    def check_unique_jersey_numbers(self, path: Path, players: tuple[ValidPlayer, ...]) -> None:
        taken: set[int] = set()
        for index, player in enumerate(players):
            if player.jersey_number is None:
                continue
            if player.jersey_number in taken:
                self.add((*path, index, "jerseyNumber"), IssueCode.JERSEY_TAKEN)
            taken.add(player.jersey_number)


def _is_same_name(name: str | None, other: str | None) -> bool:
    return name is not None and other is not None and normalize(name) == normalize(other)


def _is_omitted(value: object) -> bool:
    """Whether an optional value is missing. Forms send blank text for empty fields."""
    return value is None or is_blank(value)
