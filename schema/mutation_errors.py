"""Codes of errors that each mutation may answer, beside those that any operation may."""

from collections.abc import Mapping

from strawberry.types.field import StrawberryField

from domain.errors.exceptions import ErrorCode
from schema.name_converter import NAMES

GENERAL_ERRORS = (
    ErrorCode.BAD_USER_INPUT,
    ErrorCode.UNAUTHENTICATED,
    ErrorCode.FORBIDDEN,
    ErrorCode.RATE_LIMITED,
    ErrorCode.QUERY_TOO_COMPLEX,
    ErrorCode.REQUEST_TIMEOUT,
    ErrorCode.SERVICE_UNAVAILABLE,
    ErrorCode.INTERNAL,
    ErrorCode.GRAPHQL_PARSE_FAILED,
    ErrorCode.GRAPHQL_VALIDATION_FAILED,
    ErrorCode.PERSISTED_QUERY_NOT_SUPPORTED,
    ErrorCode.PERSISTED_QUERY_NOT_FOUND,
    ErrorCode.BODY_TOO_LARGE,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.METHOD_NOT_ALLOWED,
    ErrorCode.NOT_ACCEPTABLE,
)
"""The codes that any operation may answer."""

_OPEN = (ErrorCode.REGISTRATION_NOT_OPEN, ErrorCode.REGISTRATION_CLOSED)
_KEY = (ErrorCode.IDEMPOTENCY_KEY_REUSED, ErrorCode.IDEMPOTENCY_IN_PROGRESS)
_TEAM = (ErrorCode.TEAM_NOT_FOUND, ErrorCode.STALE_VERSION)
_DECISION = (ErrorCode.VALIDATION_FAILED, *_TEAM, ErrorCode.INVALID_STATUS_TRANSITION)

MUTATION_ERRORS: Mapping[str, tuple[ErrorCode, ...]] = {
    "openUpload": (
        ErrorCode.VALIDATION_FAILED,
        ErrorCode.FILE_EMPTY,
        ErrorCode.FILE_TOO_LARGE,
        ErrorCode.FILE_TYPE_NOT_ALLOWED,
    ),
    "registerTeam": (
        ErrorCode.VALIDATION_FAILED,
        *_OPEN,
        ErrorCode.CHURCH_LIMIT_REACHED,
        ErrorCode.TOURNAMENT_FULL,
        *_KEY,
        ErrorCode.TEAM_NOT_FOUND,
    ),
    "resetBreaker": (ErrorCode.NOT_FOUND,),
    "updateMyTeam": (*_DECISION, *_OPEN, ErrorCode.CHURCH_LIMIT_REACHED),
    "resubmitMyTeam": _DECISION,
    "withdrawMyTeam": _DECISION,
    "reviewDocument": (*_DECISION, ErrorCode.NOT_FOUND),
    "confirmTeam": _DECISION,
    "rejectTeam": _DECISION,
    "requestChanges": (*_DECISION, ErrorCode.NOT_FOUND),
    "reopenTeam": (*_DECISION, ErrorCode.CHURCH_LIMIT_REACHED, ErrorCode.TOURNAMENT_FULL),
    "withdrawTeam": _DECISION,
    "confirmTeams": _DECISION,
    "rejectTeams": _DECISION,
    "updateTeam": (*_DECISION, ErrorCode.CHURCH_LIMIT_REACHED),
    "updatePlayer": (*_DECISION, ErrorCode.NOT_FOUND),
    "addPlayer": _DECISION,
    "removePlayer": (*_DECISION, ErrorCode.NOT_FOUND),
    "reissueManageToken": (ErrorCode.VALIDATION_FAILED, *_TEAM),
    "updateTournament": (ErrorCode.VALIDATION_FAILED, ErrorCode.STALE_VERSION),
    "mergeChurches": (ErrorCode.NOT_FOUND,),
    "eraseTeam": _TEAM,
    "exportTeams": (ErrorCode.NOT_FOUND,),
    "signIn": (ErrorCode.SIGN_IN_FAILED,),
    "signOut": (),
    "revokeSession": (ErrorCode.NOT_FOUND,),
    "createApiToken": (ErrorCode.VALIDATION_FAILED, *_KEY, ErrorCode.NOT_FOUND),
    "revokeApiToken": (ErrorCode.NOT_FOUND,),
    "enableTotp": (),
    "confirmTotp": (),
    "disableTotp": (),
    "inviteOrganiser": (ErrorCode.VALIDATION_FAILED, *_KEY, ErrorCode.NOT_FOUND),
    "acceptInvitation": (ErrorCode.VALIDATION_FAILED,),
    "setOrganiserRole": (ErrorCode.NOT_FOUND,),
}
"""The further codes of each mutation; of `confirmTeams` and `rejectTeams` also those in results."""


def append_error_codes(mutation: type) -> None:
    """Name the codes of each mutation at the end of its description."""
    fields: list[StrawberryField] = mutation.__strawberry_definition__.fields  # type: ignore[attr-defined]
    for field in fields:
        codes = MUTATION_ERRORS[NAMES.get_graphql_name(field)]
        names = ", ".join(codes) or "the general ones"
        field.description = f"{field.description} Codes: {names}."


def mutations_answering(code: ErrorCode) -> list[str]:
    """The names of the mutations that answer this code, in the order of the schema."""
    return [name for name, codes in MUTATION_ERRORS.items() if code in codes]
