"""Decisions of organisers about a team or several, each based on the version that they saw."""

from typing import Annotated, Self

import strawberry
from strawberry import argument, field

from domain.auth.roles import Role
from domain.errors.base import DomainError
from domain.teams.status import TeamAction
from persistence.records import TeamRecord
from resolvers.teams import bulk, decisions
from resolvers.teams.bulk import BulkDecision
from resolvers.teams.decisions import ChangeItem, Decision
from schema.context import Info
from schema.enums import DocumentReview, ErrorCode
from schema.limits.text_rules import REASON_TEXT
from schema.node import parse_id
from schema.permissions import require_caller
from schema.scalars import JSON
from schema.teams.types import Team, TeamPayload

TEAM = "The team's id or code."
VERSION = (
    "team.version as the organiser saw it. If it has changed since, the answer is STALE_VERSION."
)
REASON = "For the captain: 1 to 500 characters."
TEAMS = (
    "1 to 100 teams. Each is decided independently: if a team is refused, the others still change."
)


@strawberry.input(description="A team and the version of it that the organiser saw.")
class TeamVersionInput:
    team_id: strawberry.ID = field(description=TEAM)
    expected_version: int = field(description=VERSION)


@strawberry.input
class TeamReasonInput(TeamVersionInput):
    """Base of decisions with a reason for the captain."""

    reason: str = field(metadata=REASON_TEXT, description=REASON)

    def to_decision(self, action: TeamAction) -> Decision:
        return Decision(
            reference=self.team_id,
            expected_version=self.expected_version,
            action=action,
            reason=self.reason,
        )


@strawberry.input(description="A team to confirm.")
class ConfirmTeamInput(TeamVersionInput):
    override_reason: str | None = field(
        default=None,
        metadata=REASON_TEXT,
        description="Why the team is confirmed although its readiness has blockers: 1 to 500"
        " characters.",
    )


@strawberry.input(description="A team to reject.")
class RejectTeamInput(TeamReasonInput):
    pass


@strawberry.input(description="A team to reopen.")
class ReopenTeamInput(TeamReasonInput):
    pass


@strawberry.input(description="A team to withdraw.")
class WithdrawTeamInput(TeamReasonInput):
    pass


@strawberry.input(description="A change that the captain has to make.")
class ChangeItemInput:
    note: str = field(metadata=REASON_TEXT, description=REASON)
    document_id: strawberry.ID | None = field(
        default=None, description="The id of a document to replace; it becomes rejected."
    )


@strawberry.input(description="The changes that the captain has to make.")
class RequestChangesInput(TeamVersionInput):
    items: list[ChangeItemInput] = field(description="At least one change.")


@strawberry.input(description="An organiser's review of a document.")
class ReviewDocumentInput:
    document_id: strawberry.ID = field(description="The document's id.")
    expected_version: int = field(description=VERSION)
    review: DocumentReview = field(description="ACCEPTED or REJECTED.")
    note: str | None = field(
        default=None,
        metadata=REASON_TEXT,
        description="For the captain, required with REJECTED: 1 to 500 characters.",
    )


@strawberry.input(description="Teams to confirm.")
class ConfirmTeamsInput:
    teams: list[TeamVersionInput] = field(description=TEAMS)
    override_reason: str | None = field(
        default=None,
        metadata=REASON_TEXT,
        description="Why the teams are confirmed although their readiness has blockers: 1 to 500"
        " characters.",
    )


@strawberry.input(description="Teams to reject.")
class RejectTeamsInput:
    teams: list[TeamVersionInput] = field(description=TEAMS)
    reason: str = field(metadata=REASON_TEXT, description=REASON)


@strawberry.type(description="The payload of confirmTeam.")
class ConfirmTeamPayload(TeamPayload):
    pass


@strawberry.type(description="The payload of rejectTeam.")
class RejectTeamPayload(TeamPayload):
    pass


@strawberry.type(description="The payload of reopenTeam.")
class ReopenTeamPayload(TeamPayload):
    pass


@strawberry.type(description="The payload of withdrawTeam.")
class WithdrawTeamPayload(TeamPayload):
    pass


@strawberry.type(description="The payload of requestChanges.")
class RequestChangesPayload(TeamPayload):
    pass


@strawberry.type(description="The payload of reviewDocument.")
class ReviewDocumentPayload:
    team: Team = field(description="The team that the document belongs to.")


@strawberry.type(description="The error of a decision about one of several teams.")
class DecisionError:
    code: ErrorCode = field(description="The same as extensions.code of a single decision.")
    message: str = field(description="The problem, in English.")
    retryable: bool = field(description="Whether the same request may succeed later.")
    details: JSON = field(description="The same as extensions.details of a single decision.")


@strawberry.type(description="The result of a decision about one of several teams.")
class DecisionResult:
    team_id: strawberry.ID = field(description="The teamId of the request.")
    team: Team | None = field(description="The team after the decision; null if it was refused.")
    error: DecisionError | None = field(description="The error; null if the decision was made.")

    @classmethod
    def from_outcome(cls, team_id: strawberry.ID, outcome: TeamRecord | DomainError) -> Self:
        if isinstance(outcome, TeamRecord):
            return cls(team_id=team_id, team=Team.from_record(outcome), error=None)
        error = DecisionError(
            code=ErrorCode(outcome.code),
            message=outcome.message,
            retryable=outcome.retryable,
            details=JSON(dict(outcome.details)),
        )
        return cls(team_id=team_id, team=None, error=error)


@strawberry.type(description="The payload of confirmTeams.")
class ConfirmTeamsPayload:
    results: list[DecisionResult] = field(description="Results in the order of the teams.")


@strawberry.type(description="The payload of rejectTeams.")
class RejectTeamsPayload:
    results: list[DecisionResult] = field(description="Results in the order of the teams.")


async def confirm_team(
    info: Info, input: Annotated[ConfirmTeamInput, argument(description="The team.")]
) -> ConfirmTeamPayload | None:
    decision = Decision(
        reference=input.team_id,
        expected_version=input.expected_version,
        action=TeamAction.CONFIRM,
        reason=input.override_reason,
    )
    return ConfirmTeamPayload.from_record(await _decide(info, decision))


async def reject_team(
    info: Info, input: Annotated[RejectTeamInput, argument(description="The team.")]
) -> RejectTeamPayload | None:
    record = await _decide(info, input.to_decision(TeamAction.REJECT))
    return RejectTeamPayload.from_record(record)


async def reopen_team(
    info: Info, input: Annotated[ReopenTeamInput, argument(description="The team.")]
) -> ReopenTeamPayload | None:
    record = await _decide(info, input.to_decision(TeamAction.REOPEN))
    return ReopenTeamPayload.from_record(record)


async def withdraw_team(
    info: Info, input: Annotated[WithdrawTeamInput, argument(description="The team.")]
) -> WithdrawTeamPayload | None:
    return WithdrawTeamPayload.from_record(
        await _decide(info, input.to_decision(TeamAction.WITHDRAW))
    )


async def request_changes(
    info: Info, input: Annotated[RequestChangesInput, argument(description="The team.")]
) -> RequestChangesPayload | None:
    decision = Decision(
        reference=input.team_id,
        expected_version=input.expected_version,
        action=TeamAction.REQUEST_CHANGES,
        items=[ChangeItem(note=item.note, document_id=item.document_id) for item in input.items],
    )
    return RequestChangesPayload.from_record(await _decide(info, decision))


async def review_document(
    info: Info, input: Annotated[ReviewDocumentInput, argument(description="The document.")]
) -> ReviewDocumentPayload | None:
    context, caller = info.context, require_caller(info, Role.REVIEWER)
    document_id = parse_id(input.document_id, "input", "documentId")
    record = await decisions.review_document(
        context.services,
        caller,
        document_id,
        expected_version=input.expected_version,
        verdict=input.review,
        note=input.note,
    )
    return ReviewDocumentPayload(team=Team.from_record(record))


async def confirm_teams(
    info: Info, input: Annotated[ConfirmTeamsInput, argument(description="The teams.")]
) -> ConfirmTeamsPayload | None:
    results = await _decide_each(info, input.teams, TeamAction.CONFIRM, input.override_reason)
    return ConfirmTeamsPayload(results=results)


async def reject_teams(
    info: Info, input: Annotated[RejectTeamsInput, argument(description="The teams.")]
) -> RejectTeamsPayload | None:
    results = await _decide_each(info, input.teams, TeamAction.REJECT, input.reason)
    return RejectTeamsPayload(results=results)


async def _decide(info: Info, decision: Decision) -> TeamRecord:
    context = info.context
    return await decisions.decide(context.services, context.caller, decision)


async def _decide_each(
    info: Info, teams: list[TeamVersionInput], action: TeamAction, reason: str | None
) -> list[DecisionResult]:
    context = info.context
    versions = [(team.team_id, team.expected_version) for team in teams]
    decision = BulkDecision(action=action, reason=reason, teams=versions)
    outcomes = await bulk.decide_bulk(context.services, context.caller, decision)
    return [
        DecisionResult.from_outcome(team.team_id, outcome)
        for team, outcome in zip(teams, outcomes, strict=True)
    ]
