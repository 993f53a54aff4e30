from datetime import UTC, datetime, timedelta

import pytest

from domain.datetimes import format_utc
from domain.documents import FILE_RULES, DocumentFormat, DocumentKind
from domain.errors.codes import ErrorCode
from domain.errors.exceptions import (
    ChurchLimitReached,
    RegistrationClosed,
    RegistrationNotOpen,
    TournamentFull,
)
from domain.teams.codes import parse_player_code, player_code
from domain.tournaments import (
    RegistrationState,
    TournamentRules,
    registration_state,
    require_church_capacity,
    require_open,
    require_tournament_capacity,
)

NOW = datetime(2026, 11, 23, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("rules", "taken", "state"),
    [
        (TournamentRules(), 15, RegistrationState.OPEN),
        (TournamentRules(), 16, RegistrationState.FULL),
        (TournamentRules(capacity=None), 10**6, RegistrationState.OPEN),
        (TournamentRules(opens_at=NOW), 0, RegistrationState.OPEN),
        (TournamentRules(opens_at=NOW + MOMENT), 16, RegistrationState.NOT_OPEN),
        (TournamentRules(closes_at=NOW), 16, RegistrationState.CLOSED),
        (TournamentRules(closes_at=NOW + MOMENT), 0, RegistrationState.OPEN),
    ],
)
def test_state_follows_window_and_places(rules, taken, state):
    assert registration_state(rules, taken=taken, now=NOW) == state


def test_window_is_required():
    with pytest.raises(RegistrationNotOpen) as early:
        require_open(TournamentRules(opens_at=NOW + MOMENT), NOW)
    with pytest.raises(RegistrationClosed) as late:
        require_open(TournamentRules(closes_at=NOW), NOW)

    assert early.value.details == {"opensAt": format_utc(NOW + MOMENT)}
    assert late.value.details == {"closesAt": format_utc(NOW)}
    require_open(TournamentRules(), NOW)


def test_places_are_required():
    with pytest.raises(ChurchLimitReached) as church:
        require_church_capacity(TournamentRules(), 2)
    with pytest.raises(TournamentFull) as full:
        require_tournament_capacity(TournamentRules(), 16)

    assert church.value.details == {"limit": 2, "registered": 2}
    assert full.value.details == {"capacity": 16}
    require_church_capacity(TournamentRules(teams_per_church=None), 99)
    require_tournament_capacity(TournamentRules(capacity=None), 99)


def test_codes_of_players_have_two_digits_at_least():
    assert player_code("ICCT-001", 1) == "ICCT-001-P01"


@pytest.mark.parametrize("team", ["ICCT-001", "ICCT-1000", "A-B-012345678", "ICCT-2147483647"])
@pytest.mark.parametrize("position", [1, 10, 99, 100, 9_999, 10_215, 99_999_999, 2**31 - 1])
def test_codes_of_players_are_read_as_they_are_written(team, position):
    assert parse_player_code(player_code(team, position)) == (team, position)


def test_photos_are_images_and_all_else_may_be_pdf():
    photos = {rule.kind for rule in FILE_RULES if DocumentFormat.PDF not in rule.formats}

    assert photos == {DocumentKind.GROUP_PHOTO, DocumentKind.PHOTO}
    assert {(rule.min_bytes, rule.max_bytes) for rule in FILE_RULES} == {(1, 5 * 1024 * 1024)}
