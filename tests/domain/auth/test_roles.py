from uuid import UUID

import pytest

from domain.auth.roles import (
    ANONYMOUS,
    SYSTEM,
    Caller,
    CallerKind,
    Role,
    require_role,
    require_session,
)
from domain.errors.exceptions import Forbidden, Unauthenticated

KEY = UUID(int=0xABC)


def organiser(role: Role, *, session: bool = True) -> Caller:
    return Caller(
        kind=CallerKind.ORGANISER,
        organiser_id=KEY,
        role=role,
        session_id=UUID(int=1) if session else None,
    )


@pytest.mark.parametrize(
    ("role", "may_act_as"),
    [
        (Role.OWNER, {Role.OWNER, Role.REVIEWER, Role.VIEWER}),
        (Role.REVIEWER, {Role.REVIEWER, Role.VIEWER}),
        (Role.VIEWER, {Role.VIEWER}),
    ],
)
def test_a_role_may_do_what_lower_ones_may_do_and_no_more(role, may_act_as):
    assert {other for other in Role if role.at_least(other)} == may_act_as

    for needed in may_act_as:
        require_role(organiser(role), needed)
    for needed in set(Role) - may_act_as:
        with pytest.raises(Forbidden):
            require_role(organiser(role), needed)


@pytest.mark.parametrize(
    ("role", "other", "expected"),
    [
        (Role.OWNER, Role.VIEWER, Role.VIEWER),
        (Role.VIEWER, Role.OWNER, Role.VIEWER),
        (Role.REVIEWER, Role.REVIEWER, Role.REVIEWER),
    ],
)
def test_at_most_is_the_lower_of_two_roles(role, other, expected):
    assert role.lower_of(other) == expected


@pytest.mark.parametrize("role", Role)
def test_nobody_may_do_what_needs_a_role(role):
    with pytest.raises(Unauthenticated):
        require_role(ANONYMOUS, role)
    with pytest.raises(Unauthenticated):
        require_session(ANONYMOUS, role)


@pytest.mark.parametrize("role", Role)
def test_the_system_may_do_everything(role):
    require_role(SYSTEM, role)
    require_session(SYSTEM, role)


def test_an_api_token_does_not_stand_for_a_session():
    require_session(organiser(Role.OWNER), Role.OWNER)

    with pytest.raises(Forbidden):
        require_session(organiser(Role.OWNER, session=False), Role.VIEWER)


def test_actors_are_told_apart_in_the_audit_log():
    actors = [ANONYMOUS.actor, SYSTEM.actor, organiser(Role.VIEWER).actor]

    assert actors == ["anonymous", "system", f"organiser:{KEY.hex}"]
