"""Issues of forms and arguments: their paths, messages and order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.errors.issue_codes import IssueCode

Path = tuple[str | int, ...]

INPUT: Path = ("input",)
# A squad of fifteen with every field wrong has fewer issues.
MAX_ISSUES = 200
# A client may send a list of documents of any length.
MAX_ISSUES_PER_LIST = 5
_FIELD_ORDER = {
    name: position
    for position, name in enumerate(
        "reason teamName churchName captain viceCaptain players player name phone whatsapp email"
        " role jerseyNumber dateOfBirth documents consentVersion kind documentId items note"
        " playerCode expiresInDays venue timeZone opensAt closesAt capacity teamsPerChurch squadMin"
        " squadMax feeAmount feeCurrency upiId upiPayee requiredDocuments".split()
    )
}

# Messages of issues that have a certain param, instead of the message of their code.
_MESSAGES_WITH_PARAM = {
    (IssueCode.NAME_CHARACTERS, "characters"): "Please leave out {characters}. A name has letters,"
    " spaces and punctuation such as . - ( ) and ’.",
    (IssueCode.MISSING_DOCUMENT, "playerCode"): "Please add the missing documents of {playerCode}:"
    " {kinds}.",
}


@dataclass(frozen=True, slots=True)
class Issue:
    """A problem with one field of a form. The path starts at the argument, `input`."""

    path: Path
    code: IssueCode
    message: str
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pointer(self) -> str:
        """The path as a JSON Pointer (RFC 6901)."""
        return "".join(f"/{str(s).replace('~', '~0').replace('/', '~1')}" for s in self.path)


def make_issue(path: Path, code: IssueCode, params: Mapping[str, Any] | None = None) -> Issue:
    return Issue(path, code, issue_message(code, params), params or {})


def issue_message(code: IssueCode, params: Mapping[str, Any] | None = None) -> str:
    params = params or {}
    template = code.message
    for (special_code, name), message in _MESSAGES_WITH_PARAM.items():
        if special_code == code and name in params:
            template = message
    return template.format_map(
        {name: _join(name, v) if isinstance(v, list) else v for name, v in params.items()}
    )


def duplicate_team_name() -> Issue:
    return make_issue((*INPUT, "teamName"), IssueCode.DUPLICATE_TEAM_NAME)


def duplicate_captain_phone() -> Issue:
    return make_issue((*INPUT, "captain", "phone"), IssueCode.DUPLICATE_CAPTAIN_PHONE)


def duplicate_captain_email() -> Issue:
    return make_issue((*INPUT, "captain", "email"), IssueCode.DUPLICATE_CAPTAIN_EMAIL)


def size_issues(path: Path, size: int, *, minimum: int, maximum: int | None = None) -> list[Issue]:
    """The issue of a list whose `size` is out of range; empty for a list within it."""
    if size < minimum:
        return [make_issue(path, IssueCode.LIST_TOO_SHORT, {"min": minimum, "actual": size})]
    if maximum is not None and size > maximum:
        return [make_issue(path, IssueCode.LIST_TOO_LONG, {"max": maximum, "actual": size})]
    return []


def first_issue_per_path(issues: Iterable[Issue]) -> tuple[Issue, ...]:
    """The first issue of each path, in the order of the form, at most MAX_ISSUES."""
    first: dict[Path, Issue] = {}
    for issue in issues:
        first.setdefault(issue.path, issue)
    return tuple(sorted(first.values(), key=_form_position)[:MAX_ISSUES])


def remap_paths(issues: Iterable[Issue], paths: Mapping[Path, Path]) -> tuple[Issue, ...]:
    """Move issues from the keys of `paths`, and from below them, to the values; drop all others."""
    moved = []
    for issue in issues:
        for depth in range(len(issue.path), 0, -1):
            target = paths.get(issue.path[:depth])
            if target is not None:
                moved.append(make_issue((*target, *issue.path[depth:]), issue.code, issue.params))
                break
    return first_issue_per_path(moved)


def _form_position(issue: Issue) -> tuple[int, ...]:
    # A list comes before its entries, because a shorter tuple sorts before its continuations.
    return tuple(
        step if isinstance(step, int) else _FIELD_ORDER.get(step, -1) for step in issue.path
    )


def _join(name: str, values: list[str]) -> str:
    # Commas between characters would hide a comma among them.
    return (" " if name == "characters" else ", ").join(values)
