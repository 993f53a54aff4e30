"""Codes of an authenticator application (RFC 6238), and the recovery codes beside them.

The secret is made from the service's own and a stored salt, so that the database alone does not
give it away. It is shown once, when it is proposed.
"""

import base64
import re
import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from hashlib import sha256

import pyotp
import structlog

from domain.audit import AuditAction
from domain.auth.roles import Caller, Role, require_session
from domain.errors.exceptions import BadUserInput, Forbidden, IssueCode, Unauthenticated
from domain.errors.issues import INPUT, issue
from persistence.engine.database import Connection
from persistence.records import OrganiserRecord
from persistence.repositories import organisers, totp
from persistence.repositories.organisers import OrganiserAccount
from resolvers.audit import record
from resolvers.security.secrets import Secrets, derive_keys, is_same
from resolvers.services import Services

ISSUER = "ICCT26"
STEP_SECONDS = 30
# One step to either side, for clocks that are wrong and people who type slowly.
TOLERANCE_STEPS = 1
SALT_BYTES = 16
SECRET_BYTES = 20
RECOVERY_CODES = 10
RECOVERY_BYTES = 10
WRONG_CODE = "This code is wrong, was used before or has run out."

_CODE = re.compile(r"[0-9]{6}")
_SPACE = re.compile(r"[\s-]+")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """`recovery_codes` are shown once."""

    organiser: OrganiserRecord
    recovery_codes: tuple[str, ...]


async def propose(services: Services, caller: Caller, password: str) -> str:
    """The `otpauth://` address of a new secret, which counts once a code of it was confirmed.

    Raises Unauthenticated, Forbidden, BadUserInput when the second factor is on.
    """
    account = await own_account(services, caller)
    if not await services.accounts.passwords.verify(password, account.password_hash):
        raise Forbidden("The password is wrong.")
    salt = secrets.token_bytes(SALT_BYTES)
    is_proposed = await services.database.run(
        partial(totp.propose, organiser_id=account.organiser.id, salt=salt)
    )
    if not is_proposed:
        raise BadUserInput(
            issue(INPUT, IssueCode.SECOND_FACTOR_ON),
            message="The second factor is on already. Disable it first.",
        )
    secret = _secrets_of(services.secrets, account.organiser, salt)[0]
    name = account.organiser.email
    return pyotp.TOTP(secret, name=name, issuer=ISSUER).provisioning_uri()


async def confirm(services: Services, caller: Caller, code: str) -> Enrolment:
    """Turn the second factor on. Raises Unauthenticated, Forbidden for a wrong code."""
    account, now = await own_account(services, caller), services.clock()
    organiser, salt = account.organiser, account.totp_salt
    step = step_of(services.secrets, account, code, now)
    if salt is None or step is None:
        raise Forbidden(WRONG_CODE)
    codes = tuple(_new_recovery_code() for _ in range(RECOVERY_CODES))

    async def turn_on(connection: Connection) -> None:
        if not await totp.confirm(connection, organiser.id, salt=salt, step=step, now=now):
            raise Forbidden(WRONG_CODE)
        hashes = [_hash_of_recovery_code(code) for code in codes]
        await totp.replace_recovery_codes(connection, organiser.id, hashes)
        await record(connection, caller, AuditAction.ORGANISER_TOTP_ENABLED, organiser.id, at=now)

    await services.database.run(turn_on, repeatable=False)
    log.info("totp_enabled", organiser_id=organiser.id)
    return Enrolment(organiser=replace(organiser, has_totp=True), recovery_codes=codes)


async def disable(services: Services, caller: Caller, code: str) -> OrganiserRecord:
    """Turn it off with a code of either kind. Raises Unauthenticated, Forbidden."""
    account, now = await own_account(services, caller), services.clock()
    organiser = account.organiser

    async def turn_off(connection: Connection) -> None:
        if not await use(connection, services.secrets, account, code, now=now):
            raise Forbidden(WRONG_CODE)
        await totp.disable(connection, organiser.id)
        await record(connection, caller, AuditAction.ORGANISER_TOTP_DISABLED, organiser.id, at=now)

    await services.database.run(turn_off, repeatable=False)
    log.info("totp_disabled", organiser_id=organiser.id)
    return replace(organiser, has_totp=False)


async def own_account(services: Services, caller: Caller) -> OrganiserAccount:
    """Of whoever signed in. Raises Unauthenticated, Forbidden."""
    require_session(caller, Role.VIEWER)
    if caller.organiser_id is None:
        raise Unauthenticated
    account = await services.database.read(
        partial(organisers.find_account, organiser_id=caller.organiser_id)
    )
    if account is None:
        raise Unauthenticated
    return account


async def use(
    connection: Connection, secrets: Secrets, account: OrganiserAccount, code: str, *, now: datetime
) -> bool:
    """Whether the code is right and was not used before; it is used now."""
    if not _CODE.fullmatch(_SPACE.sub("", code)):
        return await totp.use_recovery_code(
            connection, account.organiser.id, _hash_of_recovery_code(code)
        )
    step = step_of(secrets, account, code, now)
    if step is None or account.totp_salt is None:
        return False
    return await totp.use_step(connection, account.organiser.id, salt=account.totp_salt, step=step)


def step_of(secrets: Secrets, account: OrganiserAccount, code: str, now: datetime) -> int | None:
    """The half minute since 1970 whose code this is; None for a code of no time near `now`."""
    if account.totp_salt is None:
        return None
    written = _SPACE.sub("", code)
    current = int(now.timestamp()) // STEP_SECONDS
    for secret in _secrets_of(secrets, account.organiser, account.totp_salt):
        generator = pyotp.TOTP(secret)
        for step in range(current - TOLERANCE_STEPS, current + TOLERANCE_STEPS + 1):
            if is_same(generator.generate_otp(step), written):
                return step
    return None


def _secrets_of(secrets: Secrets, organiser: OrganiserRecord, salt: bytes) -> list[str]:
    """In base 32; that of the service's present secret first."""
    made = derive_keys(secrets, "totp", organiser.id.bytes + salt)
    return [base64.b32encode(one[:SECRET_BYTES]).decode() for one in made]


def _new_recovery_code() -> str:
    """Such as ABCD-EFGH-IJKL-MNOP: 80 random bits."""
    text = base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def _hash_of_recovery_code(code: str) -> bytes:
    """However it is written: small letters, other spaces."""
    return sha256(_SPACE.sub("", code).upper().encode("utf-8", "surrogatepass")).digest()
