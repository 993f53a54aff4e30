"""Decisions about many teams, each with an outcome of its own."""

from typing import Annotated, Self

import strawberry
from strawberry import argument, field

from domain.errors.exceptions import DomainError
from domain.teams.status import TeamAction
from persistence.records import TeamRecord
from resolvers.teams import bulk
from resolvers.teams.bulk import BulkDecision
from schema.context import Info
from schema.enums import ErrorCode
from schema.limits.text_rules import REASON_TEXT
from schema.scalars import JSON
from schema.teams.decisions import REASON, TEAM, VERSION
from schema.teams.types import Team

MANY = "1 to 100 teams. Each is decided on its own: one that is refused keeps no other back."


@strawberry.input(description="A team as the organiser saw it.")
class TeamVersionInput:
    team_id: strawberry.ID = field(description=TEAM)
    expected_version: int = field(description=VERSION)


@strawberry.input(description="Teams to confirm.")
class ConfirmTeamsInput:
    teams: list[TeamVersionInput] = field(description=MANY)
    override_reason: str | None = field(
        default=None,
        metadata=REASON_TEXT,
        description="Why they are confirmed although readiness has blockers: 1 to 500 characters.",
    )


@strawberry.input(description="Teams to reject.")
class RejectTeamsInput:
    teams: list[TeamVersionInput] = field(description=MANY)
    reason: str = field(metadata=REASON_TEXT, description=REASON)


@strawberry.type(description="Why a decision about one team of many was refused.")
class DecisionError:
    code: ErrorCode = field(description="As extensions.code of the mutation for one team.")
    message: str = field(description="What is wrong, in English.")
    retryable: bool = field(description="Whether the same request may succeed later.")
    details: JSON = field(description="As extensions.details of the mutation for one team.")


@strawberry.type(description="What became of one team of many.")
class DecisionResult:
    team_id: strawberry.ID = field(description="As it was sent.")
    team: Team | None = field(description="The team as it is now; null where it was refused.")
    error: DecisionError | None = field(description="Why it was refused; null where it was not.")

    @classmethod
    def from_outcome(cls, team_id: strawberry.ID, outcome: TeamRecord | DomainError) -> Self:
        if isinstance(outcome, TeamRecord):
            return cls(team_id=team_id, team=Team.from_record(outcome), error=None)
        error = DecisionError(
            code=outcome.code,
            message=outcome.message,
            retryable=outcome.definition.retryable,
            details=JSON(dict(outcome.details)),
        )
        return cls(team_id=team_id, team=None, error=error)


@strawberry.type(description="The answer to confirmTeams.")
class ConfirmTeamsPayload:
    results: list[DecisionResult] = field(description="One for each team, in the same order.")


@strawberry.type(description="The answer to rejectTeams.")
class RejectTeamsPayload:
    results: list[DecisionResult] = field(description="One for each team, in the same order.")


async def confirm_teams(
    info: Info, input: Annotated[ConfirmTeamsInput, argument(description="The teams.")]
) -> ConfirmTeamsPayload | None:
    results = await _results(info, input.teams, TeamAction.CONFIRM, input.override_reason)
    return ConfirmTeamsPayload(results=results)


async def reject_teams(
    info: Info, input: Annotated[RejectTeamsInput, argument(description="The teams.")]
) -> RejectTeamsPayload | None:
    results = await _results(info, input.teams, TeamAction.REJECT, input.reason)
    return RejectTeamsPayload(results=results)


async def _results(
    info: Info, teams: list[TeamVersionInput], action: TeamAction, reason: str | None
) -> list[DecisionResult]:
    context = info.context
    seen = [(one.team_id, one.expected_version) for one in teams]
    wanted = BulkDecision(action=action, reason=reason, teams=seen)
    outcomes = await bulk.decide_bulk(context.services, context.caller, wanted)
    return [
        DecisionResult.from_outcome(one.team_id, outcome)
        for one, outcome in zip(teams, outcomes, strict=True)
    ]
