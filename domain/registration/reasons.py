"""Reasons and notes that organisers and captains write for each other."""

from domain.characters import is_blank
from domain.errors.exceptions import BadUserInput, InvalidForm
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import INPUT, Issue, make_issue
from domain.registration.names import RAW_LENGTH_FACTOR, FreeText

REASON_MAX_LENGTH = 500
REASON = FreeText(max_length=REASON_MAX_LENGTH, has_lines=True)


def require_reason(text: str | None, *place: str | int) -> str:
    """The text of this place of the input as it is stored: 1 to 500 characters.

    Raises InvalidForm, and BadUserInput for characters that cannot be stored.
    """
    issues: list[Issue] = []
    reason = parse_reason(text, issues, *place)
    if issues:
        raise InvalidForm(issues)
    return reason


def is_reason_omitted(text: str | None) -> bool:
    """Whether an optional text is empty; one that is too long to be read is not."""
    return text is None or (len(text) <= RAW_LENGTH_FACTOR * REASON_MAX_LENGTH and is_blank(text))


def parse_reason(text: str | None, issues: list[Issue], *place: str | int) -> str:
    """As `read_reason`, but what is wrong is added to `issues`: others may be there."""
    reason, code = REASON.read(text or "")
    if code == IssueCode.TEXT_CHARACTERS:
        raise unstorable_text((*INPUT, *place))
    if code is not None:
        issues.append(make_issue((*INPUT, *place), code, REASON.params(code)))
    return reason


def unstorable_text(path: tuple[str | int, ...]) -> BadUserInput:
    """The refusal of a text that holds NUL or half a surrogate pair."""
    name = next(step for step in reversed(path) if isinstance(step, str))
    return BadUserInput(
        make_issue(path, IssueCode.TEXT_CHARACTERS),
        message=f"{name} has characters that cannot be stored. Please type it again.",
        details={"path": list(path)},
    )
