"""Registration forms: as a client sends them, and after validation."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from domain.documents import DocumentKind


class PlayerRole(StrEnum):
    BATSMAN = "BATSMAN"
    BOWLER = "BOWLER"
    ALL_ROUNDER = "ALL_ROUNDER"
    WICKET_KEEPER = "WICKET_KEEPER"


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonForm:
    """As sent: every field may be any JSON value."""

    name: object
    phone: object
    email: object
    whatsapp: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentForm:
    kind: DocumentKind
    document_id: str


# Not frozen: a registration creates up to fifteen, and frozen dataclasses take three times as long.
@dataclass(slots=True, kw_only=True)
class PlayerForm:
    """As sent: every field may be any JSON value."""

    name: object
    role: object = None
    jersey_number: object = None
    date_of_birth: object = None
    documents: tuple[DocumentForm, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamForm:
    """As sent: every field may be any JSON value."""

    team_name: object
    church_name: object
    captain: PersonForm
    vice_captain: PersonForm
    players: tuple[PlayerForm, ...]
    documents: tuple[DocumentForm, ...] = ()
    consent_version: str | None = None
    locale: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidPerson:
    """Phones in E.164, e-mail in lower case."""

    name: str
    phone: str
    whatsapp: str
    email: str


@dataclass(slots=True, kw_only=True)
class ValidPlayer:
    name: str
    normalized_name: str
    role: PlayerRole | None
    jersey_number: int | None
    date_of_birth: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidTeam:
    """A form without issues, with canonical text."""

    team_name: str
    normalized_team_name: str
    church_name: str
    normalized_church_name: str
    captain: ValidPerson
    vice_captain: ValidPerson
    players: tuple[ValidPlayer, ...]
    consent_version: str | None
    locale: str | None
