"""Teams, players and churches as PostgreSQL prints them: the selected fields as JSON text,
undecoded on their way.

Only what is listed here is printed; anything else, and whatever is masked, is read as records.
"""

from collections.abc import Callable, Mapping
from functools import partial
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

# Keys of the answer with the field that each stands for, and what is selected below it.
Selection = tuple[tuple[str, str, "Selection | None"], ...]
JsonSql = ColumnElement[str]
FieldRenderer = Callable[[Selection], str]

TEXTS_MAX_BYTES = 2 << 20
TEXT_MAX_BYTES = 256 << 10
# As measured of the longest that a document can ask for, rounded up.
STATEMENT_BYTES = 32_000
_EARLIEST, _LATEST = (f"timestamptz '{moment.isoformat()}'" for moment in (EARLIEST, LATEST))


class UnsupportedField(Exception):
    """A field that is not listed here."""


statement_cache = cached(
    TEXTS_MAX_BYTES, max_entry_bytes=TEXT_MAX_BYTES, value_bytes=lambda _value: STATEMENT_BYTES
)


@statement_cache
def json_expression(kind: str, selection: Selection) -> JsonSql | None:
    """The expression that prints a `Team`, `Player` or `Church`; None when it has to be read as a
    record.
    """
    try:
        return literal_column(_PRINTERS[kind](selection), Text)
    except UnsupportedField:
        return None


async def find_team(database: Database, reference: str, text: JsonSql) -> Row | None:
    """The team with this id or code: what is `printed`, and its `manage_generation`."""
    name, value = parse_reference(reference)
    return await database.find_by_key(_finding_team(text, name), value)


async def find_player(
    database: Database, team_code: str, position: int, text: JsonSql
) -> str | None:
    rows = await database.fetch(_finding_player(text), code=team_code, position=position)
    return rows[0]["printed"] if rows else None


async def team_page(database: Database, query: TeamQuery, text: JsonSql) -> Page[str]:
    """As `team_lists.page` with contacts."""
    if query.filters == TeamFilter():
        return await _page(database, "Team", text, query.order, query.request)
    narrowed = filter_teams(_teams(text), query.filters, with_contacts=True)
    return await _narrowed(database, narrowed, query.order, query.request)


async def church_page(
    database: Database, search: str, request: PageRequest, text: JsonSql
) -> Page[str]:
    """As `churches.page`."""
    if not search:
        return await _page(database, "Church", text, churches.BY_NAME, request)
    narrowed = churches.filter_churches(_churches(text), search)
    return await _narrowed(database, narrowed, churches.BY_NAME, request)


@statement_cache
def _finding_team(text: JsonSql, name: str) -> CompiledStatement:
    # As `teams.find`, which reads a team together with its players.
    has_players = exists().where(player.c.team_id == team.c.id)
    column = team.c[name]
    teams = _teams if "tournament." in str(text) else _one_team
    found = teams(text).add_columns(team.c.manage_generation, column.label("key"))
    return CompiledStatement(found.where(key_in(column), has_players))


@statement_cache
def _finding_player(text: JsonSql) -> CompiledStatement:
    is_there = (team.c.code == bindparam("code")) & (player.c.position == bindparam("position"))
    return CompiledStatement(
        _teams(text).join(player, player.c.team_id == team.c.id).where(is_there)
    )


async def _narrowed(
    database: Database, statement: Select[Any], order: KeysetOrder, request: PageRequest
) -> Page[str]:
    return await database.read(
        partial(
            read_page,
            statement=statement,
            order=order,
            request=request,
            to_record=attrgetter("printed"),
        )
    )


async def _page(
    database: Database, kind: str, text: JsonSql, order: KeysetOrder, request: PageRequest
) -> Page[str]:
    values = {
        f"{name}_{number}": value
        for name, key in (("after", request.after), ("before", request.before))
        for number, value in enumerate(key or ())
    }
    ends = request.after is not None, request.before is not None
    printing = _paging(kind, text, order, request.size, ends, is_backward=request.is_backward)
    rows = [tuple(row.values()) for row in await database.fetch(printing, **values)]
    # The columns of the key follow what is printed.
    return build_page([(row[0], row[1:]) for row in rows], request, str)


@statement_cache
def _paging(  # noqa: PLR0913 - all that the statement depends on
    kind: str,
    text: JsonSql,
    order: KeysetOrder,
    size: int,
    ends: tuple[bool, bool],
    *,
    is_backward: bool,
) -> CompiledStatement:
    """A part of all there are. Its size is written into it, so that it is part of the plan."""
    after, before = (
        tuple_(
            *(
                bindparam(f"{name}_{number}", type_=column.type)
                for number, column in enumerate(order.columns)
            )
        )
        if is_given
        else None
        for name, is_given in zip(("after", "before"), ends, strict=True)
    )
    request = PageRequest(size=size, after=after, before=before, is_backward=is_backward)
    every = (
        filter_teams(_teams(text), TeamFilter(), with_contacts=True)
        if kind == "Team"
        else churches.filter_churches(_churches(text), "")
    )
    return CompiledStatement(apply_keyset(every, order, request))


def _teams(text: JsonSql) -> Select[Any]:
    return _one_team(text).join(tournament, tournament.c.id == team.c.tournament_id)


def _one_team(text: JsonSql) -> Select[Any]:
    """Without its tournament: that costs a quarter of the time, and few ask what it says of
    churches.
    """
    return (
        select(text.label("printed"))
        .select_from(team)
        .join(church, church.c.id == team.c.church_id)
    )


def _churches(text: JsonSql) -> Select[Any]:
    return select(text.label("printed")).select_from(church)


def _object(kind: str, fields: Mapping[str, str | FieldRenderer]) -> FieldRenderer:
    """What prints an object of the type: its selected fields, in their order."""

    def printed(selection: Selection) -> str:
        # Keys are GraphQL names: letters, digits and underscores.
        parts = [
            f"""'"{key}":' || {_value(kind, fields, name, below)}"""
            for key, name, below in selection
        ]
        if not parts:
            raise UnsupportedField
        return "'{' || " + " || ',' || ".join(parts) + " || '}'"

    return printed


def _value(
    kind: str, fields: Mapping[str, str | FieldRenderer], name: str, below: Selection | None
) -> str:
    if name == "__typename":
        return f"""'"{kind}"'"""
    printer = fields.get(name)
    if printer is None:
        raise UnsupportedField
    return printer if isinstance(printer, str) else printer(below or ())


def _id(column: str) -> str:
    return f"""'"' || replace(CAST({column} AS text), '-', '') || '"'"""


def _word(column: str) -> str:
    """Of text that needs no escapes: names of enums, codes, dates."""
    return f"""'"' || {column} || '"'"""


def _text(column: str) -> str:
    return f"CAST(to_json({column}) AS text)"


def _number(column: str) -> str:
    return f"CAST({column} AS text)"


def _or_null(expression: str) -> str:
    return f"coalesce({expression}, 'null')"


def _moment(column: str) -> str:
    """As `schema.scalars.utc_text`, with infinity as in `persistence.engine.timestamps`."""
    known = f"least(greatest({column}, {_EARLIEST}), {_LATEST})"
    return _word(f"""to_char({known} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""")


def _person(prefix: str) -> FieldRenderer:
    names = ("name", "phone", "whatsapp", "email")
    return _object("Person", {name: _text(f"team.{prefix}_{name}") for name in names})


def _players(selection: Selection) -> str:
    one = _PLAYER(selection)
    found = f"SELECT string_agg({one}, ',' ORDER BY player.position) FROM player"  # noqa: S608
    return f"'[' || coalesce(({found} WHERE player.team_id = team.id), '') || ']'"


_LEFT = "greatest(0, tournament.teams_per_church - church.taken)"
_PLACE = "CASE WHEN player.position < 10 THEN '0' ELSE '' END || player.position"
_CHURCH = _object(
    "Church",
    {
        "id": _id("church.id"),
        "name": _text("church.name"),
        "teamsRegistered": _number("church.taken"),
        "limit": _or_null(_number("tournament.teams_per_church")),
        "remaining": (
            f"CASE WHEN tournament.teams_per_church IS NULL THEN 'null' ELSE {_number(_LEFT)} END"
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
        "code": _text(f"(team.code || '-P' || {_PLACE})"),
        "position": _number("player.position"),
        "name": _text("player.name"),
        "role": _or_null(_word("player.role")),
        "jerseyNumber": _or_null(_number("player.jersey_number")),
        "dateOfBirth": _or_null(_word("to_char(player.date_of_birth, 'YYYY-MM-DD')")),
    },
)
_TEAM = _object(
    "Team",
    {
        "id": _id("team.id"),
        "code": _text("team.code"),
        "name": _text("team.name"),
        "status": _word("team.status"),
        "registeredAt": _moment("team.registered_at"),
        "updatedAt": _moment("team.updated_at"),
        "version": _number("team.version"),
        "church": _CHURCH,
        "captain": _person("captain"),
        "viceCaptain": _person("vice_captain"),
        "players": _players,
    },
)
_PRINTERS = {"Team": _TEAM, "Player": _PLAYER, "Church": _CHURCH}
