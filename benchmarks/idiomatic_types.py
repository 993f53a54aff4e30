"""Strawberry types, for `idiomatic.py`."""

import enum
from datetime import date, datetime

import strawberry

from benchmarks.idiomatic_entities import Team


@strawberry.enum
class PlayerRole(enum.Enum):
    BATSMAN = "BATSMAN"
    BOWLER = "BOWLER"
    ALL_ROUNDER = "ALL_ROUNDER"
    WICKET_KEEPER = "WICKET_KEEPER"


@strawberry.enum
class TeamStatus(enum.Enum):
    PENDING = "PENDING"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"
    CONFIRMED = "CONFIRMED"


@strawberry.type(name="Church")
class ChurchType:
    name: str


@strawberry.type
class Person:
    name: str
    phone: str
    email: str


@strawberry.type(name="Player")
class PlayerType:
    code: str
    name: str
    role: PlayerRole | None
    jersey_number: int | None
    date_of_birth: date | None


@strawberry.type(name="Team")
class TeamType:
    id: strawberry.ID
    code: str
    name: str
    status: TeamStatus
    registered_at: datetime
    church: ChurchType
    captain: Person
    vice_captain: Person
    players: list[PlayerType]

    @classmethod
    def from_entity(cls, team: Team) -> "TeamType":
        return cls(
            id=strawberry.ID(team.id.hex),
            code=team.code,
            name=team.name,
            status=TeamStatus(team.status),
            registered_at=team.registered_at,
            church=ChurchType(name=team.church.name),
            captain=Person(
                name=team.captain_name, phone=team.captain_phone, email=team.captain_email
            ),
            vice_captain=Person(
                name=team.vice_captain_name,
                phone=team.vice_captain_phone,
                email=team.vice_captain_email,
            ),
            players=[
                PlayerType(
                    code=f"{team.code}-P{player.position:02}",
                    name=player.name,
                    role=PlayerRole(player.role) if player.role else None,
                    jersey_number=player.jersey_number,
                    date_of_birth=player.date_of_birth,
                )
                for player in team.players
            ],
        )


@strawberry.type
class PageInfo:
    has_next_page: bool
    end_cursor: str | None


@strawberry.type
class TeamConnection:
    nodes: list[TeamType]
    page_info: PageInfo


@strawberry.type
class Check:
    name: str
    status: str
    latency_ms: float


@strawberry.type
class Health:
    status: str
    version: str
    checks: list[Check]


@strawberry.input
class PersonInput:
    name: str
    phone: str
    email: str


@strawberry.input
class PlayerInput:
    name: str
    role: PlayerRole | None = None
    jersey_number: int | None = None
    date_of_birth: date | None = None


@strawberry.input
class RegisterTeamInput:
    team_name: str
    church_name: str
    captain: PersonInput
    vice_captain: PersonInput
    players: list[PlayerInput]


@strawberry.type
class RegisterTeamPayload:
    replayed: bool
    manage_token: str
    team: TeamType
