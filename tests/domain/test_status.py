"""The whole table of what may be done with a team."""

from itertools import product

import pytest

from domain.errors import InvalidStatusTransition
from domain.status import TeamEvent, TeamStatus, move

P, C, F, R, W = TeamStatus
ALLOWED = {
    P: {"confirm": F, "requestChanges": C, "reject": R, "withdraw": W},
    C: {"resubmit": P, "reject": R, "withdraw": W},
    F: {"withdraw": W, "reopen": P},
    R: {"reopen": P},
    W: {},
}


@pytest.mark.parametrize(("status", "event"), list(product(TeamStatus, TeamEvent)))
def test_every_status_and_event(status, event):
    expected = ALLOWED[status].get(event.value)

    if expected is not None:
        assert move(status, event) == expected
        return
    with pytest.raises(InvalidStatusTransition) as refused:
        move(status, event)
    assert refused.value.details == {
        "from": status.value,
        "attempted": event.value,
        "allowed": list(ALLOWED[status]),
    }
