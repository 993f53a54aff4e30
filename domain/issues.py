"""Issues: their messages and their order."""

from collections.abc import Iterable, Mapping
from typing import Any

from domain.errors import ISSUE_CATALOG, Issue, IssueCode

Path = tuple[str | int, ...]

INPUT: Path = ("input",)
_ORDER = {
    name: place
    for place, name in enumerate(
        "teamName churchName captain viceCaptain players documents consentVersion"
        " name phone whatsapp email role jerseyNumber dateOfBirth kind documentId".split()
    )
}


def duplicate_team_name() -> Issue:
    return issue((*INPUT, "teamName"), IssueCode.DUPLICATE_TEAM_NAME)


def duplicate_captain_phone() -> Issue:
    return issue((*INPUT, "captain", "phone"), IssueCode.DUPLICATE_CAPTAIN_PHONE)


def duplicate_captain_email() -> Issue:
    return issue((*INPUT, "captain", "email"), IssueCode.DUPLICATE_CAPTAIN_EMAIL)


def in_form_order(issues: Iterable[Issue]) -> tuple[Issue, ...]:
    """By place, one issue a place: the first that was found."""
    first: dict[Path, Issue] = {}
    for issue in issues:
        first.setdefault(issue.path, issue)
    return tuple(sorted(first.values(), key=_place))


def _place(issue: Issue) -> tuple[int, ...]:
    # A list comes before its entries, since a shorter tuple sorts before its continuations.
    return tuple(step if isinstance(step, int) else _ORDER.get(step, -1) for step in issue.path)


def issue(path: Path, code: IssueCode, params: Mapping[str, Any] | None = None) -> Issue:
    return Issue(path, code, _message(code, params or {}), params or {})


def _message(code: IssueCode, params: Mapping[str, Any]) -> str:
    definition = ISSUE_CATALOG[code]
    if "kinds" in params:
        return f"Missing: {', '.join(params['kinds'])}."
    if code in {IssueCode.SQUAD_TOO_SMALL, IssueCode.SQUAD_TOO_LARGE}:
        return (
            f"A squad has {params['min']} to {params['max']} players; this one has"
            f" {params['actual']}."
        )
    if "min" in params:
        return f"At least {params['min']} characters are needed."
    if "max" in params:
        return f"At most {params['max']} characters are allowed."
    return f"{definition.description} {definition.action}"
