"""Statements shared by registrations and other changes of a team."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from domain.errors.exceptions import InvalidForm
from domain.errors.issues import (
    duplicate_captain_email,
    duplicate_captain_phone,
    duplicate_team_name,
)
from domain.registration.forms import ValidPerson, ValidTeam
from domain.registration.validation import LookupKeys
from persistence.engine.errors import violated_constraint
from persistence.ids import new_id
from persistence.models import IS_LIVE
from persistence.records import (
    ChurchRecord,
    TakenValues,
    TournamentRecord,
)
from persistence.repositories.base import Repository

_ISSUES_BY_CONSTRAINT = {
    "uq_team_live_captain_email": duplicate_captain_email,
    "uq_team_live_captain_phone": duplicate_captain_phone,
    "uq_team_live_name": duplicate_team_name,
}

_TAKEN_VALUES = text(f"""
    SELECT t.taken, coalesce(c.taken, 0) AS church_taken,
           EXISTS (SELECT FROM team WHERE church_id = c.id
                   AND normalized_name = :team_name AND {IS_LIVE}) AS has_team_name,
           EXISTS (SELECT FROM team WHERE tournament_id = t.id
                   AND captain_email = :captain_email AND {IS_LIVE}) AS has_captain_email,
           EXISTS (SELECT FROM team WHERE tournament_id = t.id
                   AND captain_phone = :captain_phone AND {IS_LIVE}) AS has_captain_phone
    FROM tournament t
    LEFT JOIN church c ON c.tournament_id = t.id AND c.normalized_name = coalesce(
        (SELECT canonical.normalized_name
         FROM church_alias a JOIN church canonical ON canonical.id = a.church_id
         WHERE a.tournament_id = t.id AND a.normalized_name = :church), :church)
    WHERE t.is_active
""")  # noqa: S608 - only a constant is interpolated


def take_church_slot_sql(source: str = "") -> str:
    """SQL that takes a slot of the church and adds the church if it is new.

    Without `source` it takes one slot; with a FROM clause, one for each of its rows.
    """
    return f"""
        INSERT INTO church AS c (id, tournament_id, name, normalized_name, taken, created_at)
        SELECT :church_id, :tournament_id, :church_name, coalesce(
            (SELECT canonical.normalized_name
             FROM church_alias a JOIN church canonical ON canonical.id = a.church_id
             WHERE a.tournament_id = :tournament_id AND a.normalized_name = :normalized_church),
            :normalized_church), 1, :now
        {source}
        ON CONFLICT (tournament_id, normalized_name) DO UPDATE SET taken = c.taken + 1
            WHERE CAST(:limit AS integer) IS NULL OR c.taken < :limit
        RETURNING c.id, c.name, c.taken
    """  # noqa: S608 - only a constant is interpolated


_TAKE_CHURCH_SLOT = text(take_church_slot_sql())


def build_church(row: Any, tournament: TournamentRecord) -> ChurchRecord:
    """Build from a row with `id`, `name` and `taken`."""
    limit = tournament.rules.teams_per_church
    return ChurchRecord(id=row["id"], name=row["name"], taken=row["taken"], limit=limit)


def church_columns(
    tournament: TournamentRecord, entry: ValidTeam, now: datetime
) -> dict[str, object]:
    """Parameters of `take_church_slot_sql`."""
    return {
        "church_id": new_id(),
        "tournament_id": tournament.id,
        "church_name": entry.church_name,
        "normalized_church": entry.normalized_church_name,
        "limit": tournament.rules.teams_per_church,
        "now": now,
    }


@contextmanager
def duplicates_as_issues() -> Iterator[None]:
    """Raise InvalidForm for a violation of the uniqueness of live teams' names and contacts."""
    try:
        yield
    except IntegrityError as error:
        duplicate = map_duplicate(error)
        if duplicate is None:
            raise
        raise duplicate from error


def map_duplicate(error: BaseException) -> InvalidForm | None:
    """The issue for a constraint violation; None for a constraint that is not about the form."""
    create_issue = _ISSUES_BY_CONSTRAINT.get(violated_constraint(error))
    return InvalidForm((create_issue(),)) if create_issue else None


def person_columns(prefix: str, person: ValidPerson) -> dict[str, str]:
    """A person's values by column or parameter name: `{prefix}_name` and so on."""
    return {
        f"{prefix}_name": person.name,
        f"{prefix}_phone": person.phone,
        f"{prefix}_whatsapp": person.whatsapp,
        f"{prefix}_email": person.email,
    }


class RegistrationRepository(Repository):
    """Values that live teams have taken, and slots of churches."""

    async def find_taken_values(self, keys: LookupKeys) -> TakenValues:
        """Read the values that live teams have taken, without locks."""
        values = {
            "church": keys.church,
            "team_name": keys.team_name,
            "captain_email": keys.captain_email,
            "captain_phone": keys.captain_phone,
        }
        row = (await self._execute(_TAKEN_VALUES, values)).one()
        return TakenValues(**row._asdict())

    async def take_church_slot(
        self, tournament: TournamentRecord, entry: ValidTeam, *, now: datetime
    ) -> ChurchRecord | None:
        """Take a slot of the church and lock its row. None when no slot is left."""
        values = church_columns(tournament, entry, now)
        row = (await self._execute(_TAKE_CHURCH_SLOT, values)).mappings().first()
        return build_church(row, tournament) if row is not None else None
