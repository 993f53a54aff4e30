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


def email_of(role: Role) -> str:
    return f"{role.lower()}@example.org"


async def organiser(
    services: Services, role: Role = Role.OWNER, email: str | None = None
) -> OrganiserRecord:
    return await organisers.create(
        services, SYSTEM, email=email or email_of(role), role=role, password=PASSWORD
    )


async def signed_in(services: Services, role: Role = Role.OWNER) -> SignInResult:
    """A new organiser of this role with a session."""
    made = await organiser(services, role)
    return await accounts.sign_in(services, email=made.email, password=PASSWORD)


async def caller(services: Services, role: Role = Role.OWNER) -> Caller:
    """A new organiser of this role, as who comes with a session."""
    opened = await signed_in(services, role)
    return await accounts.authenticate(services, opened.token)


async def bearer(services: Services, role: Role = Role.OWNER) -> dict[str, str]:
    """What a request of a new organiser of this role is sent with, to the application."""
    opened = await signed_in(in_real_time(services), role)
    return {"Authorization": f"Bearer {opened.token}"}


def in_real_time(services: Services) -> Services:
    """The application does not go by the clock of the test."""
    return replace(services, clock=lambda: datetime.now(UTC))


def cookie_of(answer: httpx.Response) -> str | None:
    """The whole of what the answer sets for the session."""
    found = [one for one in answer.headers.get_list("set-cookie") if not is_known_cookie(one)]
    assert len(found) <= 1
    return found[0] if found else None


def known_cookie_of(answer: httpx.Response) -> str | None:
    """The whole of what the answer sets to know the client by later."""
    found = [one for one in answer.headers.get_list("set-cookie") if is_known_cookie(one)]
    assert len(found) <= 1
    return found[0] if found else None


def is_known_cookie(header: str) -> bool:
    return header.partition("=")[0].endswith("-known")
