"""The second factor of an organiser: codes of an authenticator application."""

from typing import Annotated

import strawberry
from strawberry import argument, field

from resolvers.accounts import sessions as accounts
from resolvers.accounts import totp
from schema.accounts.sessions import Organiser
from schema.context import Info
from schema.idempotency import refuse_idempotency_key
from schema.permissions import sign_in_attempts_counted


@strawberry.input(description="How the second factor is to be.")
class EnableTotpInput:
    password: str = field(description="The caller's, so that an open browser is not enough.")


@strawberry.type(description="The answer to enableTotp.")
class EnableTotpPayload:
    provisioning_uri: str = field(
        description="An otpauth:// address, for a QR code; told once. confirmTotp makes it count."
    )


@strawberry.input(description="A code of the new secret.")
class ConfirmTotpInput:
    code: str = field(description="Six digits, as the application shows them.")


@strawberry.type(description="The answer to confirmTotp.")
class ConfirmTotpPayload:
    organiser: Organiser = field(description="Who needs a code from now on.")
    recovery_codes: list[str] = field(
        description="Ten; each stands once for a code, when the application is lost. Told once."
    )


@strawberry.input(description="A last code.")
class DisableTotpInput:
    code: str = field(description="Six digits, or a recovery code.")


@strawberry.type(description="The answer to disableTotp.")
class DisableTotpPayload:
    organiser: Organiser = field(description="Who needs no code any more.")


async def enable_totp(
    info: Info, input: Annotated[EnableTotpInput, argument(description="The password.")]
) -> EnableTotpPayload | None:
    refuse_idempotency_key(info)
    context = info.context
    account = await _count_attempt(info, is_code=False)
    async with sign_in_attempts_counted(info, account):
        uri = await totp.propose(context.services, context.caller, input.password)
    return EnableTotpPayload(provisioning_uri=uri)


async def confirm_totp(
    info: Info, input: Annotated[ConfirmTotpInput, argument(description="A code.")]
) -> ConfirmTotpPayload | None:
    context = info.context
    account = await _count_attempt(info, is_code=True)
    async with sign_in_attempts_counted(info, account):
        enrolment = await totp.confirm(context.services, context.caller, input.code)
    return ConfirmTotpPayload(
        organiser=Organiser.from_record(enrolment.organiser),
        recovery_codes=list(enrolment.recovery_codes),
    )


async def disable_totp(
    info: Info, input: Annotated[DisableTotpInput, argument(description="A last code.")]
) -> DisableTotpPayload | None:
    context = info.context
    account = await _count_attempt(info, is_code=True)
    async with sign_in_attempts_counted(info, account):
        organiser = await totp.disable(context.services, context.caller, input.code)
    return DisableTotpPayload(organiser=Organiser.from_record(organiser))


async def _count_attempt(info: Info, *, is_code: bool) -> str:
    """Guesses from an open browser count as failed sign-ins of its account."""
    context = info.context
    organiser = await accounts.current_organiser(context.services, context.caller)
    account = accounts.account_key(organiser.email)
    await context.sign_in_guard.count_sign_in(account)
    if is_code:
        await context.sign_in_guard.count_code(account)
    return account
