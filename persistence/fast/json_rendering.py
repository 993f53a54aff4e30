"""Render teams, players and churches as JSON text in PostgreSQL, without decoding it in Python.

The renderers at the end list the supported fields. A selection with any other field is read as
records instead, as is everything whose contacts are masked for the caller.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    bindparam,
    exists,
    literal_column,
    select,
    tuple_,
)

from persistence.engine.database import Database
from persistence.engine.timestamps import EARLIEST, LATEST
from persistence.fast.statement_pool import CompiledStatement, Row, key_in
from persistence.models import church, player, team, tournament
from persistence.pagination import (
    KeysetOrder,
    Page,
    PageRequest,
    apply_keyset,
    build_page,
    read_page,
)
from persistence.repositories import churches
from persistence.repositories.team_search import TeamFilter, TeamQuery, filter_teams
from persistence.repositories.teams import parse_reference
from resilience.byte_bounded_cache import cached

# Response keys, each with the name of its field and the selection below it.
Selection = tuple[tuple[str, str, "Selection | None"], ...]
JsonSql = ColumnElement[str]
# From the selection below a field to the SQL expression of its JSON text.
FieldRenderer = Callable[[Selection], str]

MAX_CACHE_BYTES = 2 << 20
MAX_ENTRY_BYTES = 256 << 10
# The measured size of the longest statement that a document can cause, rounded up.
STATEMENT_BYTES = 32_000
_EARLIEST, _LATEST = (f"timestamptz '{moment.isoformat()}'" for moment in (EARLIEST, LATEST))


class UnsupportedField(Exception):
    """A selected field has no renderer."""


cache_statement = cached(
    MAX_CACHE_BYTES, max_entry_bytes=MAX_ENTRY_BYTES, value_bytes=lambda _: STATEMENT_BYTES
)


@cache_statement
def json_expression(kind: str, selection: Selection) -> JsonSql | None:
    """The SQL expression of the JSON text of a `Team`, `Player` or `Church`.

    None when a selected field is unsupported.
    """
    try:
        return literal_column(_RENDERERS[kind](selection), Text)
    except UnsupportedField:
        return None


async def find_team(database: Database, reference: str, json: JsonSql) -> Row | None:
    """The team with this id or code: a row with `json` and `manage_generation`."""
    column_name, value = parse_reference(reference)
    return await database.find_by_key(_team_statement(json, column_name), value)


async def find_player(
    database: Database, team_code: str, position: int, json: JsonSql
) -> str | None:
    rows = await database.fetch(_player_statement(json), code=team_code, position=position)
    return rows[0]["json"] if rows else None


async def team_page(database: Database, query: TeamQuery, json: JsonSql) -> Page[str]:
    """A page of JSON texts. As `team_search.page` with contacts."""
    if query.filters == TeamFilter():
        return await _page(database, "Team", json, query.order, query.request)
    statement = filter_teams(_teams(json), query.filters, with_contacts=True)
    return await _filtered_page(database, statement, query.order, query.request)


async def church_page(
    database: Database, search: str, request: PageRequest, json: JsonSql
) -> Page[str]:
    """A page of JSON texts. As `churches.page`."""
    if not search:
        return await _page(database, "Church", json, churches.BY_NAME, request)
    statement = churches.filter_churches(_churches(json), search)
    return await _filtered_page(database, statement, churches.BY_NAME, request)


@cache_statement
def _team_statement(json: JsonSql, column_name: str) -> CompiledStatement:
    # `teams.find` joins the players, so a team without any is not found; this has to agree.
    has_players = exists().where(player.c.team_id == team.c.id)
    column = team.c[column_name]
    # The join with the tournament costs a quarter of the time, and few selections need it.
    select_teams = _teams if "tournament." in str(json) else _teams_and_churches
    statement = select_teams(json).add_columns(team.c.manage_generation, column.label("key"))
    return CompiledStatement(statement.where(key_in(column), has_players))


@cache_statement
def _player_statement(json: JsonSql) -> CompiledStatement:
    condition = (team.c.code == bindparam("code")) & (player.c.position == bindparam("position"))
    return CompiledStatement(
        _teams(json).join(player, player.c.team_id == team.c.id).where(condition)
    )


async def _filtered_page(
    database: Database, statement: Select[Any], order: KeysetOrder, request: PageRequest
) -> Page[str]:
    return await database.read(
        lambda uow: read_page(uow.session, statement, order, request, attrgetter("json"))
    )


async def _page(
    database: Database, kind: str, json: JsonSql, order: KeysetOrder, request: PageRequest
) -> Page[str]:
    values = {
        f"{name}_{number}": value
        for name, key in (("after", request.after), ("before", request.before))
        for number, value in enumerate(key or ())
    }
    has_cursors = request.after is not None, request.before is not None
    statement = _page_statement(
        kind, json, order, request.size, has_cursors, is_backward=request.is_backward
    )
    rows = [tuple(row.values()) for row in await database.fetch(statement, **values)]
    # The first column is the JSON text, the others are the key.
    return build_page([(row[0], row[1:]) for row in rows], request, str)


@cache_statement
def _page_statement(  # noqa: PLR0913 - everything that the statement depends on
    kind: str,
    json: JsonSql,
    order: KeysetOrder,
    size: int,
    has_cursors: tuple[bool, bool],
    *,
    is_backward: bool,
) -> CompiledStatement:
    """A page of all teams or churches. The keys are parameters, the size is part of the text."""
    after, before = (
        tuple_(
            *(
                bindparam(f"{name}_{number}", type_=column.type)
                for number, column in enumerate(order.columns)
            )
        )
        if has_cursor
        else None
        for name, has_cursor in zip(("after", "before"), has_cursors, strict=True)
    )
    request = PageRequest(size=size, after=after, before=before, is_backward=is_backward)
    statement = (
        filter_teams(_teams(json), TeamFilter(), with_contacts=True)
        if kind == "Team"
        else churches.filter_churches(_churches(json), "")
    )
    return CompiledStatement(apply_keyset(statement, order, request))


def _teams(json: JsonSql) -> Select[Any]:
    return _teams_and_churches(json).join(tournament, tournament.c.id == team.c.tournament_id)


def _teams_and_churches(json: JsonSql) -> Select[Any]:
    return (
        select(json.label("json")).select_from(team).join(church, church.c.id == team.c.church_id)
    )


def _churches(json: JsonSql) -> Select[Any]:
    return select(json.label("json")).select_from(church)


def _object(kind: str, fields: Mapping[str, str | FieldRenderer]) -> FieldRenderer:
    """A renderer of objects of this type, with the selected fields in their order."""

    def render(selection: Selection) -> str:
        # Response keys are GraphQL names (letters, digits, underscores) and need no escaping.
        members = [
            f"""'"{key}":' || {_value(kind, fields, name, below)}"""
            for key, name, below in selection
        ]
        if not members:
            raise UnsupportedField
        return "'{' || " + " || ',' || ".join(members) + " || '}'"

    return render


def _value(
    kind: str, fields: Mapping[str, str | FieldRenderer], name: str, below: Selection | None
) -> str:
    if name == "__typename":
        return f"""'"{kind}"'"""
    renderer = fields.get(name)
    if renderer is None:
        raise UnsupportedField
    return renderer if isinstance(renderer, str) else renderer(below or ())


def _id(column: str) -> str:
    return f"""'"' || replace(CAST({column} AS text), '-', '') || '"'"""


def _unescaped(column: str) -> str:
    """A string that needs no escaping: an enum value, a date, a time."""
    return f"""'"' || {column} || '"'"""


def _text(column: str) -> str:
    return f"CAST(to_json({column}) AS text)"


def _number(column: str) -> str:
    return f"CAST({column} AS text)"


def _or_null(expression: str) -> str:
    return f"coalesce({expression}, 'null')"


def _moment(column: str) -> str:
    """As `domain.datetimes.format_utc`, with infinity as in `persistence.engine.timestamps`."""
    finite = f"least(greatest({column}, {_EARLIEST}), {_LATEST})"
    return _unescaped(f"""to_char({finite} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""")


def _person(prefix: str) -> FieldRenderer:
    names = ("name", "phone", "whatsapp", "email")
    return _object("Person", {name: _text(f"team.{prefix}_{name}") for name in names})


def _players(selection: Selection) -> str:
    player_json = _PLAYER(selection)
    joined = f"SELECT string_agg({player_json}, ',' ORDER BY player.position) FROM player"  # noqa: S608
    return f"'[' || coalesce(({joined} WHERE player.team_id = team.id), '') || ']'"


_REMAINING = "CAST(greatest(0, tournament.teams_per_church - church.taken) AS text)"
_TWO_DIGIT_POSITION = "CASE WHEN player.position < 10 THEN '0' ELSE '' END || player.position"
_CHURCH = _object(
    "Church",
    {
        "id": _id("church.id"),
        "name": _text("church.name"),
        "teamsRegistered": _number("church.taken"),
        "limit": _or_null(_number("tournament.teams_per_church")),
        "remaining": (
            f"CASE WHEN tournament.teams_per_church IS NULL THEN 'null' ELSE {_REMAINING} END"
        ),
        "isFull": (
            "CASE WHEN church.taken >= tournament.teams_per_church THEN 'true' ELSE 'false' END"
        ),
    },
)
_PLAYER = _object(
    "Player",
    {
        "id": _id("player.id"),
        "code": _text(f"(team.code || '-P' || {_TWO_DIGIT_POSITION})"),
        "position": _number("player.position"),
        "name": _text("player.name"),
        "role": _or_null(_unescaped("player.role")),
        "jerseyNumber": _or_null(_number("player.jersey_number")),
        "dateOfBirth": _or_null(_unescaped("to_char(player.date_of_birth, 'YYYY-MM-DD')")),
    },
)
_TEAM = _object(
    "Team",
    {
        "id": _id("team.id"),
        "code": _text("team.code"),
        "name": _text("team.name"),
        "status": _unescaped("team.status"),
        "registeredAt": _moment("team.registered_at"),
        "updatedAt": _moment("team.updated_at"),
        "version": _number("team.version"),
        "church": _CHURCH,
        "captain": _person("captain"),
        "viceCaptain": _person("vice_captain"),
        "players": _players,
    },
)
_RENDERERS = {"Team": _TEAM, "Player": _PLAYER, "Church": _CHURCH}
