"""All transitions of a team's status."""

from itertools import product

import pytest

from domain.errors.exceptions import InvalidStatusTransition
from domain.teams.status import TeamAction, TeamStatus, transition

P, C, F, R, W = TeamStatus
# The organisers' and the captains' mutation for each action.
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
    ("status", "action", "is_captain"),
    [
        *product(TeamStatus, map(TeamAction, ORGANISERS), [False]),
        *product(TeamStatus, map(TeamAction, CAPTAINS), [True]),
    ],
)
def test_every_status_and_action(status, action, is_captain):
    expected = ALLOWED[status].get(action.value)
    mutations = CAPTAINS if is_captain else ORGANISERS

    if expected is not None:
        assert transition(status, action, is_captain=is_captain) == expected
        return
    with pytest.raises(InvalidStatusTransition) as error:
        transition(status, action, is_captain=is_captain)
    assert error.value.details == {
        "from": status.value,
        "attempted": mutations[action.value],
        "allowed": [
            name
            for possible_action, name in mutations.items()
            if possible_action in ALLOWED[status]
        ],
    }
