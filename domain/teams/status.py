"""Where a team's application stands, and what may be done with it there."""

from collections.abc import Collection
from enum import StrEnum
from typing import Any

from domain.errors.exceptions import InvalidStatusTransition
from domain.operations import Operation


class TeamStatus(StrEnum):
    PENDING = "PENDING"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    WITHDRAWN = "WITHDRAWN"


class TeamAction(StrEnum):
    CONFIRM = "confirm"
    REQUEST_CHANGES = "requestChanges"
    RESUBMIT = "resubmit"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    REOPEN = "reopen"


# A live team holds its place, its name and its captain's contacts.
LIVE_STATUSES = frozenset({TeamStatus.PENDING, TeamStatus.CHANGES_REQUESTED, TeamStatus.CONFIRMED})

TRANSITIONS = {
    (TeamStatus.PENDING, TeamAction.CONFIRM): TeamStatus.CONFIRMED,
    (TeamStatus.PENDING, TeamAction.REQUEST_CHANGES): TeamStatus.CHANGES_REQUESTED,
    (TeamStatus.PENDING, TeamAction.REJECT): TeamStatus.REJECTED,
    (TeamStatus.PENDING, TeamAction.WITHDRAW): TeamStatus.WITHDRAWN,
    (TeamStatus.CHANGES_REQUESTED, TeamAction.RESUBMIT): TeamStatus.PENDING,
    (TeamStatus.CHANGES_REQUESTED, TeamAction.REJECT): TeamStatus.REJECTED,
    (TeamStatus.CHANGES_REQUESTED, TeamAction.WITHDRAW): TeamStatus.WITHDRAWN,
    (TeamStatus.CONFIRMED, TeamAction.REOPEN): TeamStatus.PENDING,
    (TeamStatus.CONFIRMED, TeamAction.WITHDRAW): TeamStatus.WITHDRAWN,
    # Only while places remain.
    (TeamStatus.REJECTED, TeamAction.REOPEN): TeamStatus.PENDING,
}


_ORGANISER_OPERATIONS = {
    TeamAction.CONFIRM: Operation.CONFIRM_TEAM,
    TeamAction.REQUEST_CHANGES: Operation.REQUEST_CHANGES,
    TeamAction.REJECT: Operation.REJECT_TEAM,
    TeamAction.WITHDRAW: Operation.WITHDRAW_TEAM,
    TeamAction.REOPEN: Operation.REOPEN_TEAM,
}
_CAPTAIN_OPERATIONS = {
    TeamAction.RESUBMIT: Operation.RESUBMIT_MY_TEAM,
    TeamAction.WITHDRAW: Operation.WITHDRAW_MY_TEAM,
}


def transition(status: TeamStatus, event: TeamAction, *, is_captain: bool = False) -> TeamStatus:
    """The status after an event of the captain or of an organiser, who have mutations of their own.

    Raises InvalidStatusTransition, which names the mutations of that caller.
    """
    after = TRANSITIONS.get((status, event))
    if after is None:
        operations = _CAPTAIN_OPERATIONS if is_captain else _ORGANISER_OPERATIONS
        allowed = [name for one, name in operations.items() if (status, one) in TRANSITIONS]
        raise transition_error(status, operations[event], allowed)
    return after


def transition_error(
    status: TeamStatus,
    attempted: Operation,
    allowed: Collection[Operation] = (),
    *,
    message: str | None = None,
    **details: Any,
) -> InvalidStatusTransition:
    """The error that says what was attempted with a team of this status, in names of mutations."""
    return InvalidStatusTransition(
        message,
        details={
            "from": status.value,
            "attempted": attempted.value,
            "allowed": [operation.value for operation in allowed],
            **details,
        },
    )
