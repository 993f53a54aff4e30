"""What organisers and captains write for each other."""

from domain.errors import BadUserInput, InvalidForm, IssueCode
from domain.issues import INPUT, issue
from domain.text import FreeText

REASON_MAX_LENGTH = 500
REASON = FreeText(max_length=REASON_MAX_LENGTH, has_lines=True)
_BOUNDS = {
    IssueCode.NAME_TOO_SHORT: {"min": 1},
    IssueCode.NAME_TOO_LONG: {"max": REASON_MAX_LENGTH},
}


def read_reason(text: str | None, *place: str | int) -> str:
    """The text of this place of the input as it is stored: 1 to 500 characters.

    Raises InvalidForm, and BadUserInput for characters that cannot be stored.
    """
    reason, code = REASON.read(text or "")
    if code == IssueCode.NAME_CHARACTERS:
        raise unstorable((*INPUT, *place))
    if code is not None:
        raise InvalidForm((issue((*INPUT, *place), code, _BOUNDS.get(code)),))
    return reason


def unstorable(path: tuple[str | int, ...]) -> BadUserInput:
    """The refusal of a text that holds NUL or half a surrogate pair."""
    name = next(step for step in reversed(path) if isinstance(step, str))
    return BadUserInput(
        f"{name} has characters that cannot be stored. Please type it again.",
        details={"path": list(path)},
    )
