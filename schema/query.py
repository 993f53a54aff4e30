"""Queries. The class at the end is the table of contents."""

from functools import partial
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import argument, field

from domain.auth.roles import Role
from domain.errors.codes import CATALOG
from resolvers.operations import health as service_health
from resolvers.registration import register
from resolvers.tournaments import queries
from schema.accounts.api_tokens import ApiToken, api_tokens
from schema.accounts.organisers import organisers
from schema.accounts.sessions import Organiser, Session, me, sessions
from schema.compiled.sql_json import json_projection, raw_json
from schema.context import Info
from schema.node import Node
from schema.node_lookup import node
from schema.operations.audit import AuditEvent, audit_log
from schema.operations.deliveries import Delivery, deliveries
from schema.operations.health import Health
from schema.pagination import AFTER, FIRST, Connection, CursorCodec, checked_search
from schema.permissions import with_role_note
from schema.registration.inputs import RegisterTeamInput
from schema.registration.rules import RegistrationRules
from schema.registration.validation import ErrorDefinitionType, ValidationReport
from schema.teams.captain import my_team
from schema.teams.queries import TeamStats, player, team, team_stats, teams
from schema.teams.types import Church, Player, Team
from schema.tournaments.types import Tournament

_CHURCH_CURSORS = CursorCodec("church", str, UUID)


async def health(info: Info) -> Health:
    services = info.context.services
    return Health.from_health(await service_health.health(services), services.version)


async def tournament(info: Info) -> Tournament:
    record, state = await queries.current_tournament(info.context.services)
    return Tournament.from_record(record, state)


async def registration_rules(info: Info) -> RegistrationRules:
    record, _ = await queries.current_tournament(info.context.services)
    return RegistrationRules.from_rules(record.rules)


async def churches(
    info: Info,
    search: Annotated[
        str | None, argument(description="A part of the name, without regard to case and accents.")
    ] = None,
    first: Annotated[int | None, argument(description=FIRST)] = None,
    after: Annotated[str | None, argument(description=AFTER)] = None,
) -> Connection[Church]:
    services = info.context.services
    search = checked_search(search, "search")
    page_request = _CHURCH_CURSORS.page_request(first=first, after=after)
    count = partial(queries.church_count, services, search)
    projection = json_projection(info)
    if projection is not None:
        rendered = await queries.church_json_page(services, search, page_request, projection)
        return Connection.from_page(rendered, _CHURCH_CURSORS, raw_json, count=count)
    page = await queries.church_page(services, search, page_request)
    return Connection.from_page(page, _CHURCH_CURSORS, Church.from_record, count=count)


async def validate_team(
    info: Info,
    input: Annotated[RegisterTeamInput, argument(description="The form, as for registerTeam.")],
) -> ValidationReport:
    result = await register.validate_team(info.context.services, input.to_form())
    return ValidationReport.from_result(result)


def error_catalog() -> list[ErrorDefinitionType]:
    return [ErrorDefinitionType.from_class(error) for error in CATALOG.values()]


@strawberry.type(description="All queries.")
class Query:
    health: Health = field(
        resolver=health,
        description="The health of the service. Public. Checks the database and the disks each"
        " time; for other parts it returns the last known state.",
    )
    tournament: Tournament = field(resolver=tournament, description="The open season. Public.")
    registration_rules: RegistrationRules = field(
        resolver=registration_rules,
        description="The rules of the registration form, as the validator applies them. Public.",
    )
    churches: Connection[Church] = field(
        resolver=churches,
        description="Churches with a live team, by name. Public. Churches whose teams were all"
        " rejected or withdrawn are not listed.",
    )
    validate_team: ValidationReport = field(
        resolver=validate_team,
        description="A dry run of registerTeam with the same issues, except that the captain's"
        " e-mail address and phone number are not compared with those of other teams."
        " Writes nothing. Public.",
    )
    my_team: Team | None = field(
        resolver=my_team,
        description="The captain's own team with its contacts. Needs the manageToken.",
    )
    teams: Connection[Team] | None = field(
        resolver=teams,
        description=with_role_note(
            Role.VIEWER,
            "Teams of the open season, in pages from either end. VIEWERs see contacts"
            " masked, no dates of birth and no documents.",
        ),
    )
    team: Team | None = field(
        resolver=team,
        description=with_role_note(
            Role.VIEWER,
            "A team by its id or code; null if it does not exist. VIEWERs see contacts"
            " masked, no dates of birth and no documents.",
        ),
    )
    player: Player | None = field(
        resolver=player,
        description=with_role_note(Role.VIEWER, "A player by its code; null if it does not exist."),
    )
    team_stats: TeamStats | None = field(
        resolver=team_stats,
        description=with_role_note(Role.VIEWER, "Statistics of the open season."),
    )
    audit_log: Connection[AuditEvent] | None = field(
        resolver=audit_log,
        description=with_role_note(Role.REVIEWER, "Events of the audit log, the newest first."),
    )
    deliveries: Connection[Delivery] | None = field(
        resolver=deliveries,
        description=with_role_note(
            Role.REVIEWER, "Outbox messages and their delivery state, the newest first."
        ),
    )
    node: Node | None = field(
        resolver=node,
        description="An object by its id; null if it does not exist or the caller may not see it."
        " Needs the role VIEWER, or the manageToken for objects of the captain's own"
        " team, its church and its season.",
    )
    error_catalog: list[ErrorDefinitionType] = field(
        resolver=error_catalog, description="All error codes with their meanings. Public."
    )
    me: Organiser | None = field(
        resolver=me,
        description=with_role_note(
            Role.VIEWER, "The organiser to whom the session or API token belongs."
        ),
    )
    organisers: list[Organiser] | None = field(
        resolver=organisers,
        description=with_role_note(
            Role.OWNER, "The first 500 organisers by e-mail address, invited organisers included."
        ),
    )
    sessions: list[Session] | None = field(
        resolver=sessions,
        description=with_role_note(
            Role.VIEWER, "The caller's sessions, the newest first, at most 500."
        ),
    )
    api_tokens: list[ApiToken] | None = field(
        resolver=api_tokens,
        description=with_role_note(
            Role.VIEWER, "The caller's API tokens, the newest first, at most 500."
        ),
    )
