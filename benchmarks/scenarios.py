"""The measured GraphQL operations, and a request body for each request."""

import json
from collections.abc import Callable, Mapping
from enum import StrEnum

from resolvers.accounts.tokens import TokenKind


class Scenario(StrEnum):
    """Measured operation. Values are the letters used in the documentation and in reports."""

    REGISTER = "A"
    PAGE = "B"
    TEAM = "C"
    HEALTH = "D"


# Makes the body of the request with the given number.
BodyFactory = Callable[[int], bytes]

CLIENTS = 1_000
CHURCH_COUNT = 500
# Rate limits count organisers by account, so the requests are shared among these accounts.
ORGANISERS = 100
PAGE_SIZE = 50
FIRST_NAMES = (
    "Anand Benny Charles Daniel Edwin Felix George Hari Isaac Jacob Kevin Luke Manoj Noel Sam"
)
HEALTH = "{ health { status version checks { name status latencyMs } } }"
_TEAM = """
      id code name status registeredAt
      church { name }
      captain { name phone email }
      viceCaptain { name phone email }
      players { code name role jerseyNumber dateOfBirth }
"""
REGISTER = f"""
mutation Register($input: RegisterTeamInput!) {{
  registerTeam(input: $input) {{ replayed manageToken team {{{_TEAM}}} }}
}}
"""
PAGE = f"""
query Page($first: Int!) {{
  teams(first: $first) {{ nodes {{{_TEAM}}} pageInfo {{ hasNextPage endCursor }} }}
}}
"""
TEAM = f"query Team($code: String!) {{ team(code: $code) {{{_TEAM}}} }}"


def token(number: int) -> str:
    """Return the API token of an organiser; `number` is taken modulo their number."""
    return f"{TokenKind.API}{number % ORGANISERS:043}"


def health_body() -> BodyFactory:
    body = json.dumps({"query": HEALTH}).encode()
    return lambda _number: body


def registration_body() -> BodyFactory:
    """Return forms with 15 players that differ in every unique field, in rotating churches."""
    team = {
        "teamName": "Kings <number>",
        "churchName": "CSI Church <church>",
        "captain": _person("Captain <letters>", "+91<phone>0", "leader<number>@example.org"),
        "viceCaptain": _person("Deputy <letters>", "+91<phone>1", "deputy<number>@example.org"),
        "players": [
            {
                "name": f"{first_name} Kumar",
                "role": "ALL_ROUNDER",
                "jerseyNumber": position,
                "dateOfBirth": f"1999-05-{position:02}",
            }
            for position, first_name in enumerate(FIRST_NAMES.split(), start=1)
        ],
    }
    template = json.dumps({"query": REGISTER, "variables": {"input": team}}).encode()

    def body(number: int) -> bytes:
        letters = "".join(chr(ord("a") + int(digit)) for digit in str(number)).title()
        return (
            template.replace(b"<number>", b"%d" % number)
            .replace(b"<church>", b"%d" % (number % CHURCH_COUNT))
            .replace(b"<letters>", letters.encode())
            .replace(b"<phone>", b"%d" % (900_000_000 + number))
        )

    return body


def _person(name: str, phone: str, email: str) -> dict[str, str]:
    return {"name": name, "phone": phone, "email": email}


def page_body(size: int) -> BodyFactory:
    body = json.dumps({"query": PAGE, "variables": {"first": size}}).encode()
    return lambda _number: body


def team_body(teams: int) -> BodyFactory:
    """Ask for the first `teams` teams in rotation."""
    template = json.dumps({"query": TEAM, "variables": {"code": "ICCT-<code>"}}).encode()
    return lambda number: template.replace(b"<code>", b"%03d" % (number % teams + 1))


# Arguments: the number of teams in the database, and the page size.
BODIES: Mapping[Scenario, Callable[[int, int], BodyFactory]] = {
    Scenario.REGISTER: lambda _teams, _size: registration_body(),
    Scenario.PAGE: lambda _teams, size: page_body(size),
    Scenario.TEAM: lambda teams, _size: team_body(teams),
    Scenario.HEALTH: lambda _teams, _size: health_body(),
}
