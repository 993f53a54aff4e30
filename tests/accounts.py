"""Organisers who are signed in, for tests of what they may do."""

from dataclasses import replace
from datetime import UTC, datetime

import httpx

from domain.auth.roles import SYSTEM, Caller, Role
from persistence.records import OrganiserRecord
from resolvers.accounts import organisers
from resolvers.accounts import sessions as accounts
from resolvers.accounts.sessions import SignInResult
from resolvers.services import Services

PASSWORD = "correct horse battery"
SIGN_IN = """
mutation SignIn($input: SignInInput!) {
  signIn(input: $input) {
    token
    expiresAt
    organiser { id email accessRole isTotpEnabled createdAt lastSignInAt }
  }
}
"""


def role_email(role: Role) -> str:
    return f"{role.lower()}@example.org"


async def new_organiser(
    services: Services, role: Role = Role.OWNER, email: str | None = None
) -> OrganiserRecord:
    return await organisers.create(
        services, SYSTEM, email=email or role_email(role), role=role, password=PASSWORD
    )


async def new_session(services: Services, role: Role = Role.OWNER) -> SignInResult:
    """A new organiser of this role with a session."""
    created = await new_organiser(services, role)
    return await accounts.sign_in(services, email=created.email, password=PASSWORD)


async def new_caller(services: Services, role: Role = Role.OWNER) -> Caller:
    """A new organiser of this role, as who comes with a session."""
    opened = await new_session(services, role)
    return await accounts.authenticate(services, opened.token)


async def bearer_headers(services: Services, role: Role = Role.OWNER) -> dict[str, str]:
    """What a request of a new organiser of this role is sent with, to the application."""
    opened = await new_session(with_real_clock(services), role)
    return {"Authorization": f"Bearer {opened.token}"}


def with_real_clock(services: Services) -> Services:
    """The application does not go by the clock of the test."""
    return replace(services, clock=lambda: datetime.now(UTC))


def session_cookie(answer: httpx.Response) -> str | None:
    """The whole of what the answer sets for the session."""
    result = [
        header
        for header in answer.headers.get_list("set-cookie")
        if not is_known_client_cookie(header)
    ]
    assert len(result) <= 1
    return result[0] if result else None


def known_client_cookie(answer: httpx.Response) -> str | None:
    """The whole of what the answer sets to know the client by later."""
    result = [
        header for header in answer.headers.get_list("set-cookie") if is_known_client_cookie(header)
    ]
    assert len(result) <= 1
    return result[0] if result else None


def is_known_client_cookie(header: str) -> bool:
    return header.partition("=")[0].endswith("-known")
