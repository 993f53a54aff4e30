"""The meaning of a failure of the database."""

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from persistence.engine.sqlstates import ErrorClass, classify, refuses_writes
from persistence.engine.tls_errors import tls_error_reason

INVALID_AUTHORIZATION = "28000"
# PostgreSQL's words for a connection without SSL, before version 13 and since.
NO_ENCRYPTION_PHRASES = ("SSL off", "no encryption")
# What no waiting changes.
CONNECT_ERROR_REASONS = {
    INVALID_AUTHORIZATION: "it lets this user in by none of its rules",
    "28P01": "it refuses the password of this user",
    "3D000": "it has no database of this name",
}


class CommitUnknown(Exception):
    """The connection was lost during a commit that must not be tried twice."""


class NoFreeConnection(Exception):
    """Every connection was in use for as long as may be waited for one."""


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's five characters; None when the error did not come from the server."""
    state = getattr(getattr(error, "orig", error), "sqlstate", None)
    return state if isinstance(state, str) else None


def connect_error_reason(error: BaseException | None) -> str:
    """Why a database that answers lets nobody in; empty when it may do so later."""
    if error is None:
        return ""
    state = sqlstate(error) or ""
    if state == INVALID_AUTHORIZATION and any(
        words in str(error) for words in NO_ENCRYPTION_PHRASES
    ):
        return "it lets this user in only with SSL, and sslmode does not allow it"
    return CONNECT_ERROR_REASONS.get(state) or tls_error_reason(error)


def violated_constraint(error: BaseException) -> str:
    """The name of the constraint that was violated; empty if it was none."""
    return _diagnostic(error, "constraint_name")


def error_context(error: BaseException) -> str:
    """Where PostgreSQL was when it failed; empty if it does not say."""
    return _diagnostic(error, "context")


def _diagnostic(error: BaseException, name: str) -> str:
    """By asyncpg's errors, and by those inside SQLAlchemy's."""
    cause = getattr(getattr(error, "orig", None), "__cause__", None) or error
    return getattr(cause, name, None) or ""


def _meaning(error: BaseException) -> ErrorClass:
    return classify(
        sqlstate(error), _diagnostic(error, "severity_en") or _diagnostic(error, "severity")
    )


def is_disconnect(error: BaseException) -> bool:
    """Whether the connection ended, so that a commit may have happened or not."""
    if _meaning(error).is_outcome_unknown:
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    return isinstance(error, OSError)


def invalidates_connections(error: BaseException) -> bool:
    """Whether the connection must not be used again, nor those that were opened with it."""
    return _meaning(error).invalidates_connections or is_disconnect(error)


def is_transient(error: BaseException) -> bool:
    """Whether the work may be tried again: at once, on another connection."""
    return is_disconnect(error) or _meaning(error).is_retryable


def is_pool_exhausted(error: BaseException) -> bool:
    """Whether it was waited in vain for a free connection."""
    return isinstance(error, NoFreeConnection | PoolTimeoutError)


def is_unavailable(error: BaseException) -> bool:
    """Whether the database could not do now what it can do otherwise."""
    given_up = is_pool_exhausted(error) or isinstance(error, CommitUnknown)
    return given_up or is_disconnect(error) or _meaning(error).is_unavailable


def is_write_refused(error: BaseException) -> bool:
    """Whether the server answers and does not write."""
    return refuses_writes(sqlstate(error))
