"""Values that repositories return: plain data, not attached to a session or connection."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from domain.auth.roles import Caller, Role
from domain.documents import DocumentFormat, DocumentKind, DocumentReview
from domain.registration.forms import PlayerRole, ValidPerson
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
    """A church. `taken` counts its live teams; `limit` is their maximum, None without one."""

    id: UUID
    name: str
    taken: int
    limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRecord:
    """An uploaded document.

    `store`, `storage_name` and `folder` locate the file and are not shown to clients. `stored_at`
    is None until the store has confirmed the file, `team_id` until a team claims it. `player_id` is
    None for documents of the team itself too.
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
    """A document that a team claims, for itself or for one of its players."""

    document_id: UUID
    player_id: UUID | None


# Not frozen, for speed: a registration makes up to fifteen of them.
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
    captain: ValidPerson
    vice_captain: ValidPerson
    players: tuple[PlayerRecord, ...]
    documents: tuple[DocumentRecord, ...] = ()
    required_documents: tuple[DocumentKind, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedTeam:
    """A team whose row is locked.

    `last_change` is an HMAC of the request that made the team's version, `request_fingerprint` that
    of the request which has locked it: an update stores it as `last_change`.
    """

    id: UUID
    tournament_id: UUID
    church_id: UUID
    code: str
    status: TeamStatus
    version: int
    manage_generation: int
    next_position: int
    last_change: bytes | None
    request_fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyEntry:
    """The use of an idempotency key. `object_id` is the id of the created object, of any type."""

    fingerprint: bytes
    object_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenValues:
    """Slots taken by live teams, and whether a live team has the same unique values."""

    taken: int
    church_taken: int
    has_team_name: bool
    has_captain_email: bool
    has_captain_phone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganiserRecord:
    """An organiser. `has_totp`: the second factor is enabled."""

    id: UUID
    email: str
    role: Role
    has_totp: bool
    created_at: datetime
    last_sign_in_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """A session of an organiser."""

    id: UUID
    organiser_id: UUID
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Credential:
    """A session or API token, as far as authenticating a request needs it.

    `caller` has the role with which it may act now. `is_signed`: its requests have to be signed.
    """

    id: UUID
    caller: Caller
    expires_at: datetime
    last_used_at: datetime | None
    is_signed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiTokenRecord:
    """An API token. `role` is the token's; the organiser's present role may be lower.

    `is_signed`: requests with the token have to be signed.
    """

    id: UUID
    organiser_id: UUID
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    is_signed: bool = False
