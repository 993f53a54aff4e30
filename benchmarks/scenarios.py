"""What the client asks for: the documents of A to D, and a body for each request."""

import json
from collections.abc import Callable, Mapping
from typing import Literal

from resolvers.accounts.tokens import TokenKind

Scenario = Literal["A", "B", "C", "D"]
Body = Callable[[int], bytes]

CLIENTS = 1_000
CHURCHES = 500
# Organisers are counted by account: so many share what one may ask.
ORGANISERS = 100
PAGE_SIZE = 50
GIVEN = "Anand Benny Charles Daniel Edwin Felix George Hari Isaac Jacob Kevin Luke Manoj Noel Sam"
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
    """The API token of one of the organisers."""
    return f"{TokenKind.API}{number % ORGANISERS:043}"


def health_body() -> Body:
    body = json.dumps({"query": HEALTH}).encode()
    return lambda _number: body


def registration_body() -> Body:
    """Teams of 15 that differ in all that must be unique; the churches take turns."""
    team = {
        "teamName": "Kings <number>",
        "churchName": "CSI Church <church>",
        "captain": _person("Captain <letters>", "+91<phone>0", "leader<number>@example.org"),
        "viceCaptain": _person("Deputy <letters>", "+91<phone>1", "deputy<number>@example.org"),
        "players": [
            {
                "name": f"{given} Kumar",
                "role": "ALL_ROUNDER",
                "jerseyNumber": place,
                "dateOfBirth": f"1999-05-{place:02}",
            }
            for place, given in enumerate(GIVEN.split(), start=1)
        ],
    }
    template = json.dumps({"query": REGISTER, "variables": {"input": team}}).encode()

    def body(number: int) -> bytes:
        letters = "".join(chr(ord("a") + int(digit)) for digit in str(number)).title()
        return (
            template.replace(b"<number>", b"%d" % number)
            .replace(b"<church>", b"%d" % (number % CHURCHES))
            .replace(b"<letters>", letters.encode())
            .replace(b"<phone>", b"%d" % (900_000_000 + number))
        )

    return body


def _person(name: str, phone: str, email: str) -> dict[str, str]:
    return {"name": name, "phone": phone, "email": email}


def page_body(size: int) -> Body:
    body = json.dumps({"query": PAGE, "variables": {"first": size}}).encode()
    return lambda _number: body


def team_body(teams: int) -> Body:
    """Every team of the first `teams`, one after the other."""
    template = json.dumps({"query": TEAM, "variables": {"code": "ICCT-<code>"}}).encode()
    return lambda number: template.replace(b"<code>", b"%03d" % (number % teams + 1))


# By how many teams there are to read, and how many a page has.
BODIES: Mapping[Scenario, Callable[[int, int], Body]] = {
    "A": lambda _teams, _size: registration_body(),
    "B": lambda _teams, size: page_body(size),
    "C": lambda teams, _size: team_body(teams),
    "D": lambda _teams, _size: health_body(),
}
