import pytest

from domain.teams.codes import parse_player_code, player_code


def test_player_code_has_at_least_two_digits():
    assert player_code("ICCT-001", 1) == "ICCT-001-P01"


@pytest.mark.parametrize("team", ["ICCT-001", "ICCT-1000", "A-B-012345678", "ICCT-2147483647"])
@pytest.mark.parametrize("position", [1, 10, 99, 100, 9_999, 10_215, 99_999_999, 2**31 - 1])
def test_player_code_round_trips(team, position):
    assert parse_player_code(player_code(team, position)) == (team, position)
