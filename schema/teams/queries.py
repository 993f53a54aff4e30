"""Teams as organisers look for them: pages, players, counts."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial
from typing import Annotated, Any, Self
from uuid import UUID

import strawberry
from graphql import FieldNode, FragmentSpreadNode
from strawberry import argument, field

from domain.auth.roles import Role, may
from domain.errors.exceptions import BadUserInput, IssueCode, TeamNotFound
from domain.errors.issues import issue
from domain.teams.status import LIVE_STATUSES
from persistence.repositories.team_search import Include, TeamQuery, keyset_order
from persistence.repositories.team_search import TeamFilter as TeamSearch
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


@strawberry.input(description="Which teams to look for; all that is given has to hold.")
class TeamFilter:
    status: list[TeamStatus] | None = field(default=None, description="Any of these.")
    church_id: strawberry.ID | None = field(default=None, description="Of this church.")
    text: str | None = field(
        default=None,
        description="Part of the code, or of the name of the team, its church, its captains or a"
        " player, however it is written. For REVIEWERs also of a phone in any notation, from four"
        " digits on, or of an e-mail. At most 200 characters.",
    )
    registered_from: datetime | None = field(default=None, description="From this moment on.")
    registered_until: datetime | None = field(default=None, description="Before this moment.")
    has_missing_documents: bool | None = field(
        default=None, description="Whether a required document is not there."
    )
    has_rejected_documents: bool | None = field(
        default=None, description="Whether a document was rejected and not replaced."
    )

    def to_search(self) -> TeamSearch:
        """Raises BadUserInput, NotFound."""
        return TeamSearch(
            statuses=self.status or (),
            church_id=parse_id(self.church_id, "filter", "churchId")
            if self.church_id is not None
            else None,
            text=checked_search(self.text, "filter", "text"),
            registered_from=self.registered_from,
            registered_until=self.registered_until,
            has_missing_documents=self.has_missing_documents,
            has_rejected_documents=self.has_rejected_documents,
        )


@strawberry.input(description="In which order teams are listed.")
class TeamOrder:
    field: TeamOrderField = strawberry.field(description="What it goes by.")
    direction: OrderDirection = strawberry.field(
        default=OrderDirection.ASC, description="ASC by default."
    )


@strawberry.type(description="How many teams have a status.")
class StatusCount:
    status: TeamStatus = field(description="The status.")
    count: int = field(description="Teams that have it.")


@strawberry.type(description="How many documents have a review.")
class ReviewCount:
    review: DocumentReview = field(description="What organisers said.")
    count: int = field(description="Documents that count and have it.")


@strawberry.type(description="How many teams registered on a day.")
class DayCount:
    day: date = field(description="In the tournament's time zone.")
    count: int = field(description="Teams that registered, whatever became of them.")


@strawberry.type(description="The tournament in numbers.")
class TeamStats:
    total: int = field(description="All teams, also rejected and withdrawn ones.")
    live: int = field(description="Neither rejected nor withdrawn.")
    churches: int = field(description="Churches with a live team.")
    players: int = field(description="Players of live teams.")
    by_status: list[StatusCount] = field(description="Every status, also of no team.")
    documents: list[ReviewCount] = field(
        description="Documents of live teams that count now, by review."
    )
    registered_by_day: list[DayCount] = field(
        description="Days with registrations, the first one first."
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
                if review != DocumentReview.SUPERSEDED
            ],
            registered_by_day=[
                DayCount(day=day, count=count) for day, count in record.by_day.items()
            ],
        )


async def teams(  # noqa: PLR0913, PLR0917 - the arguments of a connection
    info: Info,
    filter: Annotated[TeamFilter | None, argument(description="What to look for.")] = None,
    order_by: Annotated[TeamOrder | None, argument(description="By code by default.")] = None,
    first: Annotated[int | None, argument(description=FIRST)] = None,
    after: Annotated[str | None, argument(description=AFTER)] = None,
    last: Annotated[int | None, argument(description=LAST)] = None,
    before: Annotated[str | None, argument(description=BEFORE)] = None,
) -> Connection[Team]:
    caller, services = require_caller(info, Role.VIEWER), info.context.services
    wanted = (filter or TeamFilter()).to_search()
    by = order_by or TeamOrder(field=TeamOrderField.CODE)
    codec = _CURSORS[by.field]
    listing = TeamQuery(
        filters=wanted,
        order=keyset_order(by.field, is_descending=by.direction == OrderDirection.DESC),
        request=codec.page_args(first=first, after=after, last=last, before=before),
    )
    count = partial(queries.team_count, services, caller, wanted=wanted)
    is_masked = not may(caller, Role.REVIEWER)
    text = json_projection(info, shows_all=not is_masked)
    if text is not None:
        texts = await queries.team_json_page(services, caller, listing, text=text)
        return Connection.from_page(texts, codec, raw_json, count=count)
    selected = _selected_names(info)
    parts = Include(
        players=not selected.isdisjoint({"players", "readiness"}),
        documents=not selected.isdisjoint({"documents", "readiness"}),
    )
    page = await queries.team_page(services, caller, listing, parts=parts)
    make = partial(Team.from_record, is_masked=is_masked)
    return Connection.from_page(page, codec, make, count=count)


async def team(
    info: Info,
    id: Annotated[strawberry.ID | None, argument(description="The team's id.")] = None,
    code: Annotated[str | None, argument(description="The team's code: ICCT-001.")] = None,
) -> Team | None:
    caller, reference = require_caller(info, Role.VIEWER), id or code
    if reference is None or (id and code):
        names = {"names": ["id", "code"]}
        raise BadUserInput(
            issue(("code" if id else "id",), IssueCode.CHOOSE_ONE, names),
            message="Give either the id or the code of the team.",
        )
    services, is_masked = info.context.services, not may(caller, Role.REVIEWER)
    text = json_projection(info, shows_all=not is_masked)
    try:
        if text is not None:
            rendered: Team = raw_json(await queries.team_json(services, caller, reference, text))
            return rendered
        record = await queries.get_team(services, caller, reference)
    except TeamNotFound:
        return None
    return Team.from_record(record, is_masked=is_masked)


async def player(
    info: Info,
    code: Annotated[str, argument(description="The player's code: ICCT-001-P01.")],
) -> Player | None:
    caller, services = require_caller(info, Role.VIEWER), info.context.services
    is_masked = not may(caller, Role.REVIEWER)
    text = json_projection(info, shows_all=not is_masked)
    if text is not None:
        line = await queries.player_json(services, caller, code, text)
        return None if line is None else raw_json(line)
    found = await queries.find_player(services, caller, code)
    if found is None:
        return None
    owner, record = found
    return Player.from_record(record, owner, is_masked=is_masked)


async def team_stats(info: Info) -> TeamStats:
    caller = require_caller(info, Role.VIEWER)
    return TeamStats.from_record(await queries.statistics(info.context.services, caller))


def _selected_names(info: Info) -> frozenset[str]:
    """The names of all fields below this one, at any depth, whatever their conditions."""
    raw = info._raw_info  # noqa: SLF001 - Strawberry's own list visits a fragment at every spread
    names: set[str] = set()
    spread: set[str] = set()
    nodes = [one for node in raw.field_nodes for one in _below(node)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, FragmentSpreadNode):
            name = node.name.value
            if name in spread:
                continue
            spread.add(name)
            node = raw.fragments[name]
        elif isinstance(node, FieldNode):
            names.add(node.name.value)
        nodes.extend(_below(node))
    return frozenset(names)


def _below(node: Any) -> Sequence[Any]:
    return node.selection_set.selections if node.selection_set else ()
