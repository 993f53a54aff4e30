import pytest

from domain.auth.roles import Role
from tests.accounts import bearer_headers


@pytest.fixture
async def reviewer(services) -> dict[str, str]:
    """The authorization header of a REVIEWER."""
    return await bearer_headers(services, Role.REVIEWER)
