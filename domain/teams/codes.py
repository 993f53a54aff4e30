"""The codes by which people call teams and players."""

import re

from domain.characters import is_storable, strip_ignorable

# Numbers of teams and positions only grow, one for each team and each new player.
_PLAYER_CODE = re.compile(r"(.{1,40}-[0-9]{3,10})-P([0-9]{2,10})")
MAX_POSITION = 2**31 - 1


def normalize_code(text: str) -> str:
    """As codes are written, without invisible characters; empty for what cannot be stored."""
    return strip_ignorable(text).strip().upper() if is_storable(text) else ""


def player_code(team: str, position: int) -> str:
    """`ICCT-001-P01`; the position in the form, from 1, two digits at least."""
    return f"{team}-P{position:02}"


def parse_player_code(text: str) -> tuple[str, int] | None:
    """The team's code and the position; None for what is no player's code."""
    match = _PLAYER_CODE.fullmatch(normalize_code(text))
    if match is None or int(match[2]) > MAX_POSITION:
        return None
    return match[1], int(match[2])
