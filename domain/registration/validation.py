"""Validation of registration forms: all issues at once, in the order of the form."""

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
    first_issue_per_path,
    make_issue,
)
from domain.registration.forms import DocumentForm, TeamForm, ValidPerson, ValidPlayer, ValidTeam
from domain.registration.names import TEAM_OR_CHURCH_NAME, normalize
from domain.registration.parser import FormParser, ParsedPerson
from domain.tournaments import TournamentRules

T = TypeVar("T")

# The part of BCP 47 that browsers send.
_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupKeys:
    """Values to look up existing teams with. None for a field with an issue."""

    church: str | None
    team_name: str | None
    captain_email: str | None
    captain_phone: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FormValidation:
    """`team` is None if and only if the form has issues."""

    team: ValidTeam | None
    issues: tuple[Issue, ...]
    keys: LookupKeys


def validate_form(form: TeamForm, rules: TournamentRules, *, today: date) -> FormValidation:
    """Validate everything except the documents: see `validate_documents`."""
    parser = FormParser()
    team_name = parser.parse_name(INPUT, "teamName", form.team_name, TEAM_OR_CHURCH_NAME)
    church_name = parser.parse_name(INPUT, "churchName", form.church_name, TEAM_OR_CHURCH_NAME)
    captain = parser.parse_person((*INPUT, "captain"), form.captain)
    vice_captain = parser.parse_person((*INPUT, "viceCaptain"), form.vice_captain)
    parser.check_distinct_people(captain, vice_captain)
    players = parser.parse_squad(form.players, rules, today)
    if rules.consent_version is not None and form.consent_version != rules.consent_version:
        parser.add((*INPUT, "consentVersion"), IssueCode.CONSENT_REQUIRED)
    team = None
    if not parser.issues:
        names = (team_name, church_name)
        team = _valid_team(form, rules, names, (captain, vice_captain), players)
    return FormValidation(
        team=team,
        issues=first_issue_per_path(parser.issues),
        keys=LookupKeys(
            church=normalize(church_name) if church_name else None,
            team_name=normalize(team_name) if team_name else None,
            captain_email=captain.email,
            captain_phone=captain.phone,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentList:
    """A list of documents in a form, with the kinds that it accepts and the kinds it still needs.

    `player_code` names the player of a registered team.
    """

    path: Path
    documents: tuple[DocumentForm, ...]
    kinds: Collection[DocumentKind]
    missing: tuple[DocumentKind, ...]
    player_code: str | None = None

    @property
    def params(self) -> dict[str, str]:
        """Params that all issues of the list have."""
        return {"playerCode": self.player_code} if self.player_code else {}


def validate_documents(
    form: TeamForm, rules: TournamentRules, uploads: Mapping[str, UploadRef] | None = None
) -> tuple[Issue, ...]:
    """Issues of missing, unknown, misplaced and reused documents. `uploads` are keyed by id."""
    required = rules.required_documents
    players = form.players[: rules.squad_max]
    if not required and not form.documents and not any(player.documents for player in players):
        return ()
    lists = [
        _document_list((*INPUT, "documents"), form.documents, TEAM_KINDS, required),
        *(
            _document_list(
                (*INPUT, "players", index, "documents"), player.documents, PLAYER_KINDS, required
            )
            for index, player in enumerate(players)
        ),
    ]
    return validate_document_lists(lists, uploads or {})


def validate_document_lists(
    lists: Iterable[DocumentList], uploads: Mapping[str, UploadRef]
) -> tuple[Issue, ...]:
    """Issues of all lists together, because an upload may be used in one list only.

    At most MAX_ISSUES_PER_LIST for each list, and MAX_ISSUES in all.
    """
    used: set[UUID] = set()
    issues: list[Issue] = []
    for document_list in lists:
        present = {document.kind for document in document_list.documents}
        missing = [kind.value for kind in document_list.missing if kind not in present]
        if missing:
            params = {"kinds": missing, **document_list.params}
            issues.append(make_issue(document_list.path, IssueCode.MISSING_DOCUMENT, params))
        issues += islice(_list_issues(document_list, uploads, used), MAX_ISSUES_PER_LIST)
        if len(issues) >= MAX_ISSUES:
            break
    return first_issue_per_path(issues)


def _list_issues(
    document_list: DocumentList, uploads: Mapping[str, UploadRef], used: set[UUID]
) -> Iterator[Issue]:
    """Issues of documents that cannot be claimed in the list. Adds its uploads to `used`."""
    free_kinds = set(document_list.kinds)
    for index, document in enumerate(document_list.documents):
        upload = uploads.get(document.document_id)
        problem = _document_problem(document, upload, free_kinds, used)
        free_kinds.discard(document.kind)
        if upload is not None:
            used.add(upload.id)
        if problem is not None:
            field, code = problem
            yield make_issue((*document_list.path, index, field), code, document_list.params)


def _document_list(
    path: Path,
    documents: tuple[DocumentForm, ...],
    kinds: tuple[DocumentKind, ...],
    required: Collection[DocumentKind],
) -> DocumentList:
    missing = tuple(kind for kind in required if kind in kinds)
    return DocumentList(path=path, documents=documents, kinds=kinds, missing=missing)


def _document_problem(
    document: DocumentForm,
    upload: UploadRef | None,
    kinds: Collection[DocumentKind],
    used: Collection[UUID],
) -> tuple[str, IssueCode] | None:
    """The field and code of the issue; None for a document that can be claimed."""
    if document.kind not in kinds:
        return "kind", IssueCode.DOCUMENT_WRONG_KIND
    if upload is None:
        return "documentId", IssueCode.DOCUMENT_UNKNOWN
    if upload.kind != document.kind:
        return "documentId", IssueCode.DOCUMENT_WRONG_KIND
    if upload.is_claimed or upload.id in used:
        return "documentId", IssueCode.DOCUMENT_ALREADY_USED
    return None


def _valid_team(
    form: TeamForm,
    rules: TournamentRules,
    names: tuple[str | None, str | None],
    people: tuple[ParsedPerson, ParsedPerson],
    players: tuple[ValidPlayer, ...],
) -> ValidTeam:
    """Requires a form without issues, of which no parsed value is None."""
    team_name, church_name = map(_not_none, names)
    captain, vice_captain = map(_valid_person, people)
    is_locale = isinstance(form.locale, str) and _LOCALE.fullmatch(form.locale)
    return ValidTeam(
        team_name=team_name,
        normalized_team_name=normalize(team_name),
        church_name=church_name,
        normalized_church_name=normalize(church_name),
        captain=captain,
        vice_captain=vice_captain,
        players=players,
        consent_version=form.consent_version if rules.consent_version else None,
        locale=form.locale if is_locale else None,
    )


def _valid_person(person: ParsedPerson) -> ValidPerson:
    return ValidPerson(
        name=_not_none(person.name),
        phone=_not_none(person.phone),
        whatsapp=_not_none(person.whatsapp),
        email=_not_none(person.email),
    )


def _not_none(value: T | None) -> T:
    if value is None:
        raise ValueError("a value is missing in a form without issues")
    return value
