"""What the repositories return: plain values, read once, attached to nothing."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from domain.form import PersonEntry, PlayerRole
from domain.rules import TournamentRules
from domain.status import TeamStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class TournamentRecord:
    id: UUID
    name: str
    code_prefix: str
    venue: str | None
    time_zone: str
    fee_amount: int | None
    fee_currency: str | None
    upi_id: str | None
    upi_payee: str | None
    taken: int
    rules: TournamentRules


@dataclass(frozen=True, slots=True, kw_only=True)
class ChurchRecord:
    """`limit` is the tournament's, None where there is none."""

    id: UUID
    name: str
    taken: int
    limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayerRecord:
    id: UUID
    position: int
    name: str
    role: PlayerRole | None
    jersey_number: int | None
    date_of_birth: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamRecord:
    id: UUID
    code: str
    name: str
    status: TeamStatus
    version: int
    manage_generation: int
    registered_at: datetime
    updated_at: datetime
    church: ChurchRecord
    captain: PersonEntry
    vice_captain: PersonEntry
    players: tuple[PlayerRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What an idempotency key was used for."""

    fingerprint: bytes
    team_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUps:
    """What live teams have taken. The flags say whether one has the same value."""

    taken: int
    church_taken: int
    has_team_name: bool
    has_captain_email: bool
    has_captain_phone: bool
