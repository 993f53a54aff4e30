"""What can be asked. The class at the end is the table of contents."""

from functools import partial
from typing import Annotated

import strawberry
from strawberry import argument, field

from domain.errors import CATALOG, BadUserInput
from domain.roles import Role, may
from resolvers import queries, registration, review
from schema.access import caller_with, needs
from schema.accounts import Organiser, Session, me, sessions
from schema.api_tokens import ApiToken, api_tokens
from schema.captain import my_team
from schema.context import Info
from schema.health import Health
from schema.inputs import RegisterTeamInput
from schema.objects import ErrorDefinitionType, Team, Tournament, ValidationReport
from schema.organisers import organisers
from schema.pages import ChurchConnection, page_size, parse_cursor, search_text
from schema.rules import RegistrationRules


async def health(info: Info) -> Health:
    services = info.context.services
    return Health.from_health(await queries.health(services), services.version)


async def tournament(info: Info) -> Tournament:
    record, state = await queries.tournament(info.context.services)
    return Tournament.from_record(record, state)


async def registration_rules(info: Info) -> RegistrationRules:
    record, _ = await queries.tournament(info.context.services)
    return RegistrationRules.from_rules(record.rules)


async def churches(
    info: Info,
    search: Annotated[
        str | None, argument(description="Part of the name, however it is written.")
    ] = None,
    first: Annotated[
        int | None, argument(description="How many at most: 1 to 100, 50 by default.")
    ] = None,
    after: Annotated[str | None, argument(description="The endCursor of the page before.")] = None,
) -> ChurchConnection:
    services = info.context.services
    search = search_text(search)
    page = await queries.church_page(
        services, search=search, first=page_size(first), after=parse_cursor(after)
    )
    return ChurchConnection.from_page(
        page,
        has_previous=after is not None,
        count=partial(queries.church_count, services, search=search),
    )


async def validate_team(
    info: Info,
    input: Annotated[RegisterTeamInput, argument(description="The form, as for registerTeam.")],
) -> ValidationReport:
    validation = await registration.validate_team(info.context.services, input.to_form())
    return ValidationReport.from_validation(validation)


async def team(
    info: Info,
    id: Annotated[strawberry.ID | None, argument(description="The team's id.")] = None,
    code: Annotated[str | None, argument(description="The team's code: ICCT-001.")] = None,
) -> Team | None:
    caller, reference = caller_with(info, Role.VIEWER), id or code
    if reference is None or (id and code):
        raise BadUserInput("Give either the id or the code of the team.")
    record = await review.team(info.context.services, caller, reference)
    return Team.from_record(record, is_masked=not may(caller, Role.REVIEWER))


def error_catalog() -> list[ErrorDefinitionType]:
    return [ErrorDefinitionType.from_definition(entry) for entry in CATALOG.values()]


@strawberry.type(description="What can be asked.")
class Query:
    health: Health = field(
        resolver=health,
        description="How the service is. Public; asks the database every time, and no other part.",
    )
    tournament: Tournament = field(resolver=tournament, description="The open season. Public.")
    registration_rules: RegistrationRules = field(
        resolver=registration_rules,
        description="What a form must look like, from the validator's own source. Public.",
    )
    churches: ChurchConnection = field(
        resolver=churches, description="Churches that have registered, by name. Public."
    )
    validate_team: ValidationReport = field(
        resolver=validate_team,
        description="A dry run of registerTeam: the same issues, but for the look-ups of the"
        " captain's e-mail and phone. Writes nothing. Public.",
    )
    my_team: Team | None = field(
        resolver=my_team,
        description="The captain's own team with its contacts. Needs the manageToken.",
    )
    team: Team | None = field(
        resolver=team,
        description=needs(
            Role.VIEWER, "One team, by id or by code. VIEWERs see contacts masked, no documents."
        ),
    )
    error_catalog: list[ErrorDefinitionType] = field(
        resolver=error_catalog, description="Every error code with its meaning. Public."
    )
    me: Organiser | None = field(
        resolver=me, description=needs(Role.VIEWER, "Whose session or API token it is.")
    )
    organisers: list[Organiser] = field(
        resolver=organisers,
        description=needs(Role.OWNER, "All, by e-mail, invited ones included; the first 500."),
    )
    sessions: list[Session] = field(
        resolver=sessions,
        description=needs(Role.VIEWER, "Where one is signed in, the newest first; the first 500."),
    )
    api_tokens: list[ApiToken] = field(
        resolver=api_tokens,
        description=needs(Role.VIEWER, "One's API tokens, the newest first; the first 500."),
    )
