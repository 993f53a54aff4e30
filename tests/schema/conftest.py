import pytest

from domain.auth.roles import Role
from tests.signing_in import bearer


@pytest.fixture
async def reviewer(services) -> dict[str, str]:
    """The header of an organiser who decides."""
    return await bearer(services, Role.REVIEWER)
