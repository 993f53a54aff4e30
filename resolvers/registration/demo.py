"""Reproducible demo teams with plausible names."""

import random
from datetime import date, timedelta

from domain.errors.exceptions import InvalidForm
from domain.registration.forms import PersonForm, PlayerForm, PlayerRole, TeamForm
from resolvers.registration.register import register_team
from resolvers.services import Services

SQUAD_SIZE = 15

_GIVEN_NAMES = (
    "Anand Benny Charles Daniel Ebenezer Felix George Hari Immanuel Jebaraj Kevin Lawrence Manoj"
    " Naveen Oliver Prakash Rajan Samuel Thomas Vinoth ஆனந்த் ராஜ் அருண் ஜான்"
).split()
_FAMILY_NAMES = (
    "Abraham Balan Cherian David Edwin Fernandes Gnanaraj Isaac Jacob Kumar Mathew Nadar O'Neil"
    " Paul Rajkumar Selvaraj Thangaraj Varghese Wilson Xavier"
).split()
_INITIALS = ("", "", "R. ", "S. ", "J. P. ")
_SAINTS = (
    "St. Peter's,St. Thomas,St. Mary's,Holy Trinity,Christ,Immanuel,All Saints',St. Andrew's,"
    "Good Shepherd,Zion,Bethel,St. John's"
).split(",")
_TOWNS = (
    "Coimbatore Pollachi Tiruppur Erode Ooty Coonoor Palakkad Salem Karur Mettupalayam"
    " Avinashi Udumalpet"
).split()
_TEAM_NAMES = (
    "Warriors Lions Strikers Royals Eagles Challengers Titans Falcons Knights Shepherds Pilgrims"
    " Ambassadors"
).split()
_ROLES = tuple(PlayerRole)


async def seed_demo(services: Services, teams: int) -> int:
    """Add the first `teams` demo teams that are missing; return how many were added."""
    await services.database.run(lambda uow: uow.tournaments.open_for_demo_teams(count=teams))
    return sum([await _register(services, number) for number in range(teams)])


async def _register(services: Services, number: int) -> bool:
    """Return whether the team was added."""
    try:
        result = await register_team(
            services,
            demo_form(number),
            key=f"demo-team-{number:06}",
            request_id=f"demo-{number:06}",
        )
    except InvalidForm:
        # The team exists, but its idempotency key has expired.
        return False
    return not result.is_replay


def demo_form(number: int) -> TeamForm:
    """Return the form of demo team `number`, counted from 0, with unique contacts."""
    generator = random.Random(number)  # noqa: S311  # reproducible, no secrets
    town = _TOWNS[number % len(_TOWNS)]
    church = f"CSI {_SAINTS[number // len(_TOWNS) % len(_SAINTS)]} Church {town}"
    return TeamForm(
        team_name=f"{town} {_TEAM_NAMES[number % len(_TEAM_NAMES)]} {number + 1}",
        church_name=church,
        captain=_person(generator, f"captain{number + 1}", 9_000_000_000 + 2 * number),
        vice_captain=_person(generator, f"vice{number + 1}", 9_000_000_001 + 2 * number),
        players=tuple(_player(generator, index) for index in range(SQUAD_SIZE)),
    )


def _person(generator: random.Random, mailbox: str, phone: int) -> PersonForm:
    # A further surname, chosen by the phone number, makes the names within a team differ.
    name = f"{_name(generator)} {_FAMILY_NAMES[phone % len(_FAMILY_NAMES)]}"
    return PersonForm(name=name, phone=f"+91{phone}", email=f"{mailbox}@demo.example")


def _player(generator: random.Random, index: int) -> PlayerForm:
    birth = date(1990, 1, 1) + timedelta(days=generator.randrange(6000) * 16 % 6000 + index)
    return PlayerForm(
        name=_name(generator),
        role=_ROLES[index % len(_ROLES)].value,
        jersey_number=index + 1,
        date_of_birth=birth.isoformat(),
    )


def _name(generator: random.Random) -> str:
    initials, given_name = generator.choice(_INITIALS), generator.choice(_GIVEN_NAMES)
    return f"{initials}{given_name} {generator.choice(_FAMILY_NAMES)}"
