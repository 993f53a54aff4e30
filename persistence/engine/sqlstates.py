"""Classify PostgreSQL's error codes by their consequences for connections, retries and answers.

The codes are those of appendix A of PostgreSQL's manual. A row of the table stands for one code
(five characters), for codes with a common prefix (three) or for a whole class (two); the longest
match counts. A code without a row is for the caller to judge.
"""

from dataclasses import dataclass

LOCK_NOT_AVAILABLE = "55P03"
# The server closes the connection after an error of one of these severities.
CLOSING_SEVERITIES = frozenset({"FATAL", "PANIC"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorClass:
    """Consequences of an error.

    - `invalidates_connections`: close the connection and the idle ones of all pools.
    - `is_retryable`: the same work may succeed at once on another connection.
    - `is_unavailable`: answer SERVICE_UNAVAILABLE. Otherwise the error is a defect, or the caller
      handles it.
    - `is_outcome_unknown`: the statement may have been committed nevertheless.
    """

    invalidates_connections: bool = False
    is_retryable: bool = False
    is_unavailable: bool = False
    is_outcome_unknown: bool = False


OTHER = ErrorClass()
# The connection ended, possibly between a commit and its answer.
_LOST = ErrorClass(
    invalidates_connections=True, is_retryable=True, is_unavailable=True, is_outcome_unknown=True
)
# The server could not execute the statement; another server, or this one later, may be able to.
_REFUSED = ErrorClass(invalidates_connections=True, is_retryable=True, is_unavailable=True)
# A conflict of transactions, or a state that passes: the same connection can repeat the work.
_RETRYABLE = ErrorClass(is_retryable=True, is_unavailable=True)
# A timeout has passed: a retry would wait once more.
_TIMED_OUT = ErrorClass(is_unavailable=True)
# The login is rejected until an operator changes something.
_LOGIN_REJECTED = ErrorClass(invalidates_connections=True, is_unavailable=True)

_CLASSES = {
    # Connection exceptions; asyncpg raises 08003 for a connection that ended during a statement.
    "08": _LOST,
    "08001": _REFUSED,
    "08004": _REFUSED,
    # Read-only transaction: the server is a standby, or a primary that was replaced.
    "25006": _REFUSED,
    # The server ended an idle or long transaction together with its connection.
    "25P03": _REFUSED,
    "25P04": _REFUSED,
    # A prepared statement or cursor is missing or exists already: the pooler has put another
    # server behind the connection.
    "26": _REFUSED,
    "34": _REFUSED,
    "42P05": _REFUSED,
    # Invalid user, password or database name.
    "28": _LOGIN_REJECTED,
    "3D": _LOGIN_REJECTED,
    # Serialization failure and deadlock.
    "40001": _RETRYABLE,
    "40P01": _RETRYABLE,
    "40003": _LOST,
    # Disk full, out of memory, too many connections.
    "53": _REFUSED,
    # Object not in prerequisite state: the database accepts no connections now, or is recovering.
    "55000": _RETRYABLE,
    LOCK_NOT_AVAILABLE: _TIMED_OUT,
    # Statement timeout, or an operator cancelled the statement.
    "57": _TIMED_OUT,
    # The server shuts down, has crashed, is starting, or ended an idle session.
    "57P": _LOST,
    "57P03": _REFUSED,
    # System errors, such as I/O errors of the server's disk.
    "58": _REFUSED,
    # Snapshot too old.
    "72": _RETRYABLE,
}


def classify(sqlstate: str | None, severity: str | None = None) -> ErrorClass:
    """Classify an error by its code, else by its severity."""
    code = sqlstate or ""
    for length in (5, 3, 2):
        error_class = _CLASSES.get(code[:length])
        if error_class is not None:
            return error_class
    return _LOST if severity in CLOSING_SEVERITIES else OTHER


def refuses_writes(sqlstate: str | None) -> bool:
    """Whether the server answers but cannot write: read-only, disk full, or an I/O error."""
    return (sqlstate or "").startswith(("25006", "53100", "58"))
