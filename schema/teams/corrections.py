"""Corrections of teams and players by organisers, with a reason for the audit log."""

from typing import Annotated, Any

import strawberry
from strawberry import UNSET, argument, field

from domain.registration.names import PERSON_NAME, TEAM_OR_CHURCH_NAME
from resolvers.teams import corrections
from resolvers.teams.corrections import Correction
from schema.context import Info
from schema.limits.text_rules import FORM_TEXT, REASON_TEXT
from schema.registration.inputs import PersonInput, PlayerInput
from schema.scalars import DateText, JerseyNumber, PlayerRoleInput
from schema.teams.decisions import VERSION, TeamVersionInput
from schema.teams.types import Team, TeamPayload

AUDIT_REASON = "For the audit log: 1 to 500 characters."


@strawberry.input
class TeamCorrectionInput(TeamVersionInput):
    """Base of corrections of a team, with a reason for the audit log."""

    reason: str = field(metadata=REASON_TEXT, description=AUDIT_REASON)

    def to_correction(self) -> Correction:
        return Correction(
            reference=self.team_id, expected_version=self.expected_version, reason=self.reason
        )


@strawberry.input
class PlayerCorrectionInput:
    """Base of corrections of a player, with a reason for the audit log."""

    player_id: strawberry.ID = field(description="The player's id or code.")
    expected_version: int = field(description=VERSION)
    reason: str = field(metadata=REASON_TEXT, description=AUDIT_REASON)

    def to_correction(self) -> Correction:
        return Correction(
            reference=self.player_id, expected_version=self.expected_version, reason=self.reason
        )


@strawberry.input(description="Corrections of a team. Fields that are left out stay unchanged.")
class UpdateTeamInput(TeamCorrectionInput):
    team_name: str | None = field(
        default=None,
        metadata=FORM_TEXT,
        description=TEAM_OR_CHURCH_NAME.description,
    )
    church_name: str | None = field(
        default=None,
        metadata=FORM_TEXT,
        description="The name of another church, which must have a place left. The former church"
        " gets its place back.",
    )
    captain: PersonInput | None = field(
        default=None, description="The complete contact, which replaces the present one."
    )
    vice_captain: PersonInput | None = field(
        default=None, description="The complete contact, which replaces the present one."
    )

    def to_changes(self) -> dict[str, Any]:
        people = {"captain": self.captain, "vice_captain": self.vice_captain}
        names = {"team_name": self.team_name, "church_name": self.church_name}
        return {name: value for name, value in names.items() if value is not None} | {
            name: person.to_form() for name, person in people.items() if person is not None
        }


@strawberry.input(description="Corrections of a player. Fields that are left out stay unchanged.")
class UpdatePlayerInput(PlayerCorrectionInput):
    name: str | None = field(
        default=None,
        metadata=FORM_TEXT,
        description=PERSON_NAME.description,
    )
    role: PlayerRoleInput | None = field(
        default=UNSET, description="The name of a PlayerRole; null removes it."
    )
    jersey_number: JerseyNumber | None = field(
        default=UNSET, description="A number from 0 to 999, unique in the team; null removes it."
    )
    date_of_birth: DateText | None = field(
        default=UNSET, description="The date of birth; null removes it."
    )

    def to_changes(self) -> dict[str, Any]:
        optional = {
            "role": self.role,
            "jersey_number": self.jersey_number,
            "date_of_birth": self.date_of_birth,
        }
        changes: dict[str, Any] = {
            name: value for name, value in optional.items() if value is not UNSET
        }
        return changes if self.name is None else {**changes, "name": self.name}


@strawberry.input(description="A player to add to a squad.")
class AddPlayerInput(TeamCorrectionInput):
    player: PlayerInput = field(
        description="The player, without documents: the captain adds these after requestChanges."
    )


@strawberry.input(description="A player to remove from a squad.")
class RemovePlayerInput(PlayerCorrectionInput):
    pass


@strawberry.input(description="A team whose captain needs a new manageToken.")
class ReissueManageTokenInput(TeamCorrectionInput):
    pass


@strawberry.type(description="The payload of updateTeam.")
class UpdateTeamPayload(TeamPayload):
    pass


@strawberry.type(description="The payload of updatePlayer.")
class UpdatePlayerPayload(TeamPayload):
    pass


@strawberry.type(description="The payload of addPlayer.")
class AddPlayerPayload(TeamPayload):
    pass


@strawberry.type(description="The payload of removePlayer.")
class RemovePlayerPayload(TeamPayload):
    pass


@strawberry.type(description="The payload of reissueManageToken.")
class ReissueManageTokenPayload:
    team: Team = field(description="The team after the change.")
    manage_token: str = field(
        description="The captain's new manageToken. It is shown only once; the previous one is"
        " void."
    )


async def update_team(
    info: Info, input: Annotated[UpdateTeamInput, argument(description="The changes.")]
) -> UpdateTeamPayload | None:
    context = info.context
    record = await corrections.update_team(
        context.services, context.caller, input.to_correction(), input.to_changes()
    )
    return UpdateTeamPayload.from_record(record)


async def update_player(
    info: Info, input: Annotated[UpdatePlayerInput, argument(description="The changes.")]
) -> UpdatePlayerPayload | None:
    context = info.context
    record = await corrections.update_player(
        context.services, context.caller, input.to_correction(), input.to_changes()
    )
    return UpdatePlayerPayload.from_record(record)


async def add_player(
    info: Info, input: Annotated[AddPlayerInput, argument(description="The player.")]
) -> AddPlayerPayload | None:
    context = info.context
    record = await corrections.add_player(
        context.services, context.caller, input.to_correction(), input.player.to_form()
    )
    return AddPlayerPayload.from_record(record)


async def remove_player(
    info: Info, input: Annotated[RemovePlayerInput, argument(description="The player.")]
) -> RemovePlayerPayload | None:
    context = info.context
    record = await corrections.remove_player(
        context.services, context.caller, input.to_correction()
    )
    return RemovePlayerPayload.from_record(record)


async def reissue_manage_token(
    info: Info, input: Annotated[ReissueManageTokenInput, argument(description="The team.")]
) -> ReissueManageTokenPayload | None:
    context = info.context
    record, token = await corrections.reissue_manage_token(
        context.services, context.caller, input.to_correction()
    )
    return ReissueManageTokenPayload(team=Team.from_record(record), manage_token=token)
