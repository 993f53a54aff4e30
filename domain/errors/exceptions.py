"""Everything that can go wrong, by name.

* DomainError
  + InvalidForm, BadUserInput (MalformedRequest), UnsupportedMediaType, MethodNotAllowed,
    NotAcceptable, PersistedQueryNotSupported, PersistedQueryNotFound, GraphqlParseFailed,
    GraphqlValidationFailed, FileEmpty, FileTooLarge, FileTypeNotAllowed, FileContentMismatch,
    UploadExpired, UploadOffsetMismatch, TeamNotFound, NotFound
  + Unauthenticated (SignInFailed), Forbidden
  + RegistrationNotOpen, RegistrationClosed, TournamentFull, ChurchLimitReached,
    IdempotencyKeyReused, IdempotencyInProgress, InvalidStatusTransition, StaleVersion
  + RateLimited, QueryTooComplex, BodyTooLarge, RequestTimeout
  + StorageUnavailable, MailUnavailable, ServiceUnavailable
  + Internal

What each code means, and what a client does about it, is in `domain/errors/codes.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from domain.datetimes import format_utc
from domain.errors.base import Category, DetailType
from domain.errors.codes import (
    CATALOG,
    ISSUE_CATALOG,
    DetailDefinition,
    ErrorCode,
    ErrorDefinition,
    IssueDefinition,
)
from domain.errors.issue_codes import IssueCode

__all__ = [
    "CATALOG",
    "ERRORS",
    "ISSUE_CATALOG",
    "Category",
    "DetailDefinition",
    "DetailType",
    "ErrorCode",
    "ErrorDefinition",
    "IssueCode",
    "IssueDefinition",
]


@dataclass(frozen=True, slots=True)
class Issue:
    """What is wrong with one place of a form. The path starts at the argument, `input`."""

    path: tuple[str | int, ...]
    code: IssueCode
    message: str
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pointer(self) -> str:
        """The path as a JSON Pointer (RFC 6901)."""
        return "".join(f"/{str(s).replace('~', '~0').replace('/', '~1')}" for s in self.path)


class DomainError(Exception):
    """Reaches the client with its code, message and details; none repeats a received value."""

    code: ClassVar[ErrorCode]
    default_retry_after_seconds: ClassVar[int | None] = None

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        self.message = message or self.definition.description
        self.details = dict(details or {})
        self.issues: tuple[Issue, ...] = ()
        self.retry_after_seconds = (
            self.default_retry_after_seconds if retry_after_seconds is None else retry_after_seconds
        )
        super().__init__(self.message)

    @property
    def definition(self) -> ErrorDefinition:
        return CATALOG[self.code]


class InvalidForm(DomainError):
    code = ErrorCode.VALIDATION_FAILED

    def __init__(self, issues: Sequence[Issue]) -> None:
        need = "detail needs" if len(issues) == 1 else "details need"
        super().__init__(f"{len(issues)} {need} attention.")
        self.issues = tuple(issues)


class RegistrationNotOpen(DomainError):
    code = ErrorCode.REGISTRATION_NOT_OPEN

    def __init__(self, opens_at: datetime) -> None:
        super().__init__(details={"opensAt": format_utc(opens_at)})


class RegistrationClosed(DomainError):
    code = ErrorCode.REGISTRATION_CLOSED

    def __init__(self, closes_at: datetime) -> None:
        super().__init__(details={"closesAt": format_utc(closes_at)})


class TournamentFull(DomainError):
    code = ErrorCode.TOURNAMENT_FULL

    def __init__(self, capacity: int) -> None:
        super().__init__(details={"capacity": capacity})


class ChurchLimitReached(DomainError):
    code = ErrorCode.CHURCH_LIMIT_REACHED

    def __init__(self, *, limit: int, registered: int) -> None:
        super().__init__(details={"limit": limit, "registered": registered})


class IdempotencyKeyReused(DomainError):
    code = ErrorCode.IDEMPOTENCY_KEY_REUSED


class IdempotencyInProgress(DomainError):
    code = ErrorCode.IDEMPOTENCY_IN_PROGRESS
    default_retry_after_seconds = 1


class InvalidStatusTransition(DomainError):
    code = ErrorCode.INVALID_STATUS_TRANSITION


class StaleVersion(DomainError):
    code = ErrorCode.STALE_VERSION


class TeamNotFound(DomainError):
    code = ErrorCode.TEAM_NOT_FOUND


class NotFound(DomainError):
    """`issues` are there where it matters which of several ids names nothing."""

    code = ErrorCode.NOT_FOUND

    def __init__(
        self, message: str | None = None, *issues: Issue, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, details=details)
        self.issues = issues


class Unauthenticated(DomainError):
    code = ErrorCode.UNAUTHENTICATED


class SignInFailed(Unauthenticated):
    """The same for an unknown account as for a wrong password."""

    code = ErrorCode.SIGN_IN_FAILED


class Forbidden(DomainError):
    code = ErrorCode.FORBIDDEN


class BadUserInput(DomainError):
    """Arguments that are not what they have to be; `issues` name the places, at least one.

    Without a `message` that of the first issue is told.
    """

    code = ErrorCode.BAD_USER_INPUT

    def __init__(
        self,
        first: Issue,
        *others: Issue,
        message: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message or first.message, details=details)
        self.issues = (first, *others)


class MalformedRequest(BadUserInput):
    """A request that is wrong outside the arguments of its operation, which has no `issues`."""

    def __init__(self, message: str | None = None) -> None:
        DomainError.__init__(self, message)


class RateLimited(DomainError):
    code = ErrorCode.RATE_LIMITED

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(retry_after_seconds=retry_after_seconds)


class TooManyUploads(DomainError):
    code = ErrorCode.RATE_LIMITED
    default_retry_after_seconds = 30

    def __init__(self) -> None:
        super().__init__(
            "Too many files are on their way from your connection."
            " Wait until some of them have arrived, then send this one again."
        )


class QueryTooComplex(DomainError):
    code = ErrorCode.QUERY_TOO_COMPLEX

    def __init__(
        self, message: str | None = None, *, limit: str, allowed: int, actual: int
    ) -> None:
        details = {"limit": limit, "allowed": allowed, "actual": actual}
        super().__init__(message, details=details)


class BodyTooLarge(DomainError):
    code = ErrorCode.BODY_TOO_LARGE

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(details={"limitBytes": limit_bytes})


class UnsupportedMediaType(DomainError):
    code = ErrorCode.UNSUPPORTED_MEDIA_TYPE


class MethodNotAllowed(DomainError):
    code = ErrorCode.METHOD_NOT_ALLOWED


class NotAcceptable(DomainError):
    code = ErrorCode.NOT_ACCEPTABLE


class RequestTimeout(DomainError):
    code = ErrorCode.REQUEST_TIMEOUT


class UploadExpired(DomainError):
    code = ErrorCode.UPLOAD_EXPIRED


class UploadOffsetMismatch(DomainError):
    code = ErrorCode.UPLOAD_OFFSET_MISMATCH


class FileTooLarge(DomainError):
    code = ErrorCode.FILE_TOO_LARGE


class FileEmpty(DomainError):
    code = ErrorCode.FILE_EMPTY


class FileTypeNotAllowed(DomainError):
    code = ErrorCode.FILE_TYPE_NOT_ALLOWED


class FileContentMismatch(DomainError):
    code = ErrorCode.FILE_CONTENT_MISMATCH


class StorageUnavailable(DomainError):
    code = ErrorCode.STORAGE_UNAVAILABLE
    default_retry_after_seconds = 60


class MailUnavailable(DomainError):
    code = ErrorCode.MAIL_UNAVAILABLE
    default_retry_after_seconds = 60


class ServiceUnavailable(DomainError):
    code = ErrorCode.SERVICE_UNAVAILABLE
    default_retry_after_seconds = 2


class Internal(DomainError):
    code = ErrorCode.INTERNAL


class GraphqlParseFailed(DomainError):
    code = ErrorCode.GRAPHQL_PARSE_FAILED


class GraphqlValidationFailed(DomainError):
    """`issues` are there where a value of the document is missing or of another type."""

    code = ErrorCode.GRAPHQL_VALIDATION_FAILED

    def __init__(self, message: str | None = None, *issues: Issue) -> None:
        super().__init__(message)
        self.issues = issues


class PersistedQueryNotSupported(DomainError):
    """Clients of automatic persisted queries compare the message itself."""

    code = ErrorCode.PERSISTED_QUERY_NOT_SUPPORTED

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotSupported")


class PersistedQueryNotFound(DomainError):
    """Clients of automatic persisted queries compare the message itself."""

    code = ErrorCode.PERSISTED_QUERY_NOT_FOUND

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotFound")


_KINDS: tuple[type[DomainError], ...] = (*DomainError.__subclasses__(), SignInFailed)
ERRORS: Mapping[ErrorCode, type[DomainError]] = {error.code: error for error in _KINDS}
