"""Forms and GraphQL inputs with valid defaults: a test states only what matters to it."""

from copy import deepcopy

from domain.registration.forms import PersonForm, PlayerForm, TeamForm

REGISTER = """
mutation Register($input: RegisterTeamInput!) {
  registerTeam(input: $input) {
    replayed
    manageToken
    team {
      id code name status version registeredAt updatedAt
      church { id name teamsRegistered limit remaining isFull }
      captain { name phone whatsapp email }
      viceCaptain { name phone whatsapp email }
      players { id code position name role jerseyNumber dateOfBirth }
    }
  }
}
"""
VALIDATE = """
query Validate($input: RegisterTeamInput!) {
  validateTeam(input: $input) { isValid blockers issues { path pointer code message params } }
}
"""

GIVEN_NAMES = (
    "Anand Benny Charles Daniel Edwin Felix George Hari Isaac Jacob Kevin Luke Manoj Noel Oliver"
)
PLAYER_NAMES = tuple(f"{given} Kumar" for given in GIVEN_NAMES.split())


def person(number: int = 0, **changes) -> dict:
    """Return a person with contacts unique to `number`."""
    letters = "".join(chr(ord("a") + int(digit)) for digit in str(number))
    return {
        "name": f"Captain {letters.title()}",
        "phone": f"+91{9_000_000_000 + number}",
        "email": f"person{number}@example.org",
    } | changes


def players(count: int = 15) -> list[dict]:
    return [{"name": PLAYER_NAMES[i % 15] + " " + "I" * (i // 15 + 1)} for i in range(count)]


def team(number: int = 0, **changes) -> dict:
    """Return the input of a team that shares no unique value with other numbers."""
    return deepcopy(
        {
            "teamName": f"Warriors {number}",
            "churchName": f"CSI Church {number}",
            "captain": person(2 * number),
            "viceCaptain": person(2 * number + 1),
            "players": players(),
        }
        | changes
    )


def form(number: int = 0, **changes) -> TeamForm:
    """Return the form that the schema builds from `team`."""
    wanted = team(number, **changes)
    return TeamForm(
        team_name=wanted["teamName"],
        church_name=wanted["churchName"],
        captain=PersonForm(**wanted["captain"]),
        vice_captain=PersonForm(**wanted["viceCaptain"]),
        players=tuple(
            PlayerForm(
                name=player["name"],
                role=player.get("role"),
                jersey_number=player.get("jerseyNumber"),
                date_of_birth=player.get("dateOfBirth"),
            )
            for player in wanted["players"]
        ),
        consent_version=wanted.get("consentVersion"),
        locale=wanted.get("locale"),
    )
