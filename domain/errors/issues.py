"""Issues: their messages and their order."""

from collections.abc import Iterable, Mapping
from typing import Any

from domain.errors.issue_codes import IssueCode
from domain.errors.issues import Issue

Path = tuple[str | int, ...]

INPUT: Path = ("input",)
# Of one form. A squad of fifteen with everything wrong has fewer.
MAX_ISSUES = 200
# Of one list of documents, which may have as many entries as a client likes to send.
MAX_ISSUES_PER_LIST = 5
_ORDER = {
    name: place
    for place, name in enumerate(
        "reason teamName churchName captain viceCaptain players player name phone whatsapp email"
        " role jerseyNumber dateOfBirth documents consentVersion kind documentId items note"
        " playerCode expiresInDays venue timeZone opensAt closesAt capacity teamsPerChurch squadMin"
        " squadMax feeAmount feeCurrency upiId upiPayee requiredDocuments".split()
    )
}

# For the person who fills in the form; the catalogue's `action` is for the client's maker.
_MESSAGES = {
    IssueCode.NAME_TOO_SHORT: "Please write at least {min} characters.",
    IssueCode.NAME_TOO_LONG: "Please write at most {max} characters.",
    IssueCode.NAME_CHARACTERS: "Please write the name in letters, at least two of them.",
    IssueCode.PHONE_INVALID: "Please give a valid phone number; start one from abroad with +.",
    IssueCode.EMAIL_INVALID: "Please give a valid e-mail address, such as captain@church.example.",
    IssueCode.ROLE_UNKNOWN: "Please choose one of the roles offered.",
    IssueCode.DATE_INVALID: "Please give the date of birth as year-month-day, such as 2008-02-29.",
    IssueCode.DATE_TIME_INVALID: "Please give date, time and offset, such as"
    " 2026-11-23T09:30:00+05:30, in the years 1900 to 2200.",
    IssueCode.JERSEY_INVALID: "Please give a whole number from 0 to 999.",
    IssueCode.JERSEY_TAKEN: "Another player of the team has this number; please choose another.",
    IssueCode.IDENTITY_NUMBER_NOT_ALLOWED: "This looks like an Aadhaar number; please take it out.",
    IssueCode.SQUAD_TOO_SMALL: "A squad has {min} to {max} players; this one has {actual}."
    " Please add players.",
    IssueCode.SQUAD_TOO_LARGE: "A squad has {min} to {max} players; this one has {actual}."
    " Please take players out.",
    IssueCode.SAME_PERSON_TWICE: "Captain and vice-captain are two people, each with a name and"
    " a phone of their own. Please change one of them.",
    IssueCode.DUPLICATE_PLAYER: "Another player has the same name. Please give both their dates of"
    " birth, or take one out.",
    IssueCode.DUPLICATE_TEAM_NAME: "The church has a team with this name already. Please choose"
    " another name.",
    IssueCode.DUPLICATE_CAPTAIN_EMAIL: "A team is registered with this e-mail already. Please give"
    " another, or ask whether your team is registered.",
    IssueCode.DUPLICATE_CAPTAIN_PHONE: "A team is registered with this phone already. Please give"
    " another, or ask whether your team is registered.",
    IssueCode.MISSING_DOCUMENT: "Please add what is missing: {kinds}.",
    IssueCode.DOCUMENT_UNKNOWN: "We do not have this file, or no longer. Please upload it again.",
    IssueCode.DOCUMENT_ALREADY_USED: "This file is used elsewhere. Please upload it again.",
    IssueCode.DOCUMENT_WRONG_KIND: "This file does not belong here. Please choose another.",
    IssueCode.CONSENT_REQUIRED: "Please read the current consent text and agree to it.",
    IssueCode.TEXT_REQUIRED: "Please fill this in.",
    IssueCode.TEXT_CHARACTERS: "Please write this in one line, in characters that can be seen.",
    IssueCode.VALUE_REQUIRED: "This cannot be empty. Please give a value.",
    IssueCode.NUMBER_OUT_OF_RANGE: "Please give a whole number from {min} to {max}.",
    IssueCode.ORDER_REVERSED: "The end comes before the beginning. Please change one of them.",
    IssueCode.TIME_ZONE_UNKNOWN: "Please give an IANA time zone, such as Asia/Kolkata.",
    IssueCode.CURRENCY_INVALID: "Please give the currency in three capital letters, such as INR.",
    IssueCode.UPI_ID_INVALID: "Please give a UPI id, such as payee@bank.",
    IssueCode.PLAYER_UNKNOWN: "Please give the code of another player of this team.",
    IssueCode.FILE_NAME_INVALID: "Please give the file a name of {min} to {max} characters.",
    IssueCode.HASH_INVALID: "The file's sha256 has to be 64 hexadecimal digits. Please choose the"
    " file again.",
    IssueCode.PASSWORD_LENGTH: "A password has {min} to {max} characters. Please choose another"
    " one.",
    IssueCode.PASSWORD_COMMON: "This password is one of the first that are tried. Please choose"
    " another one.",
    IssueCode.PASSWORD_IS_EMAIL: "The e-mail address is no password. Please choose another one.",
    IssueCode.LIST_TOO_SHORT: "Please name at least {min}; this has {actual}.",
    IssueCode.LIST_TOO_LONG: "Please name at most {max} at once; this has {actual}.",
    IssueCode.VALUE_INVALID: "Please give a value of the type that the schema has here.",
    IssueCode.VALUE_NOT_ALLOWED: "Please give one of these: {allowed}.",
    IssueCode.CHOOSE_ONE: "Please give one of these and no more: {names}.",
    IssueCode.CURSOR_INVALID: "Please give a cursor that this list has answered.",
    IssueCode.ID_UNKNOWN: "There is nothing with this id. Please choose another.",
    IssueCode.SAME_CHURCH: "These are not two churches. Please choose another one.",
    IssueCode.SEASONS_DIFFER: "The churches are of different seasons. Please choose another one.",
    IssueCode.ORGANISER_EXISTS: "Please give another e-mail address. There is an"
    " organiser with this e-mail already.",
    IssueCode.SECOND_FACTOR_ON: "The second factor is on already. Please disable it first.",
    IssueCode.IDEMPOTENCY_KEY_INVALID: "An idempotency key has {min} to {max} printable ASCII"
    " characters. Please make a new one.",
    IssueCode.IDEMPOTENCY_KEYS_DIFFER: "The Idempotency-Key header has another key. Please send"
    " one key.",
}
# In the place of those above, where the issue has this param.
_MESSAGES_WITH = {
    (IssueCode.NAME_CHARACTERS, "characters"): "Please leave out {characters}. A name has letters,"
    " spaces and signs such as . - ( ) and ’.",
    (IssueCode.MISSING_DOCUMENT, "playerCode"): "Please add what is missing of {playerCode}:"
    " {kinds}.",
}


def duplicate_team_name() -> Issue:
    return make_issue((*INPUT, "teamName"), IssueCode.DUPLICATE_TEAM_NAME)


def duplicate_captain_phone() -> Issue:
    return make_issue((*INPUT, "captain", "phone"), IssueCode.DUPLICATE_CAPTAIN_PHONE)


def duplicate_captain_email() -> Issue:
    return make_issue((*INPUT, "captain", "email"), IssueCode.DUPLICATE_CAPTAIN_EMAIL)


def first_issue_per_path(issues: Iterable[Issue]) -> tuple[Issue, ...]:
    """By place, one issue a place: the first that was found. At most ISSUES_MAX."""
    first: dict[Path, Issue] = {}
    for issue in issues:
        first.setdefault(issue.path, issue)
    return tuple(sorted(first.values(), key=_place)[:MAX_ISSUES])


def _place(issue: Issue) -> tuple[int, ...]:
    # A list comes before its entries, since a shorter tuple sorts before its continuations.
    return tuple(step if isinstance(step, int) else _ORDER.get(step, -1) for step in issue.path)


def remap_paths(issues: Iterable[Issue], places: Mapping[Path, Path]) -> tuple[Issue, ...]:
    """Issues at or below the places that are named, as of the paths they stand for; no others."""
    found = []
    for one in issues:
        for length in range(len(one.path), 0, -1):
            place = places.get(one.path[:length])
            if place is not None:
                found.append(make_issue((*place, *one.path[length:]), one.code, one.params))
                break
    return first_issue_per_path(found)


def size_issues(path: Path, size: int, *, least: int, most: int | None = None) -> list[Issue]:
    """An issue at the list where its `size` is below `least` or above `most`; else none."""
    if size < least:
        return [make_issue(path, IssueCode.LIST_TOO_SHORT, {"min": least, "actual": size})]
    if most is not None and size > most:
        return [make_issue(path, IssueCode.LIST_TOO_LONG, {"max": most, "actual": size})]
    return []


def make_issue(path: Path, code: IssueCode, params: Mapping[str, Any] | None = None) -> Issue:
    return Issue(path, code, issue_message(code, params), params or {})


def issue_message(code: IssueCode, params: Mapping[str, Any] | None = None) -> str:
    params = params or {}
    shown = {k: _listed(k, v) if isinstance(v, list) else v for k, v in params.items()}
    message = _MESSAGES[code]
    for (special, name), text in _MESSAGES_WITH.items():
        if special == code and name in params:
            message = text
    return message.format_map(shown)


def _listed(name: str, values: list[str]) -> str:
    # A comma that is left out would be lost among those between.
    return " ".join(values) if name == "characters" else ", ".join(values)
