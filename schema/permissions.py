"""Roles of fields, and counting of guesses at secrets."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from domain.auth.roles import Caller, Role, require_role
from domain.errors.exceptions import Forbidden, RateLimited, SignInFailed, Unauthenticated
from resolvers.accounts.tokens import TokenEnded
from schema.context import Info


def with_role_note(role: Role, description: str, *, session: bool = False) -> str:
    """Append the required role to a description; `session` excludes API tokens."""
    note = " and a session; API tokens are not accepted" if session else ""
    return f"{description} Needs the role {role}{note}."


def require_caller(info: Info, role: Role) -> Caller:
    """Return the caller, who has at least this role. Raises Unauthenticated, Forbidden."""
    require_role(info.context.caller, role)
    return info.context.caller


@asynccontextmanager
async def count_token_guesses(info: Info, token: str | None) -> AsyncGenerator[None]:
    """Count the token as a guess if the block finds it unknown; an expired token is no guess.

    Raises RateLimited.
    """
    try:
        yield
    except TokenEnded:
        raise
    except Unauthenticated:
        if token:
            await info.context.sign_in_gate.count_token_guess(token)
        raise


@asynccontextmanager
async def count_sign_in_attempts(info: Info, account: str) -> AsyncGenerator[None]:
    """Adjust the count of attempts to sign in by the outcome of the block.

    Refused credentials stay counted. Success resets the count of this client and account. After any
    other error, such as an unavailable database, only the attempts of this request are removed.
    """
    sign_in_gate = info.context.sign_in_gate
    try:
        yield
    except (SignInFailed, Forbidden, RateLimited):
        raise
    except BaseException:
        await sign_in_gate.cancel_sign_ins(account)
        raise
    await sign_in_gate.clear_sign_ins_after_success(account)
