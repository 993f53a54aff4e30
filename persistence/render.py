"""Teams as PostgreSQL prints them: the selected fields as JSON text, undecoded on their way.

Only what is listed here is printed; anything else, and whatever is masked, is read as records.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, bindparam, exists, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.database import Database
from persistence.direct import Statement
from persistence.pages import Order, Page, Slice, read_page
from persistence.tables import church, player, team, tournament
from persistence.team_search import TeamFilter, matching
from persistence.teams import reference_of

# Keys of the answer with the field that each stands for, and what is selected below it.
Selection = tuple[tuple[str, str, "Selection | None"], ...]
Printed = ColumnElement[str]
Printer = Callable[[Selection], str]

TEXTS_KEPT = 256


class Unprintable(Exception):
    """A field that is not listed here."""


@lru_cache(maxsize=TEXTS_KEPT)
def team_text(selection: Selection) -> Printed | None:
    """The expression that prints a team; None when it has to be read as a record."""
    try:
        return literal_column(_printed("Team", selection), Text)
    except Unprintable:
        return None


async def find(database: Database, reference: str, text: Printed) -> str | None:
    """The team with this id or code, printed."""
    name, value = reference_of(reference)
    rows = await database.fetch(_finding(text, name), value=value)
    return rows[0]["printed"] if rows else None


@lru_cache(maxsize=TEXTS_KEPT)
def _finding(text: Printed, name: str) -> Statement:
    has_players = exists().where(player.c.team_id == team.c.id)
    return Statement(
        _teams(text.label("printed")).where(team.c[name] == bindparam("value"), has_players)
    )


async def page(  # noqa: PLR0913 - what is looked for, in which order, how much of it
    connection: AsyncConnection,
    *,
    wanted: TeamFilter,
    order: Order,
    part: Slice,
    text: Printed,
    with_contacts: bool,
) -> Page[str]:
    """As `team_lists.page`, printed."""
    statement = matching(_teams(text.label("printed")), wanted, with_contacts=with_contacts)
    return await read_page(connection, statement, order, part, _text_of)


def _text_of(row: Any) -> str:
    text: str = row.printed
    return text


def _teams(text: Printed) -> Select[Any]:
    return (
        select(text)
        .select_from(team)
        .join(church, church.c.id == team.c.church_id)
        .join(tournament, tournament.c.id == team.c.tournament_id)
    )


def _printed(kind: str, selection: Selection | None) -> str:
    """An object with its keys in order, as an expression of SQL.

    Keys are GraphQL names: letters, digits and underscores.
    """
    if not selection:
        raise Unprintable
    parts = []
    for key, name, below in selection:
        if name == "__typename":
            value = f"""'"{kind}"'"""
        elif (kind, name) in _OBJECTS:
            value = _OBJECTS[kind, name](below or ())
        elif below is None and (kind, name) in _FIELDS:
            value = _FIELDS[kind, name]
        else:
            raise Unprintable
        parts.append(f"""'"{key}":' || {value}""")
    return "'{' || " + " || ',' || ".join(parts) + " || '}'"


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
    """As `schema.scalars.utc_text`."""
    return _word(f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""")


def _person(prefix: str) -> Printer:
    def printed(selection: Selection) -> str:
        return _printed(f"Person {prefix}", selection).replace(f"Person {prefix}", "Person")

    return printed


def _players(selection: Selection) -> str:
    one = _printed("Player", selection)
    found = f"SELECT string_agg({one}, ',' ORDER BY player.position) FROM player"  # noqa: S608
    return f"'[' || coalesce(({found} WHERE player.team_id = team.id), '') || ']'"


_LEFT = "greatest(0, tournament.teams_per_church - church.taken)"
_PLACE = "CASE WHEN player.position < 10 THEN '0' ELSE '' END || player.position"
_FIELDS: Mapping[tuple[str, str], str] = {
    ("Team", "id"): _id("team.id"),
    ("Team", "code"): _text("team.code"),
    ("Team", "name"): _text("team.name"),
    ("Team", "status"): _word("team.status"),
    ("Team", "registeredAt"): _moment("team.registered_at"),
    ("Team", "updatedAt"): _moment("team.updated_at"),
    ("Team", "version"): _number("team.version"),
    ("Church", "id"): _id("church.id"),
    ("Church", "name"): _text("church.name"),
    ("Church", "teamsRegistered"): _number("church.taken"),
    ("Church", "limit"): _or_null(_number("tournament.teams_per_church")),
    ("Church", "remaining"): (
        f"CASE WHEN tournament.teams_per_church IS NULL THEN 'null' ELSE {_number(_LEFT)} END"
    ),
    ("Church", "isFull"): (
        "CASE WHEN church.taken >= tournament.teams_per_church THEN 'true' ELSE 'false' END"
    ),
    **{
        (f"Person {prefix}", name): _text(f"team.{prefix}_{name}")
        for prefix in ("captain", "vice_captain")
        for name in ("name", "phone", "whatsapp", "email")
    },
    ("Player", "id"): _id("player.id"),
    ("Player", "code"): f"CAST(to_json(team.code || '-P' || {_PLACE}) AS text)",
    ("Player", "position"): _number("player.position"),
    ("Player", "name"): _text("player.name"),
    ("Player", "role"): _or_null(_word("player.role")),
    ("Player", "jerseyNumber"): _or_null(_number("player.jersey_number")),
    ("Player", "dateOfBirth"): _or_null(_word("to_char(player.date_of_birth, 'YYYY-MM-DD')")),
}
_OBJECTS: Mapping[tuple[str, str], Printer] = {
    ("Team", "church"): lambda selection: _printed("Church", selection),
    ("Team", "captain"): _person("captain"),
    ("Team", "viceCaptain"): _person("vice_captain"),
    ("Team", "players"): _players,
}
