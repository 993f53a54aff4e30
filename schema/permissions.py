"""What a field says about the role it needs, and how it is asked for."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from domain.auth.roles import Caller, Role, require_role
from domain.errors.exceptions import Forbidden, RateLimited, SignInFailed, Unauthenticated
from resolvers.accounts.tokens import TokenEnded
from schema.context import Info


def with_role_note(role: Role, description: str, *, session: bool = False) -> str:
    """The description with the role; `session`: an API token does not do."""
    whom = " of somebody who signed in; API tokens may not" if session else ""
    return f"{description} Needs the role {role}{whom}."


def require_caller(info: Info, role: Role) -> Caller:
    """Raises Unauthenticated, Forbidden."""
    require_role(info.context.caller, role)
    return info.context.caller


@asynccontextmanager
async def token_guesses_counted(info: Info, token: str | None) -> AsyncGenerator[None]:
    """Count the token if it turns out to be unknown inside; one that has ended is no guess.

    Raises RateLimited.
    """
    try:
        yield
    except TokenEnded:
        raise
    except Unauthenticated:
        if token:
            await info.context.sign_in_guard.count_token_guess(token)
        raise


@asynccontextmanager
async def sign_in_attempts_counted(info: Info, account: str) -> AsyncGenerator[None]:
    """Settle the guesses counted for the account by the outcome of the code inside.

    A refusal of the secret leaves them counted, success forgives them with those before, and any
    other error, such as a database that is away, takes back only those of this request.
    """
    sign_in_guard = info.context.sign_in_guard
    try:
        yield
    except (SignInFailed, Forbidden, RateLimited):
        raise
    except BaseException:
        await sign_in_guard.uncount_sign_ins(account)
        raise
    await sign_in_guard.reset_sign_in_count(account)
