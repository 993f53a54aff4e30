"""Actions of the audit log."""

from enum import StrEnum
from typing import Self

from domain.operations import Operation
from domain.teams.status import TeamAction


class AuditAction(StrEnum):
    """Actions as `noun.past_tense`. Values are stored."""

    TEAM_REGISTERED = "team.registered"
    TEAM_CONFIRMED = "team.confirmed"
    TEAM_CHANGES_REQUESTED = "team.changes_requested"
    TEAM_RESUBMITTED = "team.resubmitted"
    TEAM_REJECTED = "team.rejected"
    TEAM_WITHDRAWN = "team.withdrawn"
    TEAM_REOPENED = "team.reopened"
    TEAM_UPDATED = "team.updated"
    TEAM_PLAYER_ADDED = "team.player_added"
    TEAM_PLAYER_UPDATED = "team.player_updated"
    TEAM_PLAYER_REMOVED = "team.player_removed"
    TEAM_TOKEN_REISSUED = "team.token_reissued"  # noqa: S105 - an action's name
    TEAM_CHURCH_MERGED = "team.church_merged"
    TEAM_ERASED = "team.erased"
    TEAMS_EXPORTED = "teams.exported"
    CHURCH_MERGED = "church.merged"
    TOURNAMENT_UPDATED = "tournament.updated"
    DOCUMENT_VIEWED = "document.viewed"
    DOCUMENT_REVIEWED = "document.reviewed"
    DOCUMENT_EXPIRED = "document.expired"
    ORGANISER_CREATED = "organiser.created"
    ORGANISER_INVITED = "organiser.invited"
    ORGANISER_INVITATION_ACCEPTED = "organiser.invitation_accepted"
    ORGANISER_ROLE_CHANGED = "organiser.role_changed"
    ORGANISER_PASSWORD_RESET = "organiser.password_reset"  # noqa: S105 - an action's name
    ORGANISER_SIGNED_IN = "organiser.signed_in"
    ORGANISER_SIGNED_OUT = "organiser.signed_out"
    ORGANISER_TOTP_ENABLED = "organiser.totp_enabled"
    ORGANISER_TOTP_DISABLED = "organiser.totp_disabled"
    SESSION_REVOKED = "session.revoked"
    API_TOKEN_CREATED = "api_token.created"  # noqa: S105 - an action's name
    API_TOKEN_REVOKED = "api_token.revoked"  # noqa: S105 - an action's name
    BREAKER_RESET = "breaker.reset"
    # Stands for actions that another version of the service stored.
    OTHER = "other"

    @classmethod
    def from_stored(cls, value: str) -> Self:
        return cls(value) if value in frozenset(cls) else cls.OTHER


KNOWN_ACTIONS = frozenset(AuditAction) - {AuditAction.OTHER}

AUDIT_ACTION_BY_TEAM_ACTION = {
    TeamAction.CONFIRM: AuditAction.TEAM_CONFIRMED,
    TeamAction.REQUEST_CHANGES: AuditAction.TEAM_CHANGES_REQUESTED,
    TeamAction.RESUBMIT: AuditAction.TEAM_RESUBMITTED,
    TeamAction.REJECT: AuditAction.TEAM_REJECTED,
    TeamAction.WITHDRAW: AuditAction.TEAM_WITHDRAWN,
    TeamAction.REOPEN: AuditAction.TEAM_REOPENED,
}
AUDIT_ACTION_BY_OPERATION = {
    Operation.UPDATE_MY_TEAM: AuditAction.TEAM_UPDATED,
    Operation.UPDATE_TEAM: AuditAction.TEAM_UPDATED,
    Operation.UPDATE_PLAYER: AuditAction.TEAM_PLAYER_UPDATED,
    Operation.ADD_PLAYER: AuditAction.TEAM_PLAYER_ADDED,
    Operation.REMOVE_PLAYER: AuditAction.TEAM_PLAYER_REMOVED,
    Operation.REISSUE_MANAGE_TOKEN: AuditAction.TEAM_TOKEN_REISSUED,
}
