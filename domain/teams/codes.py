"""Codes of teams and players, such as ICCT-001 and ICCT-001-P01."""

import re

from domain.characters import is_storable, strip_ignorable

# Team numbers and positions are never reused, so they may grow long.
_PLAYER_CODE = re.compile(r"(.{1,40}-[0-9]{3,10})-P([0-9]{2,10})")
MAX_POSITION = 2**31 - 1


def normalize_code(text: str) -> str:
    """The code in capitals without invisible characters; empty for text that cannot be stored."""
    return strip_ignorable(text).strip().upper() if is_storable(text) else ""


def player_code(team_code: str, position: int) -> str:
    """`ICCT-001-P01`, with the position in the form, from 1, in at least two digits."""
    return f"{team_code}-P{position:02}"


def parse_player_code(text: str) -> tuple[str, int] | None:
    """The team's code and the position; None for any other text."""
    match = _PLAYER_CODE.fullmatch(normalize_code(text))
    if match is None or int(match[2]) > MAX_POSITION:
        return None
    return match[1], int(match[2])
