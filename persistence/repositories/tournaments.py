"""Tournaments: the active one, and the default one for an empty database."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import column, exists, table, text, update
from sqlmodel import col, select

from domain.documents import DocumentKind
from domain.tournaments import TournamentRules
from persistence.engine.timestamps import finite_or_none
from persistence.ids import new_id
from persistence.models import Tournament
from persistence.records import TournamentRecord
from persistence.repositories.base import Repository

DEFAULT_NAME = "ICCT26 Cricket Tournament"
DEFAULT_CODE_PREFIX = "ICCT"
DEFAULT_FEE_RUPEES = 2026
DEFAULT_CAPACITY = 16

# SQLAlchemy has no construct for it.
_LOCK_TABLE = text("LOCK TABLE tournament IN SHARE ROW EXCLUSIVE MODE")
_TIME_ZONE_NAMES = table("pg_timezone_names", column("name"))
_FIELDS = tuple(field.name for field in fields(TournamentRecord) if field.name != "rules")
_ACTIVE = select(Tournament).where(Tournament.is_active)


def tournament_record(row: Any) -> TournamentRecord:
    """Build from a `Tournament`, or from a row with the same columns."""
    return TournamentRecord(
        **{name: getattr(row, name) for name in _FIELDS},
        rules=TournamentRules(
            squad_min=row.squad_min,
            squad_max=row.squad_max,
            teams_per_church=row.teams_per_church,
            capacity=row.capacity,
            opens_at=finite_or_none(row.opens_at),
            closes_at=finite_or_none(row.closes_at),
            required_documents=tuple(DocumentKind(kind) for kind in row.required_documents),
            consent_version=row.consent_version,
        ),
    )


class TournamentRepository(Repository):
    """Tournaments: the active one, and the default one for an empty database."""

    async def get_active(self) -> TournamentRecord:
        return tournament_record((await self._session.exec(_ACTIVE)).one())

    async def lock_active(self) -> TournamentRecord:
        return tournament_record(await self._lock_active())

    async def _lock_active(self) -> Tournament:
        statement = _ACTIVE.with_for_update().execution_options(populate_existing=True)
        return (await self._session.exec(statement)).one()

    async def find(self, tournament_id: UUID) -> TournamentRecord | None:
        """The tournament with this id, active or not."""
        tournament = await self._session.get(Tournament, tournament_id)
        return tournament_record(tournament) if tournament else None

    async def add_default(
        self,
        *,
        capacity: int | None,
        required_documents: tuple[str, ...],
        now: datetime,
    ) -> bool:
        """Add the tournament of an empty database: open at once, without a closing date.

        False when there is a tournament already, perhaps of another process.
        """
        await (await self._session.connection()).execute(_LOCK_TABLE)
        if await self._session.scalar(select(exists(select(Tournament.id)))):
            return False
        self._session.add(
            Tournament(
                id=new_id(),
                is_active=True,
                name=DEFAULT_NAME,
                code_prefix=DEFAULT_CODE_PREFIX,
                time_zone="Asia/Kolkata",
                capacity=capacity,
                teams_per_church=2,
                squad_min=11,
                squad_max=15,
                fee_amount=DEFAULT_FEE_RUPEES,
                fee_currency="INR",
                required_documents=list(required_documents),
                taken=0,
                next_team_number=1,
                created_at=now,
            )
        )
        return True

    async def update(
        self, tournament_id: UUID, values: Mapping[str, Any], *, last_change: bytes
    ) -> TournamentRecord:
        """Set columns, increase the version by one, and return the tournament as it is then."""
        tournaments = await self._session.exec(
            update(Tournament)
            .where(col(Tournament.id) == tournament_id)
            .values({**values, "version": col(Tournament.version) + 1, "last_change": last_change})
            .returning(Tournament)
        )
        return tournament_record(tournaments.scalars().one())

    async def time_zone_exists(self, name: str) -> bool:
        """Whether PostgreSQL knows a time zone of this name."""
        names = select(_TIME_ZONE_NAMES.c.name).where(_TIME_ZONE_NAMES.c.name == name)
        return (await self._session.exec(names)).first() is not None

    async def open_for_demo_teams(self, *, count: int) -> None:
        """Make room for `count` demo teams; drop the church limit and required documents.

        The default capacity remains free beside them. A larger capacity, or none, is kept.
        """
        tournament = await self._lock_active()
        if tournament.capacity is not None:
            needed = tournament.taken + count + DEFAULT_CAPACITY
            tournament.capacity = max(tournament.capacity, needed)
        tournament.teams_per_church = None
        tournament.required_documents = []
        await self._session.flush()
