"""The codes by which people call teams and players."""


def team_code(prefix: str, number: int) -> str:
    """`ICCT-001`; three digits at least."""
    return f"{prefix}-{number:03}"


def player_code(team: str, position: int) -> str:
    """`ICCT-001-P01`; the position in the form, from 1, two digits at least."""
    return f"{team}-P{position:02}"
