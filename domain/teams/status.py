"""Team statuses and the transitions between them."""

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


# A live team occupies a slot, its name and its captain's contacts.
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
    # Only while the tournament has room.
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


def transition(status: TeamStatus, action: TeamAction, *, is_captain: bool = False) -> TeamStatus:
    """The status after an action of the captain or of an organiser.

    Raises InvalidStatusTransition, which lists the mutations that this caller may call instead.
    """
    new_status = TRANSITIONS.get((status, action))
    if new_status is None:
        operations = _CAPTAIN_OPERATIONS if is_captain else _ORGANISER_OPERATIONS
        allowed = [
            operation
            for possible_action, operation in operations.items()
            if (status, possible_action) in TRANSITIONS
        ]
        raise transition_error(status, operations[action], allowed)
    return new_status


def transition_error(
    status: TeamStatus,
    attempted: Operation,
    allowed: Collection[Operation] = (),
    *,
    message: str | None = None,
    **details: Any,
) -> InvalidStatusTransition:
    """The error for a mutation that this status does not allow. `details` are added to its own."""
    return InvalidStatusTransition(
        message,
        details={
            "from": status.value,
            "attempted": attempted.value,
            "allowed": [operation.value for operation in allowed],
            **details,
        },
    )
