"""Object types of teams. Fields are attributes: root resolvers have read all data."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Self

import strawberry
from strawberry import field

from domain.registration.contact import mask_email, mask_phone
from domain.registration.forms import ValidPerson
from domain.teams.codes import player_code
from persistence.records import (
    ChurchRecord,
    DocumentRecord,
    PlayerRecord,
    TeamRecord,
)
from resolvers.registration.register import RegistrationResult
from resolvers.teams.decisions import team_readiness
from schema.context import Info
from schema.documents import Document
from schema.enums import PlayerRole, TeamStatus
from schema.node import Node
from schema.operations.audit import AuditEvent
from schema.teams.readiness import Readiness

AFTER_REISSUE = "if the registration is replayed after the manageToken was replaced"
HIDDEN_NAME = "•••"


def _documents(records: Sequence[DocumentRecord], *, is_masked: bool) -> list[Document]:
    if is_masked or not records:
        return []
    return [Document.from_record(record) for record in records]


@strawberry.type(description="A church that has registered a team.")
class Church(Node):
    name: str = field(description="The name as its first team wrote it: 3 to 80 characters.")
    teams_registered: int = field(description="Live teams: neither rejected nor withdrawn.")
    limit: int | None = field(description="The maximum number of live teams; null for no limit.")
    remaining: int | None = field(description="The number of places left; null for no limit.")
    is_full: bool = field(description="Whether the church has no place left.")

    @classmethod
    def from_record(cls, record: ChurchRecord) -> Self:
        left = None if record.limit is None else max(0, record.limit - record.taken)
        return cls(
            id=strawberry.ID(record.id.hex),
            name=record.name,
            teams_registered=record.taken,
            limit=record.limit,
            remaining=left,
            is_full=left == 0,
        )


@strawberry.type(description="The contact of a captain or vice-captain.")
class Person:
    name: str = field(description=f"The name: 2 to 50 characters; {HIDDEN_NAME} {AFTER_REISSUE}.")
    phone: str | None = field(
        description=f"The phone number in E.164, e.g. +919876543210; null {AFTER_REISSUE}."
    )
    whatsapp: str | None = field(
        description=f"The WhatsApp number in E.164, by default the phone number; null"
        f" {AFTER_REISSUE}."
    )
    email: str | None = field(
        description=f"The e-mail address in lower case; null {AFTER_REISSUE}."
    )

    @classmethod
    def from_entry(cls, entry: ValidPerson, *, is_masked: bool) -> Self:
        if is_masked:
            return cls(
                name=entry.name,
                phone=mask_phone(entry.phone),
                whatsapp=mask_phone(entry.whatsapp),
                email=mask_email(entry.email),
            )
        return cls(name=entry.name, phone=entry.phone, whatsapp=entry.whatsapp, email=entry.email)

    @classmethod
    def hidden(cls) -> Self:
        return cls(name=HIDDEN_NAME, phone=None, whatsapp=None, email=None)


def _player_team(root: strawberry.Parent["Player"]) -> "Team":
    return Team.from_record(root.team_record, is_masked=root.is_masked)


@strawberry.type(description="A member of a squad.")
class Player(Node):
    code: str = field(description="The team's code and the player's position, e.g. ICCT-001-P01.")
    position: int = field(description="The player's position in the form, from 1.")
    name: str = field(description="The name: 2 to 50 characters.")
    role: PlayerRole | None = field(description="The player's role, if given.")
    jersey_number: int | None = field(description="0 to 999, unique in the team, if given.")
    date_of_birth: date | None = field(
        description="The date of birth, if given. Null for callers below the role REVIEWER, except"
        " the team's captain."
    )
    documents: list[Document] = field(description="The current documents, in order of upload.")

    team: "Team" = field(resolver=_player_team, description="The player's team.")
    team_record: strawberry.Private[TeamRecord]
    is_masked: strawberry.Private[bool]

    @classmethod
    def from_record(cls, record: PlayerRecord, team: TeamRecord, *, is_masked: bool) -> Self:
        return cls(
            id=strawberry.ID(record.id.hex),
            code=player_code(team.code, record.position),
            position=record.position,
            name=record.name,
            role=record.role,
            jersey_number=record.jersey_number,
            date_of_birth=None if is_masked else record.date_of_birth,
            documents=_documents(record.documents, is_masked=is_masked),
            team_record=team,
            is_masked=is_masked,
        )


def _readiness(root: strawberry.Parent["Team"]) -> Readiness:
    readiness = Readiness.from_readiness(team_readiness(root.record), root.record)
    if not root.shows_personal_data:
        readiness.blockers, readiness.next_operation = [], None
    return readiness


async def _history(info: Info, root: strawberry.Parent["Team"]) -> list[AuditEvent]:
    if not root.shows_personal_data:
        return []
    events = await info.context.loaders.histories.load(root.record.id)
    return [AuditEvent.from_record(event, info.context.caller) for event in events]


@strawberry.type(description="A team that registered for the tournament.")
class Team(Node):
    code: str = field(description="The team's code, e.g. ICCT-001. Codes are never reused.")
    name: str = field(description="The name: 3 to 80 characters.")
    church: Church = field(description="The team's church.")
    status: TeamStatus = field(description="The status of the application.")
    registered_at: datetime = field(description="When the registration was received.")
    updated_at: datetime = field(description="When the team was last changed.")
    version: int = field(description="A number that starts at 1 and grows by 1 with each change.")
    captain: Person = field(description="The person responsible for the team.")
    vice_captain: Person = field(description="The captain's deputy.")
    players: list[Player] = field(
        description=f"The complete squad, in the order of the form; empty {AFTER_REISSUE}."
    )
    documents: list[Document] = field(
        description="The current documents of the team, without those of players, in"
        " order of upload."
        f" Empty {AFTER_REISSUE}."
    )
    readiness: Readiness = field(
        resolver=_readiness, description="Whether the team can be confirmed, and its blockers."
    )
    history: list[AuditEvent] = field(
        resolver=_history,
        description="The newest 100 audit events of the team, in chronological order."
        " Captains do not"
        f" see which organiser caused them. Empty {AFTER_REISSUE}.",
    )
    record: strawberry.Private[TeamRecord]
    shows_personal_data: strawberry.Private[bool] = True

    @classmethod
    def from_record(cls, record: TeamRecord, *, is_masked: bool = False) -> Self:
        """Create a team; `is_masked` hides contacts, dates of birth and documents."""
        return cls(
            id=strawberry.ID(record.id.hex),
            code=record.code,
            name=record.name,
            church=Church.from_record(record.church),
            status=record.status,
            registered_at=record.registered_at,
            updated_at=record.updated_at,
            version=record.version,
            captain=Person.from_entry(record.captain, is_masked=is_masked),
            vice_captain=Person.from_entry(record.vice_captain, is_masked=is_masked),
            players=[
                Player.from_record(player, record, is_masked=is_masked) for player in record.players
            ],
            documents=_documents(record.documents, is_masked=is_masked),
            record=record,
        )

    @classmethod
    def without_personal_data(cls, record: TeamRecord) -> Self:
        """Create a team for a person who registered it and is no longer its captain."""
        team = cls.from_record(record)
        team.captain = team.vice_captain = Person.hidden()
        team.players, team.documents, team.shows_personal_data = [], [], False
        return team


@strawberry.type(description="The payload of registerTeam.")
class RegisterTeamPayload:
    team: Team = field(
        description="The registered team; without persons, documents and messages to the captain"
        f" {AFTER_REISSUE}."
    )
    manage_token: str = field(
        description="The captain's secret, by which the team can be seen and changed later. Keep"
        " it: it is not stored. A repeat returns the first token, which is void after"
        " reissueManageToken."
    )
    replayed: bool = field(
        description="True if an earlier request with the same idempotency key registered the team."
    )

    @classmethod
    def from_registered(cls, registered: RegistrationResult) -> Self:
        create_team = (
            Team.from_record if registered.shows_personal_data else Team.without_personal_data
        )
        return cls(
            team=create_team(registered.team),
            manage_token=registered.manage_token,
            replayed=registered.is_replay,
        )


@strawberry.type
class TeamPayload:
    """Base of payloads that hold only a team."""

    team: Team = field(description="The team after the change.")

    @classmethod
    def from_record(cls, record: TeamRecord) -> Self:
        return cls(team=Team.from_record(record))
