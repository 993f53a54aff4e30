"""Decisions of organisers, each about one team, each with the version it was made on."""

from typing import Annotated

import strawberry
from strawberry import argument, field

from domain.auth.roles import Role
from domain.errors.exceptions import NotFound
from domain.ids import read_id
from domain.teams.status import TeamAction
from resolvers.teams import decisions
from resolvers.teams.decisions import ChangeItem, Decision
from schema.context import Info
from schema.enums import DocumentReview
from schema.limits.text_rules import REASON_TEXT
from schema.permissions import require_caller
from schema.teams.types import Team

TEAM = "The team's id or code."
VERSION = "team.version as the organiser saw it; another one is answered with STALE_VERSION."
REASON = "For the captain: 1 to 500 characters."


@strawberry.input(description="A team to confirm.")
class ConfirmTeamInput:
    team_id: strawberry.ID = field(description=TEAM)
    expected_version: int = field(description=VERSION)
    override_reason: str | None = field(
        default=None,
        metadata=REASON_TEXT,
        description="Why it is confirmed although readiness has blockers: 1 to 500 characters.",
    )


@strawberry.input(description="A team to reject.")
class RejectTeamInput:
    team_id: strawberry.ID = field(description=TEAM)
    expected_version: int = field(description=VERSION)
    reason: str = field(metadata=REASON_TEXT, description=REASON)


@strawberry.input(description="A team to bring back.")
class ReopenTeamInput:
    team_id: strawberry.ID = field(description=TEAM)
    expected_version: int = field(description=VERSION)
    reason: str = field(metadata=REASON_TEXT, description=REASON)


@strawberry.input(description="A team that does not play.")
class WithdrawTeamInput:
    team_id: strawberry.ID = field(description=TEAM)
    expected_version: int = field(description=VERSION)
    reason: str = field(metadata=REASON_TEXT, description=REASON)


@strawberry.input(description="One thing that the captain has to change.")
class ChangeItemInput:
    note: str = field(metadata=REASON_TEXT, description=REASON)
    document_id: strawberry.ID | None = field(
        default=None, description="The document that has to be replaced; it is rejected."
    )


@strawberry.input(description="What the captain has to change.")
class RequestChangesInput:
    team_id: strawberry.ID = field(description=TEAM)
    expected_version: int = field(description=VERSION)
    items: list[ChangeItemInput] = field(description="At least one.")


@strawberry.input(description="What an organiser says of a document.")
class ReviewDocumentInput:
    document_id: strawberry.ID = field(description="The document's id.")
    expected_version: int = field(description=VERSION)
    review: DocumentReview = field(description="ACCEPTED or REJECTED.")
    note: str | None = field(
        default=None,
        metadata=REASON_TEXT,
        description="For the captain, needed with REJECTED: 1 to 500 characters.",
    )


@strawberry.type(description="The answer to confirmTeam.")
class ConfirmTeamPayload:
    team: Team = field(description="The team as it is now.")


@strawberry.type(description="The answer to rejectTeam.")
class RejectTeamPayload:
    team: Team = field(description="The team as it is now.")


@strawberry.type(description="The answer to reopenTeam.")
class ReopenTeamPayload:
    team: Team = field(description="The team as it is now.")


@strawberry.type(description="The answer to withdrawTeam.")
class WithdrawTeamPayload:
    team: Team = field(description="The team as it is now.")


@strawberry.type(description="The answer to requestChanges.")
class RequestChangesPayload:
    team: Team = field(description="The team as it is now.")


@strawberry.type(description="The answer to reviewDocument.")
class ReviewDocumentPayload:
    team: Team = field(description="The team whose document it is.")


async def confirm_team(
    info: Info, input: Annotated[ConfirmTeamInput, argument(description="The team.")]
) -> ConfirmTeamPayload | None:
    decision = Decision(
        reference=input.team_id,
        expected_version=input.expected_version,
        action=TeamAction.CONFIRM,
        reason=input.override_reason,
    )
    return ConfirmTeamPayload(team=await _decide(info, decision))


async def reject_team(
    info: Info, input: Annotated[RejectTeamInput, argument(description="The team.")]
) -> RejectTeamPayload | None:
    return RejectTeamPayload(team=await _decide(info, _with_reason(input, TeamAction.REJECT)))


async def reopen_team(
    info: Info, input: Annotated[ReopenTeamInput, argument(description="The team.")]
) -> ReopenTeamPayload | None:
    return ReopenTeamPayload(team=await _decide(info, _with_reason(input, TeamAction.REOPEN)))


async def withdraw_team(
    info: Info, input: Annotated[WithdrawTeamInput, argument(description="The team.")]
) -> WithdrawTeamPayload | None:
    return WithdrawTeamPayload(team=await _decide(info, _with_reason(input, TeamAction.WITHDRAW)))


async def request_changes(
    info: Info, input: Annotated[RequestChangesInput, argument(description="The team.")]
) -> RequestChangesPayload | None:
    decision = Decision(
        reference=input.team_id,
        expected_version=input.expected_version,
        action=TeamAction.REQUEST_CHANGES,
        items=[ChangeItem(note=one.note, document_id=one.document_id) for one in input.items],
    )
    return RequestChangesPayload(team=await _decide(info, decision))


async def review_document(
    info: Info, input: Annotated[ReviewDocumentInput, argument(description="The document.")]
) -> ReviewDocumentPayload | None:
    context, caller = info.context, require_caller(info, Role.REVIEWER)
    document_id = read_id(input.document_id)
    if document_id is None:
        raise NotFound("There is no such document.")
    record = await decisions.review_document(
        context.services,
        caller,
        document_id,
        expected_version=input.expected_version,
        verdict=input.review,
        note=input.note,
    )
    return ReviewDocumentPayload(team=Team.from_record(record))


def _with_reason(
    input: RejectTeamInput | ReopenTeamInput | WithdrawTeamInput, action: TeamAction
) -> Decision:
    return Decision(
        reference=input.team_id,
        expected_version=input.expected_version,
        action=action,
        reason=input.reason,
    )


async def _decide(info: Info, decision: Decision) -> Team:
    context = info.context
    record = await decisions.decide(context.services, context.caller, decision)
    return Team.from_record(record)
