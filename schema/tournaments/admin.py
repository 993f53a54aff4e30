"""Mutations for owners: rules of the tournament, merging of churches."""

from datetime import datetime
from typing import Annotated, Any

import strawberry
from strawberry import UNSET, argument, field

from domain.auth.roles import Role
from resolvers.tournaments import churches, settings
from schema.context import Info
from schema.enums import DocumentKind
from schema.node import parse_id
from schema.permissions import require_caller
from schema.teams.types import Church
from schema.tournaments.types import Tournament


@strawberry.input(
    description="Changes to the open season. Fields that are left out stay unchanged."
)
class UpdateTournamentInput:
    expected_version: int | None = field(
        default=UNSET,
        description="tournament.version as the organiser saw it. If the season has changed since,"
        " the answer is STALE_VERSION. Without it the last of two changes wins.",
    )
    name: str | None = field(default=UNSET, description="1 to 80 characters.")
    venue: str | None = field(default=UNSET, description="1 to 200 characters; null if unknown.")
    time_zone: str | None = field(default=UNSET, description="An IANA zone, e.g. Asia/Kolkata.")
    opens_at: datetime | None = field(
        default=UNSET, description="When registration opens; null for no limit."
    )
    closes_at: datetime | None = field(
        default=UNSET, description="When registration closes; null for no limit."
    )
    capacity: int | None = field(
        default=UNSET,
        description="The maximum number of live teams, 0 to 10000; null for no limit. Teams above a"
        " lowered limit stay.",
    )
    teams_per_church: int | None = field(
        default=UNSET,
        description="The maximum number of live teams of a church, 1 to 10000; null for no limit.",
    )
    squad_min: int | None = field(default=UNSET, description="Minimum of players: 1 to 50.")
    squad_max: int | None = field(
        default=UNSET, description="The maximum number of players: 1 to 50, at least squadMin."
    )
    fee_amount: int | None = field(
        default=UNSET,
        description="The fee per team, 0 to 10000000 in whole units of feeCurrency; null for none.",
    )
    fee_currency: str | None = field(default=UNSET, description="An ISO 4217 code, e.g. INR.")
    upi_id: str | None = field(default=UNSET, description="The payee's UPI id, e.g. payee@bank.")
    upi_payee: str | None = field(default=UNSET, description="1 to 80 characters.")
    required_documents: list[DocumentKind] | None = field(
        default=UNSET,
        description="The documents that a registration must include. Applies to present teams too.",
    )
    consent_version: str | None = field(
        default=UNSET, description="1 to 64 characters; null if no consent is required."
    )

    def to_changes(self) -> dict[str, Any]:
        """Return the changed values by the names of their columns."""
        changes = {
            name: value
            for name, value in vars(self).items()
            if value is not UNSET and name != "expected_version"
        }
        kinds = changes.get("required_documents")
        if kinds is not None:
            changes["required_documents"] = tuple(kind for kind in DocumentKind if kind in kinds)
        return changes


@strawberry.input(description="Two records of the same church.")
class MergeChurchesInput:
    church_id: strawberry.ID = field(description="The church to remove; its name becomes an alias.")
    into_church_id: strawberry.ID = field(description="The church to keep.")


@strawberry.type(description="The payload of updateTournament.")
class UpdateTournamentPayload:
    tournament: Tournament = field(description="The tournament after the change.")


@strawberry.type(description="The payload of mergeChurches.")
class MergeChurchesPayload:
    church: Church = field(
        description="The remaining church, with the live teams of both, even if they exceed its"
        " limit."
    )
    teams_moved: int = field(
        description="The number of teams that changed their church, rejected and withdrawn teams"
        " included."
    )


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
    info: Info, input: Annotated[MergeChurchesInput, argument(description="The two churches.")]
) -> MergeChurchesPayload | None:
    caller = require_caller(info, Role.OWNER)
    merged = await churches.merge_churches(
        info.context.services,
        caller,
        parse_id(input.church_id, "input", "churchId"),
        parse_id(input.into_church_id, "input", "intoChurchId"),
    )
    return MergeChurchesPayload(church=Church.from_record(merged.church), teams_moved=merged.teams)
