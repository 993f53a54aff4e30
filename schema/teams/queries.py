"""Queries of teams: search, players, statistics."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial
from typing import Annotated, Any, Self
from uuid import UUID

import strawberry
from graphql import FieldNode, FragmentSpreadNode
from strawberry import argument, field

from domain.auth.roles import Role, has_role
from domain.errors.exceptions import BadUserInput, TeamNotFound
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import make_issue
from domain.teams.status import LIVE_STATUSES
from persistence.repositories.team_search import Include, TeamFilter, TeamQuery, keyset_order
from persistence.repositories.team_stats import TeamStats as TeamStatsRecord
from resolvers.teams import queries
from schema.compiled.sql_json import json_projection, raw_json
from schema.context import Info
from schema.enums import DocumentReview, OrderDirection, TeamOrderField, TeamStatus
from schema.node import parse_id
from schema.pagination import AFTER, BEFORE, FIRST, LAST, Connection, CursorCodec, checked_search
from schema.permissions import require_caller
from schema.teams.types import Player, Team

_CURSORS = {
    TeamOrderField.CODE: CursorCodec("team.code", int, str),
    TeamOrderField.REGISTERED: CursorCodec("team.registered", datetime, UUID),
    TeamOrderField.NAME: CursorCodec("team.name", str, UUID),
    TeamOrderField.CHURCH: CursorCodec("team.church", str, int, str),
}


@strawberry.input(name="TeamFilter", description="Conditions on teams. All of them must hold.")
class TeamFilterInput:
    status: list[TeamStatus] | None = field(default=None, description="Any of these statuses.")
    church_id: strawberry.ID | None = field(default=None, description="Teams of this church.")
    text: str | None = field(
        default=None,
        description="A part of the code, or of the name of the team, its church, its captains or a"
        " player, without regard to case and accents. For REVIEWERs also a part of an e-mail"
        " address, or at least four digits of a phone number. At most 200 characters.",
    )
    registered_from: datetime | None = field(
        default=None, description="Teams that registered at or after this time."
    )
    registered_until: datetime | None = field(
        default=None, description="Teams that registered before this time."
    )
    has_missing_documents: bool | None = field(
        default=None, description="Whether a required document is missing."
    )
    has_rejected_documents: bool | None = field(
        default=None, description="Whether a document was rejected and not replaced."
    )

    def to_filter(self, *path: str) -> TeamFilter:
        """Return the conditions for the repository.

        Raises BadUserInput, NotFound, with issues below `path`, the path of this input.
        """
        return TeamFilter(
            statuses=self.status or (),
            church_id=parse_id(self.church_id, *path, "churchId")
            if self.church_id is not None
            else None,
            text=checked_search(self.text, *path, "text"),
            registered_from=self.registered_from,
            registered_until=self.registered_until,
            has_missing_documents=self.has_missing_documents,
            has_rejected_documents=self.has_rejected_documents,
        )


@strawberry.input(description="The order of teams in a list.")
class TeamOrder:
    field: TeamOrderField = strawberry.field(description="The property that teams are sorted by.")
    direction: OrderDirection = strawberry.field(
        default=OrderDirection.ASC, description="The direction, ASC by default."
    )


@strawberry.type(description="The number of teams with a status.")
class StatusCount:
    status: TeamStatus = field(description="The status.")
    count: int = field(description="The number of teams with this status.")


@strawberry.type(description="The number of documents with a review.")
class ReviewCount:
    review: DocumentReview = field(description="The result of the review.")
    count: int = field(description="The number of current documents with this review.")


@strawberry.type(description="The number of teams that registered on a day.")
class DayCount:
    day: date = field(description="The day, in the tournament's time zone.")
    count: int = field(description="The number of teams that registered, in any status now.")


@strawberry.type(description="Statistics of the tournament.")
class TeamStats:
    total: int = field(description="The number of teams, rejected and withdrawn teams included.")
    live: int = field(description="The number of live teams: neither rejected nor withdrawn.")
    churches: int = field(description="The number of churches with a live team.")
    players: int = field(description="The number of players of live teams.")
    by_status: list[StatusCount] = field(description="The number of teams for each status.")
    documents: list[ReviewCount] = field(description="Current documents of live teams, by review.")
    registered_by_day: list[DayCount] = field(
        description="Registrations for each day that has any, the earliest day first."
    )

    @classmethod
    def from_record(cls, record: TeamStatsRecord) -> Self:
        return cls(
            total=sum(record.by_status.values()),
            live=sum(record.by_status.get(status, 0) for status in LIVE_STATUSES),
            churches=record.churches,
            players=record.players,
            by_status=[
                StatusCount(status=status, count=record.by_status.get(status, 0))
                for status in TeamStatus
            ],
            documents=[
                ReviewCount(review=review, count=record.documents.get(review, 0))
                for review in DocumentReview
                # Superseded documents are not current.
                if review != DocumentReview.SUPERSEDED
            ],
            registered_by_day=[
                DayCount(day=day, count=count) for day, count in record.by_day.items()
            ],
        )


async def teams(  # noqa: PLR0913, PLR0917 - the arguments of a connection
    info: Info,
    filter: Annotated[
        TeamFilterInput | None, argument(description="Conditions on the teams.")
    ] = None,
    order_by: Annotated[
        TeamOrder | None, argument(description="The order, by code by default.")
    ] = None,
    first: Annotated[int | None, argument(description=FIRST)] = None,
    after: Annotated[str | None, argument(description=AFTER)] = None,
    last: Annotated[int | None, argument(description=LAST)] = None,
    before: Annotated[str | None, argument(description=BEFORE)] = None,
) -> Connection[Team]:
    caller, services = require_caller(info, Role.VIEWER), info.context.services
    team_filter = (filter or TeamFilterInput()).to_filter("filter")
    order = order_by or TeamOrder(field=TeamOrderField.CODE)
    codec = _CURSORS[order.field]
    query = TeamQuery(
        filters=team_filter,
        order=keyset_order(order.field, is_descending=order.direction == OrderDirection.DESC),
        request=codec.page_request(first=first, after=after, last=last, before=before),
    )
    count = partial(queries.team_count, services, caller, team_filter)
    is_masked = not has_role(caller, Role.REVIEWER)
    projection = json_projection(info, shows_all=not is_masked)
    if projection is not None:
        rendered = await queries.team_json_page(services, caller, query, projection)
        return Connection.from_page(rendered, codec, raw_json, count=count)
    selected = _selected_names(info)
    include = Include(
        players=not selected.isdisjoint({"players", "readiness"}),
        documents=not selected.isdisjoint({"documents", "readiness"}),
    )
    page = await queries.team_page(services, caller, query, include)
    make = partial(Team.from_record, is_masked=is_masked)
    return Connection.from_page(page, codec, make, count=count)


async def team(
    info: Info,
    id: Annotated[strawberry.ID | None, argument(description="The team's id.")] = None,
    code: Annotated[str | None, argument(description="The team's code, e.g. ICCT-001.")] = None,
) -> Team | None:
    caller, reference = require_caller(info, Role.VIEWER), id or code
    if reference is None or (id and code):
        names = {"names": ["id", "code"]}
        raise BadUserInput(
            make_issue(("code" if id else "id",), IssueCode.CHOOSE_ONE, names),
            message="Please give either the id or the code of the team.",
        )
    services, is_masked = info.context.services, not has_role(caller, Role.REVIEWER)
    projection = json_projection(info, shows_all=not is_masked)
    try:
        if projection is not None:
            # JSON text in place of the object; it is copied into the response.
            rendered: Team = raw_json(
                await queries.team_json(services, caller, reference, projection)
            )
            return rendered
        record = await queries.get_team(services, caller, reference)
    except TeamNotFound:
        return None
    return Team.from_record(record, is_masked=is_masked)


async def player(
    info: Info,
    code: Annotated[str, argument(description="The player's code, e.g. ICCT-001-P01.")],
) -> Player | None:
    caller, services = require_caller(info, Role.VIEWER), info.context.services
    is_masked = not has_role(caller, Role.REVIEWER)
    projection = json_projection(info, shows_all=not is_masked)
    if projection is not None:
        rendered = await queries.player_json(services, caller, code, projection)
        return None if rendered is None else raw_json(rendered)
    team_and_player = await queries.find_player(services, caller, code)
    if team_and_player is None:
        return None
    team_record, record = team_and_player
    return Player.from_record(record, team_record, is_masked=is_masked)


async def team_stats(info: Info) -> TeamStats:
    caller = require_caller(info, Role.VIEWER)
    return TeamStats.from_record(await queries.statistics(info.context.services, caller))


def _selected_names(info: Info) -> frozenset[str]:
    """Return the names of all fields selected below this one, at any depth, skipped ones too."""
    raw = info._raw_info  # noqa: SLF001 - Strawberry's own list visits a fragment at every spread
    names: set[str] = set()
    spreads: set[str] = set()
    nodes = [selection for node in raw.field_nodes for selection in _selections(node)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, FragmentSpreadNode):
            name = node.name.value
            if name in spreads:
                continue
            spreads.add(name)
            node = raw.fragments[name]
        elif isinstance(node, FieldNode):
            names.add(node.name.value)
        nodes.extend(_selections(node))
    return frozenset(names)


def _selections(node: Any) -> Sequence[Any]:
    return node.selection_set.selections if node.selection_set else ()
