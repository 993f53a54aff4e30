"""Manage tokens while the service's secret is rotated."""

from dataclasses import replace

import pytest

from domain.errors.exceptions import Unauthenticated
from resolvers.captain.access import my_team
from resolvers.registration.register import register_team
from resolvers.security.secrets import Secrets
from tests import factories

NEW = "the next secret of the tests, long enough to be taken"


async def test_token_of_the_previous_secret_is_accepted(services):
    registered = await register_team(services, factories.form(), key=None, request_id="request")
    during = replace(services, secrets=Secrets(current=NEW, previous=services.secrets.current))
    after = replace(services, secrets=Secrets(current=NEW))

    team = await my_team(during, registered.manage_token)

    assert team.id == registered.team.id
    with pytest.raises(Unauthenticated):
        await my_team(after, registered.manage_token)
