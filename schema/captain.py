"""The captain's own team, by the secret that the registration gave."""

from typing import Annotated

import strawberry
from strawberry import argument, field

from domain.registration.names import TEAM_OR_CHURCH_NAME
from domain.teams.codes import normalize_code
from resolvers.captain import access as captain_access
from resolvers.captain import edits, resubmission
from resolvers.captain.edits import TeamUpdate
from resolvers.captain.resubmission import Resubmission
from schema.compiled.sql_json import json_projection, raw_json
from schema.context import Info
from schema.limits.text_rules import FORM_TEXT, REASON_TEXT
from schema.permissions import token_guesses_counted
from schema.registration.inputs import (
    PersonInput,
    PlayerDocumentInput,
    PlayerInput,
    TeamDocumentInput,
)
from schema.teams.types import Team, TeamPayload

OPENED_BY = "The manageToken, if it is not sent as Authorization: Bearer."
VERSION = "team.version as the captain saw it; another one is answered with STALE_VERSION."


@strawberry.input(description="New documents of one player.")
class PlayerDocumentsInput:
    player_code: str = field(description="Such as ICCT-001-P01.")
    documents: list[PlayerDocumentInput] = field(description="At most one of a kind.")


@strawberry.input(description="What the captain has changed.")
class ResubmitMyTeamInput:
    expected_version: int = field(description=VERSION)
    token: str | None = field(default=None, description=OPENED_BY)
    documents: list[TeamDocumentInput] | None = field(
        default=None, description="In the place of rejected and missing ones of the team."
    )
    players: list[PlayerDocumentsInput] | None = field(
        default=None, description="In the place of rejected and missing ones of players."
    )

    def to_resubmission(self) -> Resubmission:
        return Resubmission(
            expected_version=self.expected_version,
            documents=tuple(one.to_form() for one in self.documents or ()),
            players=[
                (
                    normalize_code(player.player_code),
                    tuple(one.to_form() for one in player.documents),
                )
                for player in self.players or ()
            ],
        )


@strawberry.input(description="A member of the squad as it is to be.")
class SquadMemberInput(PlayerInput):
    player_code: str | None = field(
        default=None, description="Such as ICCT-001-P01; null for somebody new."
    )


@strawberry.input(description="What the captain changes; what is left out stays as it is.")
class UpdateMyTeamInput:
    expected_version: int = field(description=VERSION)
    token: str | None = field(default=None, description=OPENED_BY)
    team_name: str | None = field(
        default=None,
        metadata=FORM_TEXT,
        description=TEAM_OR_CHURCH_NAME.description,
    )
    captain: PersonInput | None = field(default=None, description="As a whole.")
    vice_captain: PersonInput | None = field(default=None, description="As a whole.")
    players: list[SquadMemberInput] | None = field(
        default=None,
        description="The whole squad: who is not in it leaves the team, with their documents.",
    )
    documents: list[TeamDocumentInput] | None = field(
        default=None, description="In the place of rejected and missing ones of the team."
    )

    def to_update(self) -> TeamUpdate:
        people = {"captain": self.captain, "vice_captain": self.vice_captain}
        changes: dict[str, object] = {
            name: person.to_form() for name, person in people.items() if person is not None
        }
        if self.team_name is not None:
            changes["team_name"] = self.team_name
        return TeamUpdate(
            expected_version=self.expected_version,
            changes=changes,
            documents=tuple(one.to_form() for one in self.documents or ()),
            players=None
            if self.players is None
            else [
                (normalize_code(one.player_code) if one.player_code else None, one.to_form())
                for one in self.players
            ],
        )


@strawberry.input(description="A team that gives up its place.")
class WithdrawMyTeamInput:
    expected_version: int = field(description=VERSION)
    reason: str = field(
        metadata=REASON_TEXT, description="For the organisers: 1 to 500 characters."
    )
    token: str | None = field(default=None, description=OPENED_BY)


@strawberry.type(description="The payload of updateMyTeam.")
class UpdateMyTeamPayload(TeamPayload):
    pass


@strawberry.type(description="The payload of resubmitMyTeam.")
class ResubmitMyTeamPayload(TeamPayload):
    pass


@strawberry.type(description="The payload of withdrawMyTeam.")
class WithdrawMyTeamPayload(TeamPayload):
    pass


async def my_team(
    info: Info,
    token: Annotated[
        str | None,
        argument(
            description=OPENED_BY,
            deprecation_reason="Send it as Authorization: Bearer, which no proxy logs.",
        ),
    ] = None,
) -> Team | None:
    services, token = info.context.services, token or info.context.manage_token
    text = json_projection(info)
    async with token_guesses_counted(info, token):
        if text is not None:
            found: Team = raw_json(await captain_access.my_team_json(services, token, text))
            return found
        return Team.from_record(await captain_access.my_team(services, token))


async def update_my_team(
    info: Info, input: Annotated[UpdateMyTeamInput, argument(description="The changes.")]
) -> UpdateMyTeamPayload | None:
    context = info.context
    token = input.token or context.manage_token
    async with token_guesses_counted(info, token):
        record = await edits.update_my_team(context.services, token, input.to_update())
    return UpdateMyTeamPayload.from_record(record)


async def resubmit_my_team(
    info: Info, input: Annotated[ResubmitMyTeamInput, argument(description="The changes.")]
) -> ResubmitMyTeamPayload | None:
    context = info.context
    token = input.token or context.manage_token
    async with token_guesses_counted(info, token):
        record = await resubmission.resubmit(
            context.services,
            token,
            input.to_resubmission(),
        )
    return ResubmitMyTeamPayload.from_record(record)


async def withdraw_my_team(
    info: Info, input: Annotated[WithdrawMyTeamInput, argument(description="Why.")]
) -> WithdrawMyTeamPayload | None:
    context = info.context
    token = input.token or context.manage_token
    async with token_guesses_counted(info, token):
        record = await captain_access.withdraw(
            context.services,
            token,
            expected_version=input.expected_version,
            reason=input.reason,
        )
    return WithdrawMyTeamPayload.from_record(record)
