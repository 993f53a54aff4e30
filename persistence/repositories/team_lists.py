"""Teams of the active tournament in pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.pagination import KeysetOrder, Page, PageRequest, read_page
from persistence.records import DocumentRecord, TeamRecord
from persistence.repositories import documents as documents_of
from persistence.repositories.team_search import TeamFilter, matching
from persistence.repositories.teams import TEAM, players_of, team_of
from persistence.tables import church, team, tournament


class TeamOrderField(StrEnum):
    CODE = "CODE"
    REGISTERED = "REGISTERED"
    NAME = "NAME"
    CHURCH = "CHURCH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Include:
    """What is read of each team besides itself, one statement each."""

    players: bool = True
    documents: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamQuery:
    """What is looked for, in which order, and how much of it."""

    wanted: TeamFilter
    order: KeysetOrder
    part: PageRequest


# Codes have three digits or more: ICCT-999 comes before ICCT-1000.
_CODE = (func.length(team.c.code), team.c.code)
_COLUMNS_OF_ORDER: Mapping[TeamOrderField, tuple[ColumnElement[Any], ...]] = {
    TeamOrderField.CODE: _CODE,
    TeamOrderField.REGISTERED: (team.c.registered_at, team.c.id),
    TeamOrderField.NAME: (team.c.normalized_name, team.c.id),
    TeamOrderField.CHURCH: (church.c.normalized_name, *_CODE),
}


def order_of(order_field: TeamOrderField, *, is_descending: bool = False) -> KeysetOrder:
    return KeysetOrder(columns=_COLUMNS_OF_ORDER[order_field], is_descending=is_descending)


async def page(
    connection: AsyncConnection, listing: TeamQuery, *, parts: Include, with_contacts: bool
) -> Page[TeamRecord]:
    """`with_contacts`: the text is looked for in phones and e-mails too."""
    matched = matching(TEAM, listing.wanted, with_contacts=with_contacts)
    found: Page[Any] = await read_page(
        connection, matched, listing.order, listing.part, lambda row: row
    )
    ids = [row.id for row in found.rows]
    players = await players_of(connection, ids) if parts.players and ids else {}
    owned: dict[UUID, list[DocumentRecord]] = {}
    if parts.documents and ids:
        for one in await documents_of.of_teams(connection, ids):
            if one.team_id is not None:
                owned.setdefault(one.team_id, []).append(one)
    return found.of(
        [team_of(row, players.get(row.id, ()), owned.get(row.id, ())) for row in found.rows]
    )


async def count(connection: AsyncConnection, *, wanted: TeamFilter, with_contacts: bool) -> int:
    statement = (
        select(func.count())
        .select_from(team)
        .join(church, church.c.id == team.c.church_id)
        .join(tournament, tournament.c.id == team.c.tournament_id)
    )
    found = await connection.scalar(matching(statement, wanted, with_contacts=with_contacts))
    return int(found or 0)
