"""Roles that counting needs, the same as listing."""

import pytest

from domain.auth.roles import ANONYMOUS, Caller, CallerKind, Role
from domain.errors.exceptions import Forbidden, Unauthenticated
from persistence.repositories.audit import AuditFilter
from persistence.repositories.outbox import DeliveryFilter
from persistence.repositories.team_search import TeamFilter
from resolvers.teams import queries

COUNTS = [
    (queries.team_count, TeamFilter(), Role.VIEWER),
    (queries.audit_count, AuditFilter(), Role.REVIEWER),
    (queries.delivery_count, DeliveryFilter(), Role.REVIEWER),
]


@pytest.mark.parametrize(("count", "filters", "role"), COUNTS)
async def test_counting_needs_the_role_of_listing(services, count, filters, role):
    callers = {each: Caller(kind=CallerKind.ORGANISER, role=each) for each in Role}

    with pytest.raises(Unauthenticated):
        await count(services, ANONYMOUS, filters)
    for each, caller in callers.items():
        if each.at_least(role):
            assert await count(services, caller, filters) == 0
        else:
            with pytest.raises(Forbidden):
                await count(services, caller, filters)
