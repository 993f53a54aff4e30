"""Reading the parts of a form, noting every issue on the way."""

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

JERSEY_MAX = 999
_ROLES = {role.value: role for role in PlayerRole}


@dataclass(slots=True, kw_only=True)
class ParsedPerson:
    """What could be read of a person; None where it is wrong."""

    name: str | None
    phone: str | None
    whatsapp: str | None
    email: str | None


@dataclass(slots=True)
class FormParser:
    """Collects issues while parts are read; every method gives None for a part that is wrong."""

    issues: list[Issue] = field(default_factory=list)

    def add(self, path: Path, code: IssueCode, params: Mapping[str, Any] | None = None) -> None:
        self.issues.append(make_issue(path, code, params))

    def name(self, path: Path, field: str, value: object, rule: NameRule) -> str | None:
        text, code = rule.read(value)
        if code is None:
            return text
        self.add((*path, field), code, rule.params(text, code))
        return None

    def person(self, path: Path, form: PersonForm) -> ParsedPerson:
        name = self.name(path, "name", form.name, PERSON_NAME)
        phone = self.phone((*path, "phone"), form.phone)
        whatsapp = phone
        if not _is_left_out(form.whatsapp):
            whatsapp = self.phone((*path, "whatsapp"), form.whatsapp)
        email = None
        try:
            email = parse_email(form.email)
        except ValueError:
            self.add((*path, "email"), IssueCode.EMAIL_INVALID)
        return ParsedPerson(name=name, phone=phone, whatsapp=whatsapp, email=email)

    def phone(self, path: Path, value: object) -> str | None:
        try:
            return parse_phone(value)
        except ValueError:
            self.add(path, IssueCode.PHONE_INVALID)
            return None

    def two_people(self, captain: ParsedPerson, vice_captain: ParsedPerson) -> None:
        """One name is two people's where their phones and e-mail addresses differ."""
        path = (*INPUT, "viceCaptain")
        has_phone = bool(captain.phone) and captain.phone == vice_captain.phone
        has_email = bool(captain.email) and captain.email == vice_captain.email
        if (has_phone or has_email) and _same_name(captain.name, vice_captain.name):
            self.add((*path, "name"), IssueCode.SAME_PERSON_TWICE)
        if has_phone:
            self.add((*path, "phone"), IssueCode.SAME_PERSON_TWICE)

    def squad(
        self, players: tuple[PlayerForm, ...], rules: TournamentRules, today: date
    ) -> tuple[ValidPlayer, ...]:
        """Players beyond the largest squad are counted, not read."""
        path = (*INPUT, "players")
        size = {"min": rules.squad_min, "max": rules.squad_max, "actual": len(players)}
        if len(players) < rules.squad_min:
            self.add(path, IssueCode.SQUAD_TOO_SMALL, size)
        if len(players) > rules.squad_max:
            self.add(path, IssueCode.SQUAD_TOO_LARGE, size)
        read = tuple(
            self.player((*path, index), player, today)
            for index, player in enumerate(players[: rules.squad_max])
        )
        self.unique_names(path, read)
        self.unique_jerseys(path, read)
        return read

    def player(self, path: Path, form: PlayerForm, today: date) -> ValidPlayer:
        """Parts that are wrong are left empty; the issues say so."""
        name = self.name(path, "name", form.name, PERSON_NAME)
        role = (
            _ROLES.get(strip_ignorable(form.role).strip()) if isinstance(form.role, str) else None
        )
        if role is None and not _is_left_out(form.role):
            self.add((*path, "role"), IssueCode.ROLE_UNKNOWN)
        born = None
        if not _is_left_out(form.date_of_birth):
            try:
                born = parse_birth_date(form.date_of_birth, today=today)
            except ValueError:
                self.add((*path, "dateOfBirth"), IssueCode.DATE_INVALID)
        return ValidPlayer(
            name=name or "",
            normalized_name=normalize(name) if name else "",
            role=role,
            jersey_number=self.jersey(path, form.jersey_number),
            date_of_birth=born,
        )

    def jersey(self, path: Path, value: object) -> int | None:
        if _is_left_out(value):
            return None
        if type(value) is float and value.is_integer():
            value = int(value)
        # A boolean is an int to Python, not to people.
        if type(value) is int and 0 <= value <= JERSEY_MAX:
            return value
        self.add((*path, "jerseyNumber"), IssueCode.JERSEY_INVALID)
        return None

    def unique_names(self, path: Path, players: tuple[ValidPlayer, ...]) -> None:
        births: dict[str, list[date | None]] = {}
        for index, player in enumerate(players):
            if not player.normalized_name:
                continue
            others = births.setdefault(player.normalized_name, [])
            if others and (
                player.date_of_birth is None or None in others or player.date_of_birth in others
            ):
                self.add((*path, index, "name"), IssueCode.DUPLICATE_PLAYER)
            others.append(player.date_of_birth)

    def unique_jerseys(self, path: Path, players: tuple[ValidPlayer, ...]) -> None:
        taken: set[int] = set()
        for index, player in enumerate(players):
            if player.jersey_number is None:
                continue
            if player.jersey_number in taken:
                self.add((*path, index, "jerseyNumber"), IssueCode.JERSEY_TAKEN)
            taken.add(player.jersey_number)


def _is_left_out(value: object) -> bool:
    """Whether an optional leaf is empty: forms send blank texts for what was left empty."""
    return value is None or is_blank(value)


def _same_name(one: str | None, other: str | None) -> bool:
    return bool(one and other) and normalize(one or "") == normalize(other or "")
