"""Erasure of a team with its personal data."""

from typing import Annotated, Self

import strawberry
from strawberry import argument, field

from resolvers.teams import erasure
from schema.context import Info
from schema.teams.decisions import TeamVersionInput


@strawberry.input(description="A team to erase.")
class EraseTeamInput(TeamVersionInput):
    pass


@strawberry.type(description="The payload of eraseTeam.")
class EraseTeamPayload:
    code: str = field(description="The code of the erased team. It is never assigned again.")
    documents_erased: int = field(description="Documents whose files are being deleted.")

    @classmethod
    def from_erased(cls, erased: erasure.ErasureResult) -> Self:
        return cls(code=erased.code, documents_erased=erased.documents)


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
