"""Classify exceptions of SQLAlchemy and asyncpg."""

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from persistence.engine.sqlstates import ErrorClass, classify, refuses_writes
from persistence.engine.tls_errors import tls_error_reason

INVALID_AUTHORIZATION = "28000"
# PostgreSQL's messages for a connection without SSL, before version 13 and since.
NO_ENCRYPTION_PHRASES = ("SSL off", "no encryption")
# Login errors that waiting does not change.
CONNECT_ERROR_REASONS = {
    INVALID_AUTHORIZATION: "no rule of its pg_hba.conf allows this login",
    "28P01": "it rejects the password of this user",
    "3D000": "it has no database of this name",
}


class CommitUnknown(Exception):
    """The connection was lost during a commit that must not be repeated."""


class NoFreeConnection(Exception):
    """No connection became free within the time limit."""


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's five-character code; None for an error that the server did not send."""
    code = getattr(getattr(error, "orig", error), "sqlstate", None)
    return code if isinstance(code, str) else None


def connect_error_reason(error: BaseException | None) -> str:
    """The reason for which a database that answers rejects us; "" when a retry may succeed."""
    if error is None:
        return ""
    code = sqlstate(error) or ""
    message = str(error)
    if code == INVALID_AUTHORIZATION and any(p in message for p in NO_ENCRYPTION_PHRASES):
        return "it allows this login only with SSL, which sslmode turns off"
    return CONNECT_ERROR_REASONS.get(code) or tls_error_reason(error)


def violated_constraint(error: BaseException) -> str:
    """The name of the violated constraint; "" if it was none."""
    return _diagnostic(error, "constraint_name")


def error_context(error: BaseException) -> str:
    """PostgreSQL's CONTEXT field, such as the relation whose lock it waited for; "" without one."""
    return _diagnostic(error, "context")


def _diagnostic(error: BaseException, name: str) -> str:
    """A field of an asyncpg error, or of the asyncpg error inside one of SQLAlchemy's."""
    cause = getattr(getattr(error, "orig", None), "__cause__", None) or error
    return getattr(cause, name, None) or ""


def _classify(error: BaseException) -> ErrorClass:
    severity = _diagnostic(error, "severity_en") or _diagnostic(error, "severity")
    return classify(sqlstate(error), severity)


def is_disconnect(error: BaseException) -> bool:
    """Whether the connection ended, so that a commit may or may not have happened."""
    if _classify(error).is_outcome_unknown:
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    return isinstance(error, OSError)


def invalidates_connections(error: BaseException) -> bool:
    """Whether this connection, and all that were opened before, must not be used again."""
    return _classify(error).invalidates_connections or is_disconnect(error)


def is_transient(error: BaseException) -> bool:
    """Whether the work may be retried at once on another connection."""
    return is_disconnect(error) or _classify(error).is_retryable


def is_pool_exhausted(error: BaseException) -> bool:
    """Whether the wait for a free connection timed out."""
    return isinstance(error, NoFreeConnection | PoolTimeoutError)


def is_unavailable(error: BaseException) -> bool:
    """Whether the database was temporarily unable to do the work."""
    return (
        is_pool_exhausted(error)
        or isinstance(error, CommitUnknown)
        or is_disconnect(error)
        or _classify(error).is_unavailable
    )


def is_write_refused(error: BaseException) -> bool:
    """Whether the server answers but cannot write."""
    return refuses_writes(sqlstate(error))
