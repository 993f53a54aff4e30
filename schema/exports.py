"""Teams as a file."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import argument, field

from domain.auth.roles import Role
from persistence.repositories.team_search import TeamFilter as TeamSearch
from resolvers.exports import export as exports
from schema.context import Info
from schema.enums import ExportFormat
from schema.permissions import require_caller
from schema.teams.queries import TeamFilter


@strawberry.input(description="Which teams become a file.")
class ExportTeamsInput:
    format: ExportFormat = field(description="CSV or XLSX.")
    filter: TeamFilter | None = field(default=None, description="All teams of the open season.")


@strawberry.type(description="The answer to exportTeams.")
class ExportTeamsPayload:
    url: str = field(
        description="A path of this service that gives the file to whoever has it; every download"
        " is on record. The columns are those that the organiser's role may see by then."
    )
    expires_at: datetime = field(description="From then on it leads nowhere.")


async def export_teams(
    info: Info, input: Annotated[ExportTeamsInput, argument(description="Which, and how.")]
) -> ExportTeamsPayload | None:
    caller = require_caller(info, Role.VIEWER)
    wanted = input.filter.to_search() if input.filter else TeamSearch()
    url, expires_at = exports.create_link(info.context.services, caller, input.format, wanted)
    return ExportTeamsPayload(url=url, expires_at=expires_at)
