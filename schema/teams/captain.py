"""The captain's own team, found by its manageToken."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
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
from schema.permissions import count_token_guesses
from schema.registration.inputs import (
    PersonInput,
    PlayerDocumentInput,
    PlayerInput,
    TeamDocumentInput,
)
from schema.teams.types import Team, TeamPayload

AUTHORIZATION = "The manageToken, unless it is sent in the header Authorization: Bearer."
VERSION = (
    "team.version as the captain saw it. If the team has changed since, the answer is"
    " STALE_VERSION."
)


@strawberry.input(description="New documents of a player.")
class PlayerDocumentsInput:
    player_code: str = field(description="The player's code, e.g. ICCT-001-P01.")
    documents: list[PlayerDocumentInput] = field(description="At most one document of each kind.")


@strawberry.input(description="A team that the captain resubmits after changes were requested.")
class ResubmitMyTeamInput:
    expected_version: int = field(description=VERSION)
    token: str | None = field(default=None, description=AUTHORIZATION)
    documents: list[TeamDocumentInput] | None = field(
        default=None,
        description="Documents that replace rejected ones of the team, or add missing ones.",
    )
    players: list[PlayerDocumentsInput] | None = field(
        default=None,
        description="Documents that replace rejected ones of players, or add missing ones.",
    )

    def to_resubmission(self) -> Resubmission:
        return Resubmission(
            expected_version=self.expected_version,
            documents=tuple(document.to_form() for document in self.documents or ()),
            players=[
                (
                    normalize_code(player.player_code),
                    tuple(document.to_form() for document in player.documents),
                )
                for player in self.players or ()
            ],
        )


@strawberry.input(description="A member of the new squad.")
class SquadMemberInput(PlayerInput):
    player_code: str | None = field(
        default=None,
        description="The code of a present player, e.g. ICCT-001-P01; null for a new player.",
    )


@strawberry.input(
    description="Changes to the captain's team. Fields that are left out stay unchanged."
)
class UpdateMyTeamInput:
    expected_version: int = field(description=VERSION)
    token: str | None = field(default=None, description=AUTHORIZATION)
    team_name: str | None = field(
        default=None,
        metadata=FORM_TEXT,
        description=TEAM_OR_CHURCH_NAME.description,
    )
    captain: PersonInput | None = field(
        default=None, description="The complete contact, which replaces the present one."
    )
    vice_captain: PersonInput | None = field(
        default=None, description="The complete contact, which replaces the present one."
    )
    players: list[SquadMemberInput] | None = field(
        default=None,
        description="The complete squad. Players who are not listed leave the team, and their"
        " documents are deleted.",
    )
    documents: list[TeamDocumentInput] | None = field(
        default=None,
        description="Documents that replace rejected ones of the team, or add missing ones.",
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
            documents=tuple(document.to_form() for document in self.documents or ()),
            players=None
            if self.players is None
            else [
                (
                    normalize_code(player.player_code) if player.player_code else None,
                    player.to_form(),
                )
                for player in self.players
            ],
        )


@strawberry.input(description="A team that the captain withdraws.")
class WithdrawMyTeamInput:
    expected_version: int = field(description=VERSION)
    reason: str = field(metadata=REASON_TEXT, description="For organisers: 1 to 500 characters.")
    token: str | None = field(default=None, description=AUTHORIZATION)


@strawberry.type(description="The payload of updateMyTeam.")
class UpdateMyTeamPayload(TeamPayload):
    pass


@strawberry.type(description="The payload of resubmitMyTeam.")
class ResubmitMyTeamPayload(TeamPayload):
    pass


@strawberry.type(description="The payload of withdrawMyTeam.")
class WithdrawMyTeamPayload(TeamPayload):
    pass


@asynccontextmanager
async def _manage_token(info: Info, token: str | None) -> AsyncGenerator[str | None]:
    """Yield the token of the arguments or else of the header; count an unknown one as a guess."""
    token = token or info.context.manage_token
    async with count_token_guesses(info, token):
        yield token


async def my_team(
    info: Info,
    token: Annotated[
        str | None,
        argument(
            description=AUTHORIZATION,
            deprecation_reason="Send it in the header Authorization: Bearer, which"
            " proxies do not log.",
        ),
    ] = None,
) -> Team | None:
    services, projection = info.context.services, json_projection(info)
    async with _manage_token(info, token) as manage_token:
        if projection is not None:
            rendered = await captain_access.my_team_json(services, manage_token, projection)
            # JSON text in place of the object; it is copied into the response.
            team: Team = raw_json(rendered)
            return team
        return Team.from_record(await captain_access.my_team(services, manage_token))


async def update_my_team(
    info: Info, input: Annotated[UpdateMyTeamInput, argument(description="The changes.")]
) -> UpdateMyTeamPayload | None:
    async with _manage_token(info, input.token) as token:
        record = await edits.update_my_team(info.context.services, token, input.to_update())
    return UpdateMyTeamPayload.from_record(record)


async def resubmit_my_team(
    info: Info, input: Annotated[ResubmitMyTeamInput, argument(description="The changes.")]
) -> ResubmitMyTeamPayload | None:
    async with _manage_token(info, input.token) as token:
        record = await resubmission.resubmit(info.context.services, token, input.to_resubmission())
    return ResubmitMyTeamPayload.from_record(record)


async def withdraw_my_team(
    info: Info,
    input: Annotated[
        WithdrawMyTeamInput, argument(description="The team's version and the reason.")
    ],
) -> WithdrawMyTeamPayload | None:
    async with _manage_token(info, input.token) as token:
        record = await captain_access.withdraw(
            info.context.services,
            token,
            expected_version=input.expected_version,
            reason=input.reason,
        )
    return WithdrawMyTeamPayload.from_record(record)
