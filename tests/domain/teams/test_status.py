"""The whole table of what may be done with a team."""

from itertools import product

import pytest

from domain.errors.exceptions import InvalidStatusTransition
from domain.teams.status import TeamAction, TeamStatus, transition

P, C, F, R, W = TeamStatus
# The mutation of each event: an organiser's, and the captain's.
ORGANISERS = {
    "confirm": "confirmTeam",
    "requestChanges": "requestChanges",
    "reject": "rejectTeam",
    "withdraw": "withdrawTeam",
    "reopen": "reopenTeam",
}
CAPTAINS = {"resubmit": "resubmitMyTeam", "withdraw": "withdrawMyTeam"}
ALLOWED = {
    P: {"confirm": F, "requestChanges": C, "reject": R, "withdraw": W},
    C: {"resubmit": P, "reject": R, "withdraw": W},
    F: {"withdraw": W, "reopen": P},
    R: {"reopen": P},
    W: {},
}


@pytest.mark.parametrize(
    ("status", "event", "is_captain"),
    [
        *product(TeamStatus, map(TeamAction, ORGANISERS), [False]),
        *product(TeamStatus, map(TeamAction, CAPTAINS), [True]),
    ],
)
def test_every_status_and_event(status, event, is_captain):
    expected = ALLOWED[status].get(event.value)
    mutations = CAPTAINS if is_captain else ORGANISERS

    if expected is not None:
        assert transition(status, event, is_captain=is_captain) == expected
        return
    with pytest.raises(InvalidStatusTransition) as refused:
        transition(status, event, is_captain=is_captain)
    assert refused.value.details == {
        "from": status.value,
        "attempted": mutations[event.value],
        "allowed": [name for one, name in mutations.items() if one in ALLOWED[status]],
    }
