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

ORGANISER_ID = UUID(int=0xABC)


def organiser(role: Role, *, has_session: bool = True) -> Caller:
    return Caller(
        kind=CallerKind.ORGANISER,
        organiser_id=ORGANISER_ID,
        role=role,
        session_id=UUID(int=1) if has_session else None,
    )


@pytest.mark.parametrize(
    ("role", "included"),
    [
        (Role.OWNER, {Role.OWNER, Role.REVIEWER, Role.VIEWER}),
        (Role.REVIEWER, {Role.REVIEWER, Role.VIEWER}),
        (Role.VIEWER, {Role.VIEWER}),
    ],
)
def test_role_includes_lower_roles_only(role, included):
    assert {other for other in Role if role.at_least(other)} == included

    for required in included:
        require_role(organiser(role), required)
    for required in set(Role) - included:
        with pytest.raises(Forbidden):
            require_role(organiser(role), required)


@pytest.mark.parametrize(
    ("role", "other", "expected"),
    [
        (Role.OWNER, Role.VIEWER, Role.VIEWER),
        (Role.VIEWER, Role.OWNER, Role.VIEWER),
        (Role.REVIEWER, Role.REVIEWER, Role.REVIEWER),
    ],
)
def test_lower_of_returns_the_role_with_fewer_permissions(role, other, expected):
    assert role.lower_of(other) == expected


@pytest.mark.parametrize("role", Role)
def test_anonymous_caller_is_refused_for_every_role(role):
    with pytest.raises(Unauthenticated):
        require_role(ANONYMOUS, role)
    with pytest.raises(Unauthenticated):
        require_session(ANONYMOUS, role)


@pytest.mark.parametrize("role", Role)
def test_system_is_accepted_for_every_role(role):
    require_role(SYSTEM, role)
    require_session(SYSTEM, role)


def test_api_token_is_refused_if_a_session_is_required():
    require_session(organiser(Role.OWNER), Role.OWNER)

    with pytest.raises(Forbidden):
        require_session(organiser(Role.OWNER, has_session=False), Role.VIEWER)


def test_callers_have_distinct_actors_in_the_audit_log():
    actors = [ANONYMOUS.actor, SYSTEM.actor, organiser(Role.VIEWER).actor]

    assert actors == ["anonymous", "system", f"organiser:{ORGANISER_ID.hex}"]
