"""Search teams of the active tournament, in pages."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, and_, exists, func, or_, select
from sqlmodel import col

from domain.characters import JOINERS, strip_ignorable
from domain.documents import PLAYER_KINDS, TEAM_KINDS, DocumentReview
from domain.registration.names import SEPARATORS, normalize
from domain.teams.status import TeamStatus
from persistence.models import (
    IS_CURRENT,
    Church,
    ChurchAlias,
    Document,
    Player,
    Team,
    Tournament,
)
from persistence.pagination import KeysetOrder, Page, PageRequest, read_page
from persistence.records import TeamRecord
from persistence.repositories.base import Repository
from persistence.repositories.teams import LOAD_DOCUMENTS, LOAD_PLAYERS, SELECT_TEAM, team_record

# Fewer digits match too many numbers.
PHONE_DIGITS_MIN = 4
# A scalar subquery, so that the indexes that begin with tournament_id give the order.
_ACTIVE = (
    select(col(Tournament.id)).where(col(Tournament.is_active)).correlate(None).scalar_subquery()
)
# Characters of names that a search ignores.
_IGNORED_IN_NAMES = f".'’{JOINERS}"
_BLANKS = r"\s+"


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamFilter:
    """Conditions, joined by AND. `registered_until` is exclusive.

    `text` is part of a team code, of a name, of a phone in any notation or of an e-mail.
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
    """Restrict a statement over team, church and tournament to the teams that match.

    `with_contacts`: search the text in phones and e-mails too.
    """
    conditions: list[ColumnElement[bool]] = [col(Team.tournament_id) == _ACTIVE]
    if filters.statuses:
        conditions.append(col(Team.status).in_(sorted(filters.statuses)))
    if filters.church_id is not None:
        conditions.append(col(Team.church_id) == filters.church_id)
    if filters.registered_from is not None:
        conditions.append(col(Team.registered_at) >= filters.registered_from)
    if filters.registered_until is not None:
        conditions.append(col(Team.registered_at) < filters.registered_until)
    if filters.has_missing_documents is not None:
        conditions.append(_is(_misses_documents(), filters.has_missing_documents))
    if filters.has_rejected_documents is not None:
        conditions.append(_is(_has_rejected(), filters.has_rejected_documents))
    text = strip_ignorable(filters.text or "").strip()
    if text:
        conditions.append(_contains_text(text, with_contacts=with_contacts))
    return statement.where(and_(*conditions))


def _is(condition: ColumnElement[bool], expected: bool) -> ColumnElement[bool]:
    return condition if expected else ~condition


def _contains_text(text: str, *, with_contacts: bool) -> ColumnElement[bool]:
    name = normalize(text)
    matches: list[ColumnElement[bool]] = [col(Team.code).contains(text.upper(), autoescape=True)]
    if name:
        matches += [
            column.contains(name, autoescape=True)
            for column in (
                col(Team.normalized_name),
                col(Church.normalized_name),
                _normalized(col(Team.captain_name)),
                _normalized(col(Team.vice_captain_name)),
            )
        ]
        matches.append(
            exists().where(
                col(ChurchAlias.church_id) == Team.church_id,
                col(ChurchAlias.normalized_name).contains(name, autoescape=True),
            )
        )
        matches.append(
            exists().where(
                col(Player.team_id) == Team.id,
                col(Player.normalized_name).contains(name, autoescape=True),
            )
        )
    if with_contacts:
        matches += _contacts_contain(text)
    return or_(*matches)


def _contacts_contain(text: str) -> list[ColumnElement[bool]]:
    emails = (col(Team.captain_email), col(Team.vice_captain_email))
    matches = [email.contains(text.lower(), autoescape=True) for email in emails]
    # Without the leading zero of the national notation: 098765 43210 is +91-98765-43210.
    digits = "".join(char for char in text if char.isdecimal()).lstrip("0")
    if len(digits) >= PHONE_DIGITS_MIN and not any(char.isalpha() for char in text):
        phones = (
            col(Team.captain_phone),
            col(Team.captain_whatsapp),
            col(Team.vice_captain_phone),
            col(Team.vice_captain_whatsapp),
        )
        matches += [phone.contains(digits, autoescape=True) for phone in phones]
    return matches


def _normalized(name: SQLColumnExpression[str]) -> ColumnElement[str]:
    """As `domain.registration.names.normalize`, but without folding letters such as ß."""
    without_punctuation = func.translate(
        name, f"{SEPARATORS}{_IGNORED_IN_NAMES}", " " * len(SEPARATORS)
    )
    return func.lower(func.regexp_replace(without_punctuation, _BLANKS, " ", "g"))


def _misses_documents() -> ColumnElement[bool]:
    """Whether the team has fewer current documents than required. Each slot has one at most."""
    required = col(Tournament.required_documents)
    team_slots = _count_kinds(required, [kind.value for kind in TEAM_KINDS])
    player_slots = _count_kinds(required, [kind.value for kind in PLAYER_KINDS])
    squad = select(func.count()).where(col(Player.team_id) == Team.id).scalar_subquery()
    present = (
        select(func.count())
        .where(
            col(Document.team_id) == Team.id,
            col(Document.kind) == func.any(required),
            IS_CURRENT,
        )
        .scalar_subquery()
    )
    return present < team_slots + player_slots * squad


def _count_kinds(required: SQLColumnExpression[Any], kinds: Collection[str]) -> ColumnElement[int]:
    kind = func.unnest(required).column_valued()
    return select(func.count(kind)).where(kind.in_(kinds)).scalar_subquery()


def _has_rejected() -> ColumnElement[bool]:
    return exists().where(
        col(Document.team_id) == Team.id,
        col(Document.review) == DocumentReview.REJECTED,
        col(Document.deleted_at).is_(None),
    )


class TeamOrderField(StrEnum):
    CODE = "CODE"
    REGISTERED = "REGISTERED"
    NAME = "NAME"
    CHURCH = "CHURCH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Include:
    """Related rows to read with each team, with one statement each."""

    players: bool = True
    documents: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamQuery:
    """Filters, order and page of a search."""

    filters: TeamFilter
    order: KeysetOrder
    request: PageRequest


# Codes have three digits or more; ICCT-999 has to come before ICCT-1000.
_CODE = (func.length(col(Team.code)), col(Team.code))
_ORDER_COLUMNS: Mapping[TeamOrderField, tuple[Any, ...]] = {
    TeamOrderField.CODE: _CODE,
    TeamOrderField.REGISTERED: (col(Team.registered_at), col(Team.id)),
    TeamOrderField.NAME: (col(Team.normalized_name), col(Team.id)),
    TeamOrderField.CHURCH: (col(Church.normalized_name), *_CODE),
}


def keyset_order(order_field: TeamOrderField, *, is_descending: bool = False) -> KeysetOrder:
    return KeysetOrder(columns=_ORDER_COLUMNS[order_field], is_descending=is_descending)


class TeamSearchRepository(Repository):
    """Pages of the teams that match filters."""

    async def page(
        self, query: TeamQuery, *, include: Include, with_contacts: bool
    ) -> Page[TeamRecord]:
        """A page of teams. `with_contacts`: search the text in phones and e-mails too."""
        statement = filter_teams(SELECT_TEAM, query.filters, with_contacts=with_contacts)
        if include.players:
            statement = statement.options(LOAD_PLAYERS)
        if include.documents:
            statement = statement.options(LOAD_DOCUMENTS)

        def record(row: Any) -> TeamRecord:
            team: Team = row.Team
            return team_record(
                team,
                team.players if include.players else (),
                team.documents if include.documents else (),
            )

        return await read_page(self._session, statement, query.order, query.request, record)

    async def count(self, *, filters: TeamFilter, with_contacts: bool) -> int:
        statement = (
            select(func.count())
            .select_from(Team)
            .join(Church, col(Church.id) == Team.church_id)
            .join(Tournament, col(Tournament.id) == Team.tournament_id)
        )
        statement = filter_teams(statement, filters, with_contacts=with_contacts)
        return int(await self._session.scalar(statement) or 0)
