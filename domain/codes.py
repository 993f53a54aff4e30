"""The codes by which people call teams and players."""

import re

_PLAYER_CODE = re.compile(r"(.{1,40}-[0-9]{3,9})-P([0-9]{2,4})")


def player_code(team: str, position: int) -> str:
    """`ICCT-001-P01`; the position in the form, from 1, two digits at least."""
    return f"{team}-P{position:02}"


def parse_player_code(text: str) -> tuple[str, int] | None:
    """The team's code and the position; None for what is no player's code."""
    match = _PLAYER_CODE.fullmatch(text.strip().upper())
    return (match[1], int(match[2])) if match else None
