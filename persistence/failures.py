"""What a failure of the database means."""

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from persistence.connecting import is_ended_by

LOCK_NOT_AVAILABLE = "55P03"
QUERY_CANCELED = "57014"
# Serialization failure, deadlock, server stopped or starting, too many connections, a database
# that takes none for now; class 08 is the connection itself.
TRANSIENT = frozenset({"40001", "40P01", "57P01", "57P02", "57P03", "53300", "55000"})
# What no waiting changes.
REFUSALS = {
    "28000": "it lets this user in by none of its rules",
    "28P01": "it refuses the password of this user",
    "3D000": "it has no database of this name",
}


class CommitUnknown(Exception):
    """The connection was lost during a commit that must not be tried twice."""


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's five characters; None when the error did not come from the server."""
    state = getattr(getattr(error, "orig", error), "sqlstate", None)
    return state if isinstance(state, str) else None


def refusal(error: BaseException | None) -> str:
    """Why a database that answers lets nobody in; empty when it may do so later."""
    return REFUSALS.get(sqlstate(error) or "", "") if error else ""


def constraint(error: BaseException) -> str:
    """The name of the constraint that was violated; empty if it was none."""
    return _told(error, "constraint_name")


def context(error: BaseException) -> str:
    """Where PostgreSQL was when it failed; empty if it does not say."""
    return _told(error, "context")


def _told(error: BaseException, name: str) -> str:
    """By asyncpg's errors, and by those inside SQLAlchemy's."""
    cause = getattr(getattr(error, "orig", None), "__cause__", None) or error
    return getattr(cause, name, None) or ""


def is_lost(error: BaseException) -> bool:
    if is_ended_by(sqlstate(error)):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    return isinstance(error, OSError)


def is_transient(error: BaseException) -> bool:
    return is_lost(error) or sqlstate(error) in TRANSIENT


def is_unavailable(error: BaseException) -> bool:
    blocked = sqlstate(error) in {LOCK_NOT_AVAILABLE, QUERY_CANCELED}
    given_up = isinstance(error, CommitUnknown | PoolTimeoutError)
    return blocked or given_up or is_transient(error)
