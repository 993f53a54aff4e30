"""What organisers look for among the teams of the active tournament."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.characters import JOINERS, skeleton
from domain.documents import PLAYER_KINDS, TEAM_KINDS, DocumentReview
from domain.registration.names import SEPARATORS, normalize
from domain.teams.status import TeamStatus
from persistence.models import church, church_alias, document, player, team, tournament
from persistence.pagination import KeysetOrder, Page, PageRequest, read_page
from persistence.records import DocumentRecord, TeamRecord
from persistence.repositories import documents as documents_of
from persistence.repositories.documents import CURRENT
from persistence.repositories.teams import SELECT_TEAM, build_team, list_player_rows

# Fewer digits are in too many numbers.
PHONE_DIGITS_MIN = 4
# One value, so that an index on teams of a tournament gives them in order.
_ACTIVE = select(tournament.c.id).where(tournament.c.is_active).correlate(None).scalar_subquery()
# What people's names may hold, and a search for them ignores.
_IGNORED_IN_NAMES = f".'’{JOINERS}"
_BLANKS = r"\s+"


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamFilter:
    """All that is given has to hold. `registered_until` is the first moment that is too late.

    `text` is part of a code or name, of a phone however it is written, or of an e-mail.
    """

    statuses: Collection[TeamStatus] = ()
    church_id: UUID | None = None
    text: str | None = None
    registered_from: datetime | None = None
    registered_until: datetime | None = None
    has_missing_documents: bool | None = None
    has_rejected_documents: bool | None = None


def filter_teams(
    statement: Select[Any], filters: TeamFilter, *, with_contacts: bool
) -> Select[Any]:
    """A statement over team, church and tournament, of what is wanted of the active one.

    `with_contacts`: the text is looked for in phones and e-mails too.
    """
    conditions: list[ColumnElement[bool]] = [team.c.tournament_id == _ACTIVE]
    if filters.statuses:
        conditions.append(team.c.status.in_(sorted(filters.statuses)))
    if filters.church_id is not None:
        conditions.append(team.c.church_id == filters.church_id)
    if filters.registered_from is not None:
        conditions.append(team.c.registered_at >= filters.registered_from)
    if filters.registered_until is not None:
        conditions.append(team.c.registered_at < filters.registered_until)
    if filters.has_missing_documents is not None:
        conditions.append(_is(_misses_documents(), filters.has_missing_documents))
    if filters.has_rejected_documents is not None:
        conditions.append(_is(_has_rejected(), filters.has_rejected_documents))
    text = skeleton(filters.text or "").strip()
    if text:
        conditions.append(_mentions(text, with_contacts=with_contacts))
    return statement.where(and_(*conditions))


def _is(condition: ColumnElement[bool], expected: bool) -> ColumnElement[bool]:
    return condition if expected else ~condition


def _mentions(filters: str, *, with_contacts: bool) -> ColumnElement[bool]:
    name = normalize(filters)
    places: list[ColumnElement[bool]] = [team.c.code.contains(filters.upper(), autoescape=True)]
    if name:
        places += [
            column.contains(name, autoescape=True)
            for column in (
                team.c.normalized_name,
                church.c.normalized_name,
                _plain(team.c.captain_name),
                _plain(team.c.vice_captain_name),
            )
        ]
        places.append(
            exists().where(
                church_alias.c.church_id == team.c.church_id,
                church_alias.c.normalized_name.contains(name, autoescape=True),
            )
        )
        places.append(
            exists().where(
                player.c.team_id == team.c.id,
                player.c.normalized_name.contains(name, autoescape=True),
            )
        )
    if with_contacts:
        places += _contacts(filters)
    return or_(*places)


def _contacts(filters: str) -> list[ColumnElement[bool]]:
    emails = (team.c.captain_email, team.c.vice_captain_email)
    places = [email.contains(filters.lower(), autoescape=True) for email in emails]
    # 098765 43210 and +91-98765-43210 are one number: its end is the same.
    digits = "".join(sign for sign in filters if sign.isdecimal()).lstrip("0")
    if len(digits) >= PHONE_DIGITS_MIN and not any(sign.isalpha() for sign in filters):
        phones = (
            team.c.captain_phone,
            team.c.captain_whatsapp,
            team.c.vice_captain_phone,
            team.c.vice_captain_whatsapp,
        )
        places += [phone.contains(digits, autoescape=True) for phone in phones]
    return places


def _plain(name: ColumnElement[str]) -> ColumnElement[str]:
    """As `domain.registration.names.normalize` compares, but for letters that fold to others."""
    parted = func.translate(name, f"{SEPARATORS}{_IGNORED_IN_NAMES}", " " * len(SEPARATORS))
    return func.lower(func.regexp_replace(parted, _BLANKS, " ", "g"))


def _misses_documents() -> ColumnElement[bool]:
    """Fewer documents that count than required kinds, each at most once at its place."""
    required = tournament.c.required_documents
    wanted_of_team = _overlap(required, [kind.value for kind in TEAM_KINDS])
    wanted_of_player = _overlap(required, [kind.value for kind in PLAYER_KINDS])
    squad = select(func.count()).where(player.c.team_id == team.c.id).scalar_subquery()
    present = (
        select(func.count())
        .where(
            document.c.team_id == team.c.id,
            document.c.kind == func.any(required),
            CURRENT,
        )
        .scalar_subquery()
    )
    return present < wanted_of_team + wanted_of_player * squad


def _overlap(required: ColumnElement[Any], kinds: Collection[str]) -> ColumnElement[int]:
    kind = func.unnest(required).column_valued()
    return select(func.count(kind)).where(kind.in_(kinds)).scalar_subquery()


def _has_rejected() -> ColumnElement[bool]:
    return exists().where(
        document.c.team_id == team.c.id,
        document.c.review == DocumentReview.REJECTED,
        document.c.deleted_at.is_(None),
    )


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

    filters: TeamFilter
    order: KeysetOrder
    request: PageRequest


# Codes have three digits or more: ICCT-999 comes before ICCT-1000.
_CODE = (func.length(team.c.code), team.c.code)
_COLUMNS_OF_ORDER: Mapping[TeamOrderField, tuple[ColumnElement[Any], ...]] = {
    TeamOrderField.CODE: _CODE,
    TeamOrderField.REGISTERED: (team.c.registered_at, team.c.id),
    TeamOrderField.NAME: (team.c.normalized_name, team.c.id),
    TeamOrderField.CHURCH: (church.c.normalized_name, *_CODE),
}


def keyset_order(order_field: TeamOrderField, *, is_descending: bool = False) -> KeysetOrder:
    return KeysetOrder(columns=_COLUMNS_OF_ORDER[order_field], is_descending=is_descending)


async def page(
    connection: AsyncConnection, query: TeamQuery, *, include: Include, with_contacts: bool
) -> Page[TeamRecord]:
    """`with_contacts`: the text is looked for in phones and e-mails too."""
    matched = filter_teams(SELECT_TEAM, query.filters, with_contacts=with_contacts)
    found: Page[Any] = await read_page(
        connection, matched, query.order, query.request, lambda row: row
    )
    ids = [row.id for row in found.rows]
    players = await list_player_rows(connection, ids) if include.players and ids else {}
    owned: dict[UUID, list[DocumentRecord]] = {}
    if include.documents and ids:
        for one in await documents_of.list_by_teams(connection, ids):
            if one.team_id is not None:
                owned.setdefault(one.team_id, []).append(one)
    return found.with_rows(
        [build_team(row, players.get(row.id, ()), owned.get(row.id, ())) for row in found.rows]
    )


async def count(connection: AsyncConnection, *, filters: TeamFilter, with_contacts: bool) -> int:
    statement = (
        select(func.count())
        .select_from(team)
        .join(church, church.c.id == team.c.church_id)
        .join(tournament, tournament.c.id == team.c.tournament_id)
    )
    found = await connection.scalar(filter_teams(statement, filters, with_contacts=with_contacts))
    return int(found or 0)
