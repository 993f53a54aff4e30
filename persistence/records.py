"""What the repositories return: plain values, read once, attached to nothing."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from domain.auth.roles import Caller, Role
from domain.documents import DocumentFormat, DocumentKind, DocumentReview
from domain.registration.forms import PersonEntry, PlayerRole
from domain.teams.status import TeamStatus
from domain.tournaments import TournamentRules


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
    version: int = 1
    last_change: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChurchRecord:
    """`limit` is the tournament's, None where there is none."""

    id: UUID
    name: str
    taken: int
    limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRecord:
    """`store`, `storage_name` and `folder` say where the file is; they are told to nobody.

    `stored_at` is None while the store has not confirmed the file, `team_id` while no team has
    claimed it, `player_id` also for the documents of a team.
    """

    id: UUID
    kind: DocumentKind
    format: DocumentFormat
    byte_size: int
    review: DocumentReview = DocumentReview.PENDING
    review_note: str | None = None
    created_at: datetime
    stored_at: datetime | None = None
    claimed_at: datetime | None = None
    deleted_at: datetime | None = None
    team_id: UUID | None = None
    player_id: UUID | None = None
    store: str
    storage_name: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentClaim:
    """A document that a team takes for itself; without a player it is the team's."""

    document_id: UUID
    player_id: UUID | None


# As the players of a form, not frozen.
@dataclass(slots=True, kw_only=True)
class PlayerRecord:
    id: UUID
    position: int
    name: str
    role: PlayerRole | None
    jersey_number: int | None
    date_of_birth: date | None
    documents: tuple[DocumentRecord, ...] = ()


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
    documents: tuple[DocumentRecord, ...] = ()
    required_documents: tuple[DocumentKind, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyEntry:
    """The use of an idempotency key; `team_id` is the id of the object that was made."""

    fingerprint: bytes
    team_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenValues:
    """What live teams have taken. The flags say whether one has the same value."""

    taken: int
    church_taken: int
    has_team_name: bool
    has_captain_email: bool
    has_captain_phone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganiserRecord:
    """`has_totp`: the second factor is on."""

    id: UUID
    email: str
    role: Role
    has_totp: bool
    created_at: datetime
    last_sign_in_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """`role` is the organiser's as it is now."""

    id: UUID
    organiser_id: UUID
    role: Role
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


@dataclass(slots=True)
class Credential:
    """What a request needs of the session or API token that it came with.

    `caller` has the role that it may act with now. Requests with one that `is_signed` have to be
    signed.
    """

    id: UUID
    caller: Caller
    expires_at: datetime
    last_used_at: datetime | None
    is_signed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiTokenRecord:
    """`role` is what the token was made for; the organiser's own may be lower by now.

    Requests with one that `is_signed` have to be signed.
    """

    id: UUID
    organiser_id: UUID
    name: str
    role: Role
    organiser_role: Role
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    is_signed: bool = False
