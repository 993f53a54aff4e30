"""What organisers write for captains."""

from domain.errors import InvalidForm, IssueCode
from domain.issues import INPUT, issue
from domain.text import has_identity_number

REASON_MAX_LENGTH = 500


def require_reason(text: str | None, *place: str | int) -> None:
    """1 to 500 characters at this place of the input. Raises InvalidForm."""
    path = (*INPUT, *place)
    length = len((text or "").strip())
    if length < 1:
        raise InvalidForm((issue(path, IssueCode.NAME_TOO_SHORT, {"min": 1}),))
    if length > REASON_MAX_LENGTH:
        raise InvalidForm((issue(path, IssueCode.NAME_TOO_LONG, {"max": REASON_MAX_LENGTH}),))
    if has_identity_number(text or ""):
        raise InvalidForm((issue(path, IssueCode.IDENTITY_NUMBER_NOT_ALLOWED),))
