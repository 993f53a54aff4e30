"""What only owners do: the tournament's rules, merged churches, forgotten teams."""

from datetime import datetime
from typing import Annotated, Any, Self

import strawberry
from strawberry import UNSET, argument, field

from domain.auth.roles import Role
from resolvers.teams import erasure
from resolvers.tournaments import churches, settings
from schema.context import Info
from schema.enums import DocumentKind
from schema.node import parse_id
from schema.permissions import require_caller
from schema.teams.decisions import TeamVersionInput
from schema.teams.types import Church
from schema.tournaments.types import Tournament


@strawberry.input(description="What changes in the open season; what is left out stays as it is.")
class UpdateTournamentInput:
    expected_version: int | None = field(
        default=UNSET,
        description="tournament.version as the organiser saw it; another one is answered with"
        " STALE_VERSION. Left out or null, the last of two changes wins.",
    )
    name: str | None = field(default=UNSET, description="1 to 80 characters.")
    venue: str | None = field(default=UNSET, description="1 to 200 characters; null: not known.")
    time_zone: str | None = field(default=UNSET, description="An IANA zone, e.g. Asia/Kolkata.")
    opens_at: datetime | None = field(
        default=UNSET, description="First moment of registration; null: no bound."
    )
    closes_at: datetime | None = field(
        default=UNSET, description="First moment after its end; null: no bound."
    )
    capacity: int | None = field(
        default=UNSET,
        description="Most live teams, 0 to 10000; null: no bound. Teams beyond it stay.",
    )
    teams_per_church: int | None = field(
        default=UNSET, description="Most live teams of a church, 1 to 10000; null: no bound."
    )
    squad_min: int | None = field(default=UNSET, description="1 to 50.")
    squad_max: int | None = field(default=UNSET, description="1 to 50, not below squadMin.")
    fee_amount: int | None = field(
        default=UNSET, description="0 to 10000000, in whole units of feeCurrency; null: none."
    )
    fee_currency: str | None = field(default=UNSET, description="ISO 4217, e.g. INR.")
    upi_id: str | None = field(default=UNSET, description="Such as payee@bank.")
    upi_payee: str | None = field(default=UNSET, description="1 to 80 characters.")
    required_documents: list[DocumentKind] | None = field(
        default=UNSET, description="What a registration has to bring; holds for teams there too."
    )
    consent_version: str | None = field(
        default=UNSET, description="1 to 64 characters; null: no consent is asked for."
    )

    def to_changes(self) -> dict[str, Any]:
        """By the names of columns."""
        given = {
            name: value
            for name, value in vars(self).items()
            if value is not UNSET and name != "expected_version"
        }
        kinds = given.get("required_documents")
        if kinds is not None:
            given["required_documents"] = tuple(kind for kind in DocumentKind if kind in kinds)
        return given


@strawberry.input(description="Two churches that are one.")
class MergeChurchesInput:
    church_id: strawberry.ID = field(description="The one whose name becomes an alias.")
    into_church_id: strawberry.ID = field(description="The one that stays.")


@strawberry.input(description="A team to forget.")
class EraseTeamInput(TeamVersionInput):
    pass


@strawberry.type(description="The answer to updateTournament.")
class UpdateTournamentPayload:
    tournament: Tournament = field(description="The tournament as it is now.")


@strawberry.type(description="The answer to mergeChurches.")
class MergeChurchesPayload:
    church: Church = field(
        description="The church that stays, with the live teams of both, even above its limit."
    )
    teams_moved: int = field(description="Teams of the other one, rejected and withdrawn ones too.")


@strawberry.type(description="The answer to eraseTeam.")
class EraseTeamPayload:
    code: str = field(description="Of the team that was; it is never given again.")
    documents_erased: int = field(description="Documents whose files are being deleted.")

    @classmethod
    def from_erased(cls, erased: erasure.ErasureResult) -> Self:
        return cls(code=erased.code, documents_erased=erased.documents)


async def update_tournament(
    info: Info, input: Annotated[UpdateTournamentInput, argument(description="The changes.")]
) -> UpdateTournamentPayload | None:
    context = info.context
    record, state = await settings.update_tournament(
        context.services,
        context.caller,
        input.to_changes(),
        expected_version=input.expected_version if input.expected_version is not UNSET else None,
    )
    return UpdateTournamentPayload(tournament=Tournament.from_record(record, state))


async def merge_churches(
    info: Info, input: Annotated[MergeChurchesInput, argument(description="Which.")]
) -> MergeChurchesPayload | None:
    caller = require_caller(info, Role.OWNER)
    merged = await churches.merge_churches(
        info.context.services,
        caller,
        parse_id(input.church_id, "input", "churchId"),
        parse_id(input.into_church_id, "input", "intoChurchId"),
    )
    return MergeChurchesPayload(church=Church.from_record(merged.church), teams_moved=merged.teams)


async def erase_team(
    info: Info, input: Annotated[EraseTeamInput, argument(description="The team.")]
) -> EraseTeamPayload | None:
    context = info.context
    erased = await erasure.erase_team(
        context.services,
        context.caller,
        input.team_id,
        expected_version=input.expected_version,
    )
    return EraseTeamPayload.from_erased(erased)
