"""Columns of exports, in order. Contacts and dates of birth are visible to REVIEWERs only."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from domain.registration.forms import ValidPerson
from domain.teams.codes import player_code
from persistence.records import PlayerRecord, TeamRecord
from resolvers.teams.decisions import team_readiness


class PlayerRow(NamedTuple):
    """A row of a table of players."""

    team: TeamRecord
    player: PlayerRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column. `value` takes a TeamRecord or, in tables of players, a PlayerRow."""

    header: str
    value: Callable[[Any], str | int | None]
    width: int = 18
    is_private: bool = False


def _person(label: str, person: Callable[[TeamRecord], ValidPerson]) -> tuple[Column, ...]:
    return (
        Column(header=label, value=lambda team: person(team).name, width=24),
        Column(header=f"{label} phone", value=lambda team: person(team).phone, is_private=True),
        Column(
            header=f"{label} WhatsApp", value=lambda team: person(team).whatsapp, is_private=True
        ),
        Column(
            header=f"{label} e-mail",
            value=lambda team: person(team).email,
            width=30,
            is_private=True,
        ),
    )


_TEAM_IDENTITY = (
    Column(header="Team code", value=lambda team: team.code, width=12),
    Column(header="Team", value=lambda team: team.name, width=28),
    Column(header="Church", value=lambda team: team.church.name, width=28),
    Column(header="Status", value=lambda team: team.status.value),
)
_TEAM_DETAILS = (
    *_person("Captain", lambda team: team.captain),
    *_person("Vice-captain", lambda team: team.vice_captain),
    Column(header="Players", value=lambda team: len(team.players), width=8),
    Column(
        header="Next step", value=lambda team: team_readiness(team).next_operation or "", width=18
    ),
)
PLAYER_COLUMNS = (
    Column(
        header="Player code",
        value=lambda row: player_code(row.team.code, row.player.position),
        width=16,
    ),
    Column(header="Player", value=lambda row: row.player.name, width=28),
    Column(header="Role", value=lambda row: row.player.role.value if row.player.role else ""),
    Column(header="Jersey", value=lambda row: row.player.jersey_number, width=8),
    Column(
        header="Date of birth",
        value=lambda row: row.player.date_of_birth.isoformat() if row.player.date_of_birth else "",
        width=14,
        is_private=True,
    ),
)


def localized_team_columns(time_zone: ZoneInfo) -> tuple[Column, ...]:
    """Return the columns of teams, with times in this zone."""
    registered = Column(
        header=f"Registered ({time_zone.key})",
        value=lambda team: team.registered_at.astimezone(time_zone).strftime("%Y-%m-%d %H:%M:%S"),
        width=28,
    )
    return (*_TEAM_IDENTITY, registered, *_TEAM_DETAILS)
