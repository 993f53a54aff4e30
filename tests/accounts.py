"""Organisers, sessions and bearer tokens for tests."""

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
    """Sign in a new organiser of this role."""
    created = await new_organiser(services, role)
    return await accounts.sign_in(services, email=created.email, password=PASSWORD)


async def new_caller(services: Services, role: Role = Role.OWNER) -> Caller:
    """Return a new organiser of this role as an authenticated caller."""
    opened = await new_session(services, role)
    return await accounts.authenticate(services, opened.token)


async def bearer_headers(services: Services, role: Role = Role.OWNER) -> dict[str, str]:
    """Return request headers of a new organiser of this role, valid for the application."""
    opened = await new_session(with_real_clock(services), role)
    return {"Authorization": f"Bearer {opened.token}"}


def with_real_clock(services: Services) -> Services:
    """Replace the fake clock: the application uses the real one."""
    return replace(services, clock=lambda: datetime.now(UTC))


def session_cookie(answer: httpx.Response) -> str | None:
    """Return the Set-Cookie header of the session, None without one."""
    result = [
        header
        for header in answer.headers.get_list("set-cookie")
        if not is_known_client_cookie(header)
    ]
    assert len(result) <= 1
    return result[0] if result else None


def known_client_cookie(answer: httpx.Response) -> str | None:
    """Return the Set-Cookie header of the known-client cookie, None without one."""
    result = [
        header for header in answer.headers.get_list("set-cookie") if is_known_client_cookie(header)
    ]
    assert len(result) <= 1
    return result[0] if result else None


def is_known_client_cookie(header: str) -> bool:
    return header.partition("=")[0].endswith("-known")
