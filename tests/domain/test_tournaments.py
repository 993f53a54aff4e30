from datetime import UTC, datetime, timedelta

import pytest

from domain.datetimes import format_utc
from domain.errors.exceptions import (
    ChurchLimitReached,
    RegistrationClosed,
    RegistrationNotOpen,
    TournamentFull,
)
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
def test_registration_state_follows_window_and_capacity(rules, taken, state):
    assert registration_state(rules, taken=taken, now=NOW) == state


def test_registration_outside_the_window_is_refused():
    with pytest.raises(RegistrationNotOpen) as early:
        require_open(TournamentRules(opens_at=NOW + MOMENT), NOW)
    with pytest.raises(RegistrationClosed) as late:
        require_open(TournamentRules(closes_at=NOW), NOW)

    assert early.value.details == {"opensAt": format_utc(NOW + MOMENT)}
    assert late.value.details == {"closesAt": format_utc(NOW)}
    require_open(TournamentRules(), NOW)


def test_registration_without_capacity_is_refused():
    with pytest.raises(ChurchLimitReached) as church:
        require_church_capacity(TournamentRules(), 2)
    with pytest.raises(TournamentFull) as full:
        require_tournament_capacity(TournamentRules(), 16)

    assert church.value.details == {"limit": 2, "registered": 2}
    assert full.value.details == {"capacity": 16}
    require_church_capacity(TournamentRules(teams_per_church=None), 99)
    require_tournament_capacity(TournamentRules(capacity=None), 99)
