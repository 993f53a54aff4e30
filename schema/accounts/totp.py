"""The second factor of an organiser: codes of an authenticator app."""

from typing import Annotated

import strawberry
from strawberry import argument, field

from resolvers.accounts import sessions as accounts
from resolvers.accounts import totp
from schema.accounts.sessions import Organiser
from schema.context import Info
from schema.idempotency import refuse_idempotency_key
from schema.permissions import count_sign_in_attempts


@strawberry.input(description="A request to set up the second factor.")
class EnableTotpInput:
    password: str = field(description="The caller's password, since the browser may be unattended.")


@strawberry.type(description="The payload of enableTotp.")
class EnableTotpPayload:
    provisioning_uri: str = field(
        description="An otpauth:// address to show as a QR code. It is shown only once; the factor"
        " is required after confirmTotp."
    )


@strawberry.input(description="A code of the authenticator app.")
class ConfirmTotpInput:
    code: str = field(description="The six digits that the app shows.")


@strawberry.type(description="The payload of confirmTotp.")
class ConfirmTotpPayload:
    organiser: Organiser = field(description="The organiser, who now needs a code to sign in.")
    recovery_codes: list[str] = field(
        description="Ten recovery codes. Each replaces a code once, if the app is lost. They are"
        " shown only once."
    )


@strawberry.input(description="A code of the second factor to disable.")
class DisableTotpInput:
    code: str = field(description="Six digits, or a recovery code.")


@strawberry.type(description="The payload of disableTotp.")
class DisableTotpPayload:
    organiser: Organiser = field(description="The organiser, who now signs in without a code.")


async def enable_totp(
    info: Info, input: Annotated[EnableTotpInput, argument(description="The password.")]
) -> EnableTotpPayload | None:
    refuse_idempotency_key(info)
    context = info.context
    account = await _count_attempt(info, is_code=False)
    async with count_sign_in_attempts(info, account):
        uri = await totp.propose(context.services, context.caller, input.password)
    return EnableTotpPayload(provisioning_uri=uri)


async def confirm_totp(
    info: Info,
    input: Annotated[ConfirmTotpInput, argument(description="A code of the authenticator app.")],
) -> ConfirmTotpPayload | None:
    context = info.context
    account = await _count_attempt(info, is_code=True)
    async with count_sign_in_attempts(info, account):
        enrolment = await totp.confirm(context.services, context.caller, input.code)
    return ConfirmTotpPayload(
        organiser=Organiser.from_record(enrolment.organiser),
        recovery_codes=list(enrolment.recovery_codes),
    )


async def disable_totp(
    info: Info,
    input: Annotated[
        DisableTotpInput, argument(description="A code of the second factor to disable.")
    ],
) -> DisableTotpPayload | None:
    context = info.context
    account = await _count_attempt(info, is_code=True)
    async with count_sign_in_attempts(info, account):
        organiser = await totp.disable(context.services, context.caller, input.code)
    return DisableTotpPayload(organiser=Organiser.from_record(organiser))


async def _count_attempt(info: Info, *, is_code: bool) -> str:
    """Count a guess as an attempt to sign in to the caller's account. Returns the account's key."""
    context = info.context
    organiser = await accounts.current_organiser(context.services, context.caller)
    account = accounts.account_key(organiser.email)
    await context.sign_in_gate.count_sign_in(account)
    if is_code:
        await context.sign_in_gate.count_code(account)
    return account
