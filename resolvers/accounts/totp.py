"""Second factor: time-based codes of an authenticator app (RFC 6238) and recovery codes.

The TOTP secret is derived from the service's secret and a stored salt, so that the database alone
does not disclose it. It is shown only when it is proposed.
"""

import base64
import re
import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

import pyotp
import structlog

from domain.audit import AuditAction
from domain.auth.roles import Caller, Role, require_session
from domain.errors.exceptions import BadUserInput, Forbidden, Unauthenticated
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import INPUT, make_issue
from persistence.records import OrganiserRecord
from persistence.repositories.organisers import OrganiserAccount
from persistence.unit_of_work import UnitOfWork
from resolvers import audit
from resolvers.security.secrets import Secrets, constant_time_equal, derive_keys
from resolvers.services import Services

ISSUER = "ICCT26"
STEP_SECONDS = 30
# Steps accepted before and after the current one, for inaccurate clocks and slow typing.
TOLERANCE_STEPS = 1
SALT_BYTES = 16
SECRET_BYTES = 20
RECOVERY_CODE_COUNT = 10
RECOVERY_CODE_BYTES = 10
WRONG_CODE = "This code is wrong, was used before or has run out. Enter a new code."

_CODE = re.compile(r"[0-9]{6}")
_SEPARATORS = re.compile(r"[\s-]+")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """An organiser with the second factor on. `recovery_codes` are shown only now."""

    organiser: OrganiserRecord
    recovery_codes: tuple[str, ...]


async def propose(services: Services, caller: Caller, password: str) -> str:
    """Return the `otpauth://` URI of a new secret, which becomes active with `confirm`.

    Raises Unauthenticated, Forbidden; BadUserInput if the second factor is on.
    """
    account = await require_own_account(services, caller)
    if not await services.accounts.passwords.verify(password, account.password_hash):
        raise Forbidden("The password is wrong.")
    salt = secrets.token_bytes(SALT_BYTES)
    is_proposed = await services.database.run(
        lambda uow: uow.organisers.propose_totp(organiser_id=account.organiser.id, salt=salt)
    )
    if not is_proposed:
        raise BadUserInput(
            make_issue(INPUT, IssueCode.SECOND_FACTOR_ON),
            message="The second factor is on already. Disable it first.",
        )
    secret = _totp_secrets(services.secrets, account.organiser, salt)[0]
    name = account.organiser.email
    return pyotp.TOTP(secret, name=name, issuer=ISSUER).provisioning_uri()


async def confirm(services: Services, caller: Caller, code: str) -> Enrolment:
    """Turn the second factor on. Raises Unauthenticated; Forbidden for a wrong code."""
    account, now = await require_own_account(services, caller), services.clock()
    organiser, salt = account.organiser, account.totp_salt
    step = matching_step(services.secrets, account, code, now)
    if salt is None or step is None:
        raise Forbidden(WRONG_CODE)
    recovery_codes = tuple(_new_recovery_code() for _ in range(RECOVERY_CODE_COUNT))

    async def turn_on(uow: UnitOfWork) -> None:
        if not await uow.organisers.confirm_totp(organiser.id, salt=salt, step=step, now=now):
            raise Forbidden(WRONG_CODE)
        hashes = [_hash_recovery_code(recovery_code) for recovery_code in recovery_codes]
        await uow.organisers.replace_recovery_codes(organiser.id, hashes)
        await audit.record(
            uow,
            AuditAction.ORGANISER_TOTP_ENABLED,
            caller.actor,
            at=now,
            organiser_id=organiser.id,
        )

    await services.database.run(turn_on, repeatable=False)
    log.info("totp_enabled", organiser_id=organiser.id)
    return Enrolment(organiser=replace(organiser, has_totp=True), recovery_codes=recovery_codes)


async def disable(services: Services, caller: Caller, code: str) -> OrganiserRecord:
    """Turn the second factor off with a code of either kind. Raises Unauthenticated, Forbidden."""
    account, now = await require_own_account(services, caller), services.clock()
    organiser = account.organiser

    async def turn_off(uow: UnitOfWork) -> None:
        if not await consume_code(uow, services.secrets, account, code, now=now):
            raise Forbidden(WRONG_CODE)
        await uow.organisers.disable_totp(organiser.id)
        await audit.record(
            uow,
            AuditAction.ORGANISER_TOTP_DISABLED,
            caller.actor,
            at=now,
            organiser_id=organiser.id,
        )

    await services.database.run(turn_off, repeatable=False)
    log.info("totp_disabled", organiser_id=organiser.id)
    return replace(organiser, has_totp=False)


async def require_own_account(services: Services, caller: Caller) -> OrganiserAccount:
    """Return the account of a caller with a session. Raises Unauthenticated, Forbidden."""
    require_session(caller, Role.VIEWER)
    if caller.organiser_id is None:
        raise Unauthenticated
    organiser_id = caller.organiser_id
    account = await services.database.read(lambda uow: uow.organisers.find_account(organiser_id))
    if account is None:
        raise Unauthenticated
    return account


async def consume_code(
    uow: UnitOfWork, secrets: Secrets, account: OrganiserAccount, code: str, *, now: datetime
) -> bool:
    """Mark a code as used. False if it is wrong or was used before."""
    if not _CODE.fullmatch(_SEPARATORS.sub("", code)):
        return await uow.organisers.use_recovery_code(
            account.organiser.id, _hash_recovery_code(code)
        )
    step = matching_step(secrets, account, code, now)
    if step is None or account.totp_salt is None:
        return False
    return await uow.organisers.use_totp_step(
        account.organiser.id, salt=account.totp_salt, step=step
    )


def matching_step(
    secrets: Secrets, account: OrganiserAccount, code: str, now: datetime
) -> int | None:
    """Return the time step near `now` with this code, in half minutes since 1970, or None."""
    if account.totp_salt is None:
        return None
    digits = _SEPARATORS.sub("", code)
    current = int(now.timestamp()) // STEP_SECONDS
    for secret in _totp_secrets(secrets, account.organiser, account.totp_salt):
        generator = pyotp.TOTP(secret)
        for step in range(current - TOLERANCE_STEPS, current + TOLERANCE_STEPS + 1):
            if constant_time_equal(generator.generate_otp(step), digits):
                return step
    return None


def _totp_secrets(secrets: Secrets, organiser: OrganiserRecord, salt: bytes) -> list[str]:
    """Derive the base 32 secrets, from the service's current secret first."""
    keys = derive_keys(secrets, "totp", organiser.id.bytes + salt)
    return [base64.b32encode(key[:SECRET_BYTES]).decode() for key in keys]


def _new_recovery_code() -> str:
    """Return 80 random bits such as ABCD-EFGH-IJKL-MNOP."""
    text = base64.b32encode(secrets.token_bytes(RECOVERY_CODE_BYTES)).decode()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def _hash_recovery_code(code: str) -> bytes:
    """Ignore case, spaces and hyphens."""
    return sha256(_SEPARATORS.sub("", code).upper().encode("utf-8", "surrogatepass")).digest()
