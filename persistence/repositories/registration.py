"""Rules of registration that the database knows: values that only one live team may have."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import ColumnElement, Text, bindparam, exists, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased
from sqlmodel import col

from domain.errors.exceptions import InvalidForm
from domain.errors.issues import (
    duplicate_captain_email,
    duplicate_captain_phone,
    duplicate_team_name,
)
from domain.registration.forms import ValidPerson
from domain.registration.validation import LookupKeys
from persistence.engine.errors import violated_constraint
from persistence.models import IS_LIVE, Church, ChurchAlias, Team, Tournament
from persistence.records import TakenValues
from persistence.repositories.base import Repository

_ISSUES_BY_CONSTRAINT = {
    "uq_team_live_captain_email": duplicate_captain_email,
    "uq_team_live_captain_phone": duplicate_captain_phone,
    "uq_team_live_name": duplicate_team_name,
}

_CANONICAL_CHURCH = aliased(Church)
_CHURCH_NAME = func.coalesce(
    select(col(_CANONICAL_CHURCH.normalized_name))
    .join(ChurchAlias, col(ChurchAlias.church_id) == _CANONICAL_CHURCH.id)
    .where(
        col(ChurchAlias.tournament_id) == Tournament.id,
        col(ChurchAlias.normalized_name) == bindparam("church"),
    )
    .correlate(Tournament)
    .scalar_subquery(),
    bindparam("church", type_=Text),
)
_IN_TOURNAMENT = col(Team.tournament_id) == Tournament.id


def _is_taken(name: str, scope: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether a live team has the value of the parameter `name` in the column of this name."""
    column = col(getattr(Team, name))
    # IS_LIVE is text, so that the partial unique indexes serve every plan.
    return exists().where(scope, column == bindparam(name), IS_LIVE)


_TAKEN_VALUES = (
    select(
        col(Tournament.taken),
        func.coalesce(Church.taken, 0).label("church_taken"),
        _is_taken("normalized_name", col(Team.church_id) == Church.id).label("has_team_name"),
        _is_taken("captain_email", _IN_TOURNAMENT).label("has_captain_email"),
        _is_taken("captain_phone", _IN_TOURNAMENT).label("has_captain_phone"),
    )
    .outerjoin(
        Church,
        (col(Church.tournament_id) == Tournament.id)
        & (col(Church.normalized_name) == _CHURCH_NAME),
    )
    .where(col(Tournament.is_active))
)


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
    """Values that live teams have taken."""

    async def find_taken_values(self, keys: LookupKeys) -> TakenValues:
        """Read the values that live teams have taken, without locks."""
        values = {
            "church": keys.church,
            "normalized_name": keys.team_name,
            "captain_email": keys.captain_email,
            "captain_phone": keys.captain_phone,
        }
        rows = await self._session.exec(_TAKEN_VALUES, params=values)  # type: ignore[call-overload]
        return TakenValues(**rows.one()._asdict())
