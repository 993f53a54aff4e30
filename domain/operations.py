"""Mutations that error details, readiness and the audit log refer to."""

from enum import StrEnum


class Operation(StrEnum):
    """Mutations that change a team. Values are their GraphQL names."""

    CONFIRM_TEAM = "confirmTeam"
    REQUEST_CHANGES = "requestChanges"
    REJECT_TEAM = "rejectTeam"
    REOPEN_TEAM = "reopenTeam"
    WITHDRAW_TEAM = "withdrawTeam"
    REVIEW_DOCUMENT = "reviewDocument"
    UPDATE_TEAM = "updateTeam"
    UPDATE_PLAYER = "updatePlayer"
    ADD_PLAYER = "addPlayer"
    REMOVE_PLAYER = "removePlayer"
    REISSUE_MANAGE_TOKEN = "reissueManageToken"  # noqa: S105 - a mutation's name
    UPDATE_MY_TEAM = "updateMyTeam"
    RESUBMIT_MY_TEAM = "resubmitMyTeam"
    WITHDRAW_MY_TEAM = "withdrawMyTeam"
