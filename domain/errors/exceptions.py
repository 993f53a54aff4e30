"""All errors that reach a client. Each class is the only source of what is known about its code.

The order of the classes is the order of the generated catalogue.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from domain.datetimes import format_utc
from domain.errors.base import (
    Category,
    ConflictError,
    Detail,
    DetailType,
    DomainError,
    UnavailableError,
)
from domain.errors.issues import Issue


class InvalidForm(DomainError):
    code = "VALIDATION_FAILED"
    description = "Some details of the form need attention; issues lists them all."
    cause = "At least one field breaks a rule, or repeats what a live team already has."
    action = (
        "Show each issue at its path, let the person correct it, and send the form again with the"
        " same key."
    )

    def __init__(self, issues: Sequence[Issue]) -> None:
        need = "detail needs" if len(issues) == 1 else "details need"
        super().__init__(f"{len(issues)} {need} attention.")
        self.issues = tuple(issues)


class RegistrationNotOpen(ConflictError):
    code = "REGISTRATION_NOT_OPEN"
    description = "Registration has not opened yet. Please come back later."
    cause = "The request arrived before the tournament's opensAt."
    action = "Show details.opensAt and keep the form."
    documented_details = (
        Detail("opensAt", DetailType.DATE_TIME, "The moment when registration opens."),
    )

    def __init__(self, opens_at: datetime) -> None:
        super().__init__(details={"opensAt": format_utc(opens_at)})


class RegistrationClosed(ConflictError):
    code = "REGISTRATION_CLOSED"
    description = "Registration is closed. Please ask the organisers."
    cause = "The request arrived at or after the tournament's closesAt."
    action = "Tell the person. A repeat of a successful registration still gets its answer."
    documented_details = (
        Detail("closesAt", DetailType.DATE_TIME, "The moment when registration closed."),
    )

    def __init__(self, closes_at: datetime) -> None:
        super().__init__(details={"closesAt": format_utc(closes_at)})


class TournamentFull(ConflictError):
    code = "TOURNAMENT_FULL"
    description = "The tournament is full. Please ask the organisers."
    cause = "As many live teams as details.capacity are registered."
    action = "Tell the person. There is room again when a team is rejected or withdraws."
    documented_details = (
        Detail("capacity", DetailType.INTEGER, "The number of live teams that can take part."),
    )

    def __init__(self, capacity: int) -> None:
        super().__init__(details={"capacity": capacity})


class ChurchLimitReached(ConflictError):
    code = "CHURCH_LIMIT_REACHED"
    description = "The church has entered as many teams as it may. Please ask your church."
    cause = "The church has details.registered live teams registered; details.limit are allowed."
    action = "Tell the person to ask the church which teams it wants to enter."
    documented_details = (
        Detail("limit", DetailType.INTEGER, "The number of live teams that a church may have."),
        Detail("registered", DetailType.INTEGER, "The number of live teams that it has."),
    )

    def __init__(self, *, limit: int, registered: int) -> None:
        super().__init__(details={"limit": limit, "registered": registered})


class IdempotencyKeyReused(ConflictError):
    code = "IDEMPOTENCY_KEY_REUSED"
    description = "The idempotency key was used for another form. Please send a new key."
    cause = "A key stands for one form for the configured time."
    action = "Make a new key for the new form."


class IdempotencyInProgress(ConflictError):
    code = "IDEMPOTENCY_IN_PROGRESS"
    retryable = True
    default_retry_after_seconds = 1
    description = "Your form is still being processed. Please try again in a moment."
    cause = "The first request with this idempotency key did not finish in time."
    action = "Repeat with the same key after retryAfterSeconds."


class InvalidStatusTransition(ConflictError):
    code = "INVALID_STATUS_TRANSITION"
    description = "The team's status does not allow this. Please reload the team."
    cause = (
        "details.from is the team's status and details.attempted the mutation that was called."
        " details.allowed lists the mutations that the caller may call instead."
    )
    action = "Read the team again and offer the mutations that are allowed."
    documented_details = (
        Detail("from", DetailType.STATUS, "The status of the team."),
        Detail("attempted", DetailType.OPERATION, "The mutation that was refused."),
        Detail(
            "allowed",
            DetailType.OPERATIONS,
            "The mutations that are possible from this status; empty if another status would not"
            " help or none is possible.",
        ),
        Detail(
            "blockers",
            DetailType.BLOCKERS,
            "The reasons why a team cannot be confirmed yet: code and message of each, as in"
            " readiness.blockers.",
            is_required=False,
        ),
    )


class StaleVersion(ConflictError):
    code = "STALE_VERSION"
    description = "This was changed in the meantime. Please reload and try again."
    cause = (
        "expectedVersion differs from details.currentVersion. details.isYours is true if this same"
        " request made the change."
    )
    action = (
        "Read again, show what changed and let the person decide again. If details.isYours is true,"
        " nothing is left to do."
    )
    documented_details = (
        Detail("currentVersion", DetailType.INTEGER, "The current version."),
        Detail(
            "isYours",
            DetailType.BOOLEAN,
            "Whether this same request of the same caller made the only change since"
            " expectedVersion.",
        ),
    )


class TeamNotFound(DomainError):
    code = "TEAM_NOT_FOUND"
    http_status = 404
    description = "We cannot find this team. Please check the code."
    cause = "No team has this id or code, or the team was erased."
    action = "Check the code."


class NotFound(DomainError):
    """`issues` is present if it matters which of several ids does not exist."""

    code = "NOT_FOUND"
    http_status = 404
    description = "We cannot find this. Please check the address."
    cause = "Nothing has this address or id."
    action = "Check the address."

    def __init__(
        self, message: str | None = None, *issues: Issue, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, details=details)
        self.issues = issues


class Unauthenticated(DomainError):
    code = "UNAUTHENTICATED"
    category = Category.AUTH
    http_status = 401
    description = "Please sign in."
    cause = "The request had no valid session or token."
    action = "Sign in, then repeat."


class Forbidden(DomainError):
    code = "FORBIDDEN"
    category = Category.AUTH
    http_status = 403
    description = "Your role does not allow this. Please ask an owner."
    cause = "The caller is signed in, but may not do this."
    action = "Ask an owner for the role."


class BadUserInput(DomainError):
    """Invalid arguments; `issues` has the path of each, and at least one issue.

    The default message is the message of the first issue.
    """

    code = "BAD_USER_INPUT"
    description = "The app sent a request that we cannot read. Please report it."
    cause = (
        "The body is not valid JSON, a variable does not fit its type, or an argument is out of"
        " range. issues has the paths of the variables and arguments that are wrong."
    )
    action = "Correct the client: the defect is in the program, not in what the person entered."
    documented_details = (
        Detail(
            "path",
            DetailType.PATH,
            "The path of a text that is too long or cannot be stored, from the argument on: input,"
            " players, 3, name.",
            is_required=False,
        ),
        Detail(
            "max",
            DetailType.INTEGER,
            "The largest number of characters that the text may have.",
            is_required=False,
        ),
    )

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
    """A request that is wrong outside the arguments of its operation; it has no `issues`."""

    def __init__(self, message: str | None = None) -> None:
        DomainError.__init__(self, message)


class RateLimited(DomainError):
    code = "RATE_LIMITED"
    category = Category.LIMIT
    http_status = 429
    retryable = True
    description = "Too many requests. Please wait a little and try again."
    cause = "This address sent more requests than the limits allow."
    action = "Wait retryAfterSeconds, then repeat."

    def __init__(self, retry_after_seconds: int, message: str | None = None) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)


class TooManyUploads(RateLimited):
    def __init__(self) -> None:
        super().__init__(
            30,
            "Too many files are being sent from your connection."
            " Please wait until some have arrived, then send this file again.",
        )


class QueryTooComplex(DomainError):
    code = "QUERY_TOO_COMPLEX"
    category = Category.LIMIT
    description = "The document asks for too much at once."
    cause = (
        "details.limit names the limit. details.allowed is its largest value; the document has"
        " details.actual or more."
    )
    action = "Ask for less, or in several requests."
    documented_details = (
        Detail("limit", DetailType.LIMIT, "The limit, named as on the page about limits."),
        Detail("allowed", DetailType.INTEGER, "The largest value that is allowed."),
        Detail("actual", DetailType.INTEGER, "The value, or the value at which counting stopped."),
    )

    def __init__(
        self, message: str | None = None, *, limit: str, allowed: int, actual: int
    ) -> None:
        details = {"limit": limit, "allowed": allowed, "actual": actual}
        super().__init__(message, details=details)


class BodyTooLarge(DomainError):
    code = "BODY_TOO_LARGE"
    category = Category.LIMIT
    http_status = 413
    description = "This is too large to send. Please send less."
    cause = "The body has more than details.limitBytes bytes."
    action = "Send less."
    documented_details = (
        Detail("limitBytes", DetailType.INTEGER, "The largest body on this path, in bytes."),
    )

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(details={"limitBytes": limit_bytes})


class UnsupportedMediaType(DomainError):
    code = "UNSUPPORTED_MEDIA_TYPE"
    http_status = 415
    description = "The media type of the body is not supported."
    cause = "GraphQL requests are sent as application/json."
    action = "Set Content-Type: application/json."


class MethodNotAllowed(DomainError):
    code = "METHOD_NOT_ALLOWED"
    http_status = 405
    description = "The method is not allowed here."
    cause = "For example, a mutation was sent with GET."
    action = "Use one of the methods in the Allow header."


class NotAcceptable(DomainError):
    code = "NOT_ACCEPTABLE"
    http_status = 406
    description = "No acceptable media type is available."
    cause = "Accept names neither application/json nor application/graphql-response+json."
    action = "Accept one of them."


class RequestTimeout(DomainError):
    code = "REQUEST_TIMEOUT"
    category = Category.UPSTREAM
    http_status = 504
    retryable = True
    description = "This took too long. Please try again."
    cause = "The request was not answered within the time limit."
    action = "Repeat with the same idempotency key."


class UploadExpired(DomainError):
    code = "UPLOAD_EXPIRED"
    http_status = 410
    description = "The time to send this file is over. Please choose the file again."
    cause = "An upload ticket is valid for the configured time."
    action = "Open a new upload for the file."


class UploadOffsetMismatch(ConflictError):
    code = "UPLOAD_OFFSET_MISMATCH"
    description = "The bytes do not continue where the upload stopped."
    cause = "Content-Range starts at another byte than Upload-Offset."
    action = "Continue from Upload-Offset."
    documented_details = (
        Detail(
            "uploadOffset",
            DetailType.INTEGER,
            "The number of bytes that have arrived; continue with the byte at this offset.",
        ),
    )


class FileTooLarge(DomainError):
    code = "FILE_TOO_LARGE"
    http_status = 413
    description = "The file is too large. Please send a smaller file."
    cause = "A document has at most 5 MB."
    action = "Make a smaller file; on a phone, send a screenshot."
    documented_details = (
        Detail("limitBytes", DetailType.INTEGER, "The largest size of the file, in bytes."),
    )


class FileEmpty(DomainError):
    code = "FILE_EMPTY"
    description = "The file is empty. Please choose another file."
    cause = "A document has at least 1 byte."
    action = "Choose another file."


class FileTypeNotAllowed(DomainError):
    code = "FILE_TYPE_NOT_ALLOWED"
    http_status = 415
    description = "We cannot take this type of file. Please send another type."
    cause = "Documents are PNG, JPEG or PDF; photos are PNG or JPEG."
    action = "Save it as JPEG; on a phone, send a screenshot."
    documented_details = (Detail("formats", DetailType.FORMATS, "The accepted formats."),)


class FileContentMismatch(DomainError):
    code = "FILE_CONTENT_MISMATCH"
    description = "The file is damaged or changed while it was sent. Please choose it again."
    cause = "Size, hash or format differ from the ticket, or the file is damaged."
    action = "Open a new upload for the file as it is."


class StorageUnavailable(UnavailableError):
    code = "STORAGE_UNAVAILABLE"
    default_retry_after_seconds = 60
    description = "We cannot reach the documents right now. Please try again in a minute."
    cause = "The storage service does not answer."
    action = "Repeat after retryAfterSeconds; nothing is lost."
    documented_details = (
        Detail(
            "store",
            DetailType.STRING,
            "The name of a store that is no longer configured.",
            is_required=False,
        ),
    )


class MailUnavailable(UnavailableError):
    code = "MAIL_UNAVAILABLE"
    default_retry_after_seconds = 60
    description = "We cannot send e-mail right now. Please try again in a minute."
    cause = "The mail server does not answer."
    action = "Repeat after retryAfterSeconds."


class ServiceUnavailable(UnavailableError):
    code = "SERVICE_UNAVAILABLE"
    default_retry_after_seconds = 2
    description = "We cannot answer right now. Please try again in a moment."
    cause = "The database is unreachable, starting or overloaded."
    action = "Repeat with the same idempotency key after retryAfterSeconds."


class Internal(DomainError):
    code = "INTERNAL"
    category = Category.INTERNAL
    http_status = 500
    description = "Something went wrong on our side. Please tell the organisers."
    cause = "The service has a defect; its log has the cause under the requestId."
    action = "Report the requestId."


class GraphqlParseFailed(DomainError):
    code = "GRAPHQL_PARSE_FAILED"
    description = "The document is not valid GraphQL."
    cause = "The document could not be parsed."
    action = "Correct the document at the location given."


class GraphqlValidationFailed(DomainError):
    """`issues` is present if a value in the document is missing or has another type."""

    code = "GRAPHQL_VALIDATION_FAILED"
    description = "The document does not fit the schema."
    cause = "It names a field, argument or type that does not exist."
    action = "Correct the document to match the schema."

    def __init__(self, message: str | None = None, *issues: Issue) -> None:
        super().__init__(message)
        self.issues = issues


class PersistedQueryNotSupported(DomainError):
    """Clients of automatic persisted queries compare the message itself."""

    code = "PERSISTED_QUERY_NOT_SUPPORTED"
    description = "Persisted queries are not supported."
    cause = "The request had a hash instead of a query."
    action = "Send the query itself."

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotSupported")


class PersistedQueryNotFound(DomainError):
    """Clients of automatic persisted queries compare the message itself."""

    code = "PERSISTED_QUERY_NOT_FOUND"
    description = "No trusted document has this hash or name."
    cause = (
        "The request had a hash or a name instead of a query, and TRUSTED_DOCUMENTS has no such"
        " document."
    )
    action = "Send the query itself, or add it to the trusted documents."

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotFound")


class SignInFailed(Unauthenticated):
    """The same for an unknown account as for a wrong password."""

    code = "SIGN_IN_FAILED"
    description = "The sign-in failed. Please check e-mail, password and code."
    cause = (
        "E-mail, password or second-factor code is wrong. details.secondFactorRequired is true if"
        " the password is right and the code is missing or wrong."
    )
    action = "Let the person try again; no session has ended."
    documented_details = (
        Detail(
            "secondFactorRequired",
            DetailType.BOOLEAN,
            "True if the password is right and the second-factor code is missing or wrong.",
            is_required=False,
        ),
    )
