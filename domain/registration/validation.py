"""Every rule of a form: all issues at once, in the order of the form."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import TypeVar
from uuid import UUID

from domain.documents import PLAYER_KINDS, TEAM_KINDS, DocumentKind, UploadRef
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import (
    INPUT,
    MAX_ISSUES,
    MAX_ISSUES_PER_LIST,
    Issue,
    Path,
    duplicate_captain_email,
    duplicate_captain_phone,
    duplicate_team_name,
    first_issue_per_path,
    make_issue,
)
from domain.registration.forms import DocumentForm, TeamForm, ValidPerson, ValidPlayer, ValidTeam
from domain.registration.names import TEAM_OR_CHURCH_NAME, normalize
from domain.registration.parser import FormParser, ParsedPerson
from domain.tournaments import TournamentRules

__all__ = [
    "FormValidation",
    "LookupKeys",
    "duplicate_captain_email",
    "duplicate_captain_phone",
    "duplicate_team_name",
    "first_issue_per_path",
    "validate_documents",
    "validate_form",
]

T = TypeVar("T")

# Enough of BCP 47 to keep anything else out of the database.
_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupKeys:
    """The parts by which others are looked up; None where the form's part is wrong."""

    church: str | None
    team_name: str | None
    captain_email: str | None
    captain_phone: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FormValidation:
    """`entry` is None if and only if there are issues."""

    entry: ValidTeam | None
    issues: tuple[Issue, ...]
    keys: LookupKeys


def validate_form(form: TeamForm, rules: TournamentRules, *, today: date) -> FormValidation:
    """Read the form. Required documents are not looked at: see `check_documents`."""
    reading = FormParser()
    team_name = reading.name(INPUT, "teamName", form.team_name, TEAM_OR_CHURCH_NAME)
    church_name = reading.name(INPUT, "churchName", form.church_name, TEAM_OR_CHURCH_NAME)
    captain = reading.person((*INPUT, "captain"), form.captain)
    vice_captain = reading.person((*INPUT, "viceCaptain"), form.vice_captain)
    reading.two_people(captain, vice_captain)
    names = (team_name, church_name)
    players = reading.squad(form.players, rules, today)
    if rules.consent_version is not None and form.consent_version != rules.consent_version:
        reading.add((*INPUT, "consentVersion"), IssueCode.CONSENT_REQUIRED)
    return FormValidation(
        entry=None
        if reading.issues
        else _entry(form, rules, names, (captain, vice_captain), players),
        issues=first_issue_per_path(reading.issues),
        keys=LookupKeys(
            church=normalize(church_name) if church_name else None,
            team_name=normalize(team_name) if team_name else None,
            captain_email=captain.email,
            captain_phone=captain.phone,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentSlot:
    """A slot of the form for documents. `kinds` may be put there, `missing` has to be.

    `player_code` is whose they are, in a team that is registered.
    """

    path: Path
    documents: tuple[DocumentForm, ...]
    kinds: Collection[DocumentKind]
    missing: tuple[DocumentKind, ...]
    player_code: str | None = None

    @property
    def params(self) -> dict[str, str]:
        """The parameters of every issue of the slot."""
        return {"playerCode": self.player_code} if self.player_code else {}


def validate_documents(
    form: TeamForm, rules: TournamentRules, known: Mapping[str, UploadRef] | None = None
) -> tuple[Issue, ...]:
    """What is missing, unknown, misplaced or used elsewhere. `known` are uploads by their ids."""
    required = rules.required_documents
    players = form.players[: rules.squad_max]
    if not required and not form.documents and not any(one.documents for one in players):
        return ()
    places = [
        _place((*INPUT, "documents"), form.documents, TEAM_KINDS, required),
        *(
            _place((*INPUT, "players", n, "documents"), player.documents, PLAYER_KINDS, required)
            for n, player in enumerate(players)
        ),
    ]
    return validate_slots(places, known or {})


def validate_slots(
    places: Iterable[DocumentSlot], known: Mapping[str, UploadRef]
) -> tuple[Issue, ...]:
    """The issues of all places together: an upload is for one of them.

    The first ISSUES_PER_LIST of a place, and ISSUES_MAX at most.
    """
    used: set[UUID] = set()
    issues: list[Issue] = []
    for place in places:
        given = {document.kind for document in place.documents}
        missing = [kind.value for kind in place.missing if kind not in given]
        if missing:
            params = {"kinds": missing, **place.params}
            issues.append(make_issue(place.path, IssueCode.MISSING_DOCUMENT, params))
        issues += islice(_issues_of_list(place, known, used), MAX_ISSUES_PER_LIST)
        if len(issues) >= MAX_ISSUES:
            break
    return first_issue_per_path(issues)


def _issues_of_list(
    place: DocumentSlot, known: Mapping[str, UploadRef], used: set[UUID]
) -> Iterator[Issue]:
    """Each entry that may not be claimed here. Uploads that are named become `used`."""
    free_kinds = set(place.kinds)
    for index, document in enumerate(place.documents):
        uploaded = known.get(document.document_id)
        wrong = _what_is_wrong(document, uploaded, free_kinds, used)
        free_kinds.discard(document.kind)
        if uploaded is not None:
            used.add(uploaded.id)
        if wrong is not None:
            field, code = wrong
            yield make_issue((*place.path, index, field), code, place.params)


def _place(
    path: Path,
    documents: tuple[DocumentForm, ...],
    kinds: tuple[DocumentKind, ...],
    required: Collection[DocumentKind],
) -> DocumentSlot:
    missing = tuple(kind for kind in required if kind in kinds)
    return DocumentSlot(path=path, documents=documents, kinds=kinds, missing=missing)


def _what_is_wrong(
    document: DocumentForm,
    uploaded: UploadRef | None,
    kinds: Collection[DocumentKind],
    used: Collection[UUID],
) -> tuple[str, IssueCode] | None:
    """The field of the entry and the code; None when the document may be claimed here."""
    if document.kind not in kinds:
        return "kind", IssueCode.DOCUMENT_WRONG_KIND
    if uploaded is None:
        return "documentId", IssueCode.DOCUMENT_UNKNOWN
    if uploaded.kind != document.kind:
        return "documentId", IssueCode.DOCUMENT_WRONG_KIND
    if uploaded.is_claimed or uploaded.id in used:
        return "documentId", IssueCode.DOCUMENT_ALREADY_USED
    return None


def _entry(
    form: TeamForm,
    rules: TournamentRules,
    names: tuple[str | None, str | None],
    people: tuple[ParsedPerson, ParsedPerson],
    players: tuple[ValidPlayer, ...],
) -> ValidTeam:
    """Only for a form without issues, so that nothing that was read is None."""
    team_name, church_name = (_not_none(name) for name in names)
    is_locale = isinstance(form.locale, str) and _LOCALE.fullmatch(form.locale)
    return ValidTeam(
        team_name=team_name,
        normalized_team_name=normalize(team_name),
        church_name=church_name,
        normalized_church_name=normalize(church_name),
        captain=_person_entry(people[0]),
        vice_captain=_person_entry(people[1]),
        players=players,
        consent_version=form.consent_version if rules.consent_version else None,
        locale=form.locale if is_locale else None,
    )


def _person_entry(person: ParsedPerson) -> ValidPerson:
    return ValidPerson(
        name=_not_none(person.name),
        phone=_not_none(person.phone),
        whatsapp=_not_none(person.whatsapp),
        email=_not_none(person.email),
    )


def _not_none(value: T | None) -> T:
    if value is None:
        raise ValueError("a part is missing of a form that has no issues")
    return value
