"""The meaning of PostgreSQL's error codes for connections, repeats and answers.

Codes: appendix A of PostgreSQL's manual. A code has its own row, that of its first three
characters, or that of its class, the first two. Every other code is for the caller to judge.
"""

from dataclasses import dataclass

LOCK_NOT_AVAILABLE = "55P03"
QUERY_CANCELED = "57014"
# The server closes the connection after an error of one of these severities.
CLOSING_SEVERITIES = frozenset({"FATAL", "PANIC"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorClass:
    """`is_connection_spent`: the connection is closed, and the idle ones of its pools with it.

    `is_retryable`: the same work may succeed at once on another connection. `is_unavailable`: the
    answer is SERVICE_UNAVAILABLE, otherwise the error is a defect or the caller's to judge.
    `is_outcome_unknown`: the statement may have been committed all the same.
    """

    invalidates_connections: bool = False
    is_retryable: bool = False
    is_unavailable: bool = False
    is_outcome_unknown: bool = False


OTHER = ErrorClass()
# The connection ended, perhaps after the commit and before its answer.
_LOST = ErrorClass(
    invalidates_connections=True, is_retryable=True, is_unavailable=True, is_outcome_unknown=True
)
# The server refused for its own reasons; another server, or the same one later, may not.
_REFUSED = ErrorClass(invalidates_connections=True, is_retryable=True, is_unavailable=True)
# Two transactions were in each other's way.
_CONFLICT = ErrorClass(is_retryable=True, is_unavailable=True)
# The time for waiting is over: trying again would wait once more.
_WAITED = ErrorClass(is_unavailable=True)
# Nobody is let in until an operator changes something.
_SHUT_OUT = ErrorClass(invalidates_connections=True, is_unavailable=True)

_MEANINGS = {
    # Connection exceptions; asyncpg raises 08003 for a connection that ended in a statement.
    "08": _LOST,
    "08001": _REFUSED,
    "08004": _REFUSED,
    # A transaction on a server that only reads: a standby, or a primary that was replaced.
    "25006": _REFUSED,
    # The server ended an idle or long transaction, and with it the connection.
    "25P03": _REFUSED,
    "25P04": _REFUSED,
    # A prepared statement or cursor is not there, or there already: the server behind the
    # connection is another one than before.
    "26": _REFUSED,
    "34": _REFUSED,
    "42P05": _REFUSED,
    # The user or the password is not accepted any more.
    "28": _SHUT_OUT,
    "3D": _SHUT_OUT,
    # Serialization failure and deadlock.
    "40001": _CONFLICT,
    "40P01": _CONFLICT,
    "40003": _LOST,
    # Disk full, out of memory, too many connections.
    "53": _REFUSED,
    # The database takes no connections for now; also recovery is in progress.
    "55000": _CONFLICT,
    LOCK_NOT_AVAILABLE: _WAITED,
    # Statement timeout, or an operator cancelled the statement.
    "57": _WAITED,
    # The server shuts down, crashed, starts, or ended an idle session.
    "57P": _LOST,
    "57P03": _REFUSED,
    # Input and output errors of the server's disk.
    "58": _REFUSED,
    # The snapshot is too old.
    "72": _CONFLICT,
}


def classify(sqlstate: str | None, severity: str | None = None) -> ErrorClass:
    """The meaning of an error by its code, else by its severity."""
    code = sqlstate or ""
    for length in (5, 3, 2):
        row = _MEANINGS.get(code[:length])
        if row is not None:
            return row
    return _LOST if severity in CLOSING_SEVERITIES else OTHER


def refuses_writes(sqlstate: str | None) -> bool:
    """Whether the server answers and does not write: read-only, disk full, errors of the disk."""
    return (sqlstate or "").startswith(("25006", "53100", "58"))
