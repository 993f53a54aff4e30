"""Tournaments: the active one, and the default one for an empty database."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, insert, select, text, update

from domain.documents import DocumentKind
from domain.tournaments import TournamentRules
from persistence.engine.timestamps import finite_or_none
from persistence.ids import new_id
from persistence.models import tournament
from persistence.records import TournamentRecord
from persistence.repositories.base import Repository

DEFAULT_NAME = "ICCT26 Cricket Tournament"
DEFAULT_CODE_PREFIX = "ICCT"
DEFAULT_FEE_RUPEES = 2026
DEFAULT_CAPACITY = 16

COLUMNS: tuple[ColumnElement[Any], ...] = tuple(
    tournament.c[name]
    for name in (
        "id name code_prefix venue time_zone fee_amount fee_currency upi_id upi_payee taken"
        " squad_min squad_max teams_per_church capacity opens_at closes_at required_documents"
        " consent_version version last_change"
    ).split()
)
_TIME_ZONE = text("SELECT 1 FROM pg_timezone_names WHERE name = :name")
_ACTIVE = select(*COLUMNS).where(tournament.c.is_active)


def from_row(row: Any) -> TournamentRecord:
    return TournamentRecord(
        id=row.id,
        name=row.name,
        code_prefix=row.code_prefix,
        venue=row.venue,
        time_zone=row.time_zone,
        fee_amount=row.fee_amount,
        fee_currency=row.fee_currency,
        upi_id=row.upi_id,
        upi_payee=row.upi_payee,
        taken=row.taken,
        version=row.version,
        last_change=row.last_change,
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
        """The active tournament."""
        return from_row((await self._execute(_ACTIVE)).one())

    async def find(self, tournament_id: UUID) -> TournamentRecord | None:
        """The tournament with this id, active or not."""
        statement = select(*COLUMNS).where(tournament.c.id == tournament_id)
        row = (await self._execute(statement)).one_or_none()
        return from_row(row) if row else None

    async def create_default(
        self,
        *,
        capacity: int | None,
        required_documents: tuple[str, ...],
        now: datetime,
    ) -> bool:
        """Add the tournament of an empty database: open at once, without a closing date.

        False when there is a tournament already, perhaps of another process.
        """
        await self._execute(text("LOCK TABLE tournament IN SHARE ROW EXCLUSIVE MODE"))
        if (await self._execute(select(tournament.c.id).limit(1))).first() is not None:
            return False
        await self._execute(
            insert(tournament).values(
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

    async def lock_active(self) -> TournamentRecord:
        return from_row((await self._execute(_ACTIVE.with_for_update())).one())

    async def change(
        self,
        tournament_id: UUID,
        values: Mapping[str, Any],
        *,
        last_change: bytes,
    ) -> None:
        """Set columns and increase the version by one."""
        await self._execute(
            update(tournament)
            .where(tournament.c.id == tournament_id)
            .values({**values, "version": tournament.c.version + 1, "last_change": last_change})
        )

    async def time_zone_exists(self, name: str) -> bool:
        """Whether PostgreSQL knows a time zone of this name."""
        return await self._session.scalar(_TIME_ZONE, {"name": name}) is not None

    async def raise_capacity(self, *, count: int) -> None:
        """Make room for `count` more teams, without a limit per church or required documents.

        The default capacity remains free beside them. A larger capacity, or none, is kept.
        """
        needed = tournament.c.taken + count + DEFAULT_CAPACITY
        await self._execute(
            update(tournament)
            .where(tournament.c.is_active)
            .values(
                capacity=case(
                    (tournament.c.capacity < needed, needed), else_=tournament.c.capacity
                ),
                teams_per_church=None,
                required_documents=[],
            )
        )
