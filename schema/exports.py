"""Exports of teams as files."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import argument, field

from domain.auth.roles import Role
from persistence.repositories.team_search import TeamFilter
from resolvers.exports import export as exports
from schema.context import Info
from schema.enums import ExportFormat
from schema.permissions import require_caller
from schema.teams.queries import TeamFilterInput


@strawberry.input(description="The teams and the format of an export.")
class ExportTeamsInput:
    format: ExportFormat = field(description="The file's format: CSV or XLSX.")
    filter: TeamFilterInput | None = field(
        default=None,
        description="Conditions on the teams; by default all teams of the open season.",
    )


@strawberry.type(description="The payload of exportTeams.")
class ExportTeamsPayload:
    url: str = field(
        description="A path of this service by which anybody who has it can download the file. Each"
        " download is written to the audit log. The columns depend on the organiser's"
        " role at the time of the download."
    )
    expires_at: datetime = field(description="When the link expires.")


async def export_teams(
    info: Info,
    input: Annotated[ExportTeamsInput, argument(description="The teams and the format.")],
) -> ExportTeamsPayload | None:
    caller = require_caller(info, Role.VIEWER)
    team_filter = input.filter.to_filter("input", "filter") if input.filter else TeamFilter()
    url, expires_at = exports.create_link(info.context.services, caller, input.format, team_filter)
    return ExportTeamsPayload(url=url, expires_at=expires_at)
