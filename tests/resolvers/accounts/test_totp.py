"""The second factor, with codes made by a stand-in authenticator app."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from domain.auth.roles import ANONYMOUS, SYSTEM, Role
from domain.errors.exceptions import BadUserInput, Forbidden, Unauthenticated
from resolvers.accounts import api_tokens, totp
from resolvers.accounts import sessions as accounts
from resolvers.security.secrets import Secrets
from tests.accounts import PASSWORD, new_caller, new_session
from tests.conftest import SECRET

ORGANISER = "SELECT totp_salt, totp_confirmed_at, totp_last_step FROM organiser"
OFF = (None, None, None)


class AuthenticatorApp:
    """An authenticator app that has scanned the QR code."""

    def __init__(self, uri: str, clock) -> None:
        self._totp = pyotp.parse_uri(uri)
        self._clock = clock

    def code(self, seconds: int = 0) -> str:
        """Return the code shown in `seconds` from now."""
        return self._totp.at(self._clock.now + timedelta(seconds=seconds))


@pytest.fixture
async def owner(services):
    return await new_caller(services)


@pytest.fixture
async def phone(services, owner, clock):
    return AuthenticatorApp(await totp.propose(services, owner, PASSWORD), clock)


@pytest.fixture
async def enrolled(services, owner, phone, clock):
    """Recovery codes of an owner who enabled the second factor a minute ago."""
    enrolment = await totp.confirm(services, owner, phone.code())
    clock.advance(minutes=1)
    return enrolment.recovery_codes


async def sign_in(services, code=None, password=PASSWORD):
    return await accounts.sign_in(services, email="owner@example.org", password=password, code=code)


async def session_count(sql) -> int:
    return await sql.fetchval("SELECT count(*) FROM organiser_session")


async def test_secret_is_in_the_uri_but_not_in_the_database(services, owner, sql):
    uri = await totp.propose(services, owner, PASSWORD)

    url, values = urlsplit(uri), parse_qs(urlsplit(uri).query)
    assert (url.scheme, url.netloc, url.path) == (
        "otpauth",
        "totp",
        "/ICCT26:owner%40example.org",
    )
    assert values["issuer"] == ["ICCT26"]
    (secret,) = values["secret"]
    assert len(secret) == 32
    row = await sql.fetchrow("SELECT organiser::text AS row, totp_salt FROM organiser")
    assert secret not in row["row"]
    assert pyotp.TOTP(secret).byte_secret().hex() not in row["row"]


async def test_unconfirmed_proposal_does_not_affect_sign_in(services, phone):
    opened = await sign_in(services)

    assert not opened.organiser.has_totp


async def test_proposal_requires_the_password(services, owner, sql):
    with pytest.raises(Forbidden, match="password is wrong"):
        await totp.propose(services, owner, "another password")

    assert tuple(await sql.fetchrow(ORGANISER)) == OFF


async def test_sign_in_requires_a_confirmed_factor(services, enrolled, phone, sql):
    before = await session_count(sql)

    for code in (None, "", "000000", "12345", "abcdef", "\ud800", "१२३४५६"):
        with pytest.raises(Unauthenticated) as refused:
            await sign_in(services, code)
        assert refused.value.details == {"secondFactorRequired": True}

    assert await session_count(sql) == before
    opened = await sign_in(services, phone.code())
    assert opened.organiser.has_totp


async def test_wrong_password_does_not_reveal_the_second_factor(services, enrolled, phone):
    with pytest.raises(Unauthenticated, match="E-mail or password is wrong") as refused:
        await sign_in(services, phone.code(), password="another password")

    assert refused.value.details == {}
    await sign_in(services, phone.code())


async def test_wrong_code_confirms_nothing(services, owner, phone, sql):
    for code in ("000000", phone.code(90), phone.code(-90)):
        with pytest.raises(Forbidden, match="code is wrong"):
            await totp.confirm(services, owner, code)

    assert (await sql.fetchrow(ORGANISER))["totp_confirmed_at"] is None
    assert await sql.fetchval("SELECT count(*) FROM recovery_code") == 0


async def test_code_is_accepted_once(services, enrolled, phone):
    code = phone.code()
    await sign_in(services, code)

    with pytest.raises(Unauthenticated):
        await sign_in(services, code)


async def test_code_used_for_confirmation_does_not_sign_in(services, owner, phone):
    code = phone.code()
    await totp.confirm(services, owner, code)

    with pytest.raises(Unauthenticated):
        await sign_in(services, code)


async def test_earlier_code_is_refused_after_a_later_one(services, enrolled, phone):
    earlier, later = phone.code(), phone.code(30)
    await sign_in(services, later)

    with pytest.raises(Unauthenticated):
        await sign_in(services, earlier)


async def test_concurrent_sign_ins_with_one_code_succeed_once(services, enrolled, phone, sql):
    before = await session_count(sql)
    code = phone.code()

    results = await asyncio.gather(
        *(sign_in(services, code) for _ in range(4)), return_exceptions=True
    )

    assert sorted(type(end).__name__ for end in results) == [*["SignInFailed"] * 3, "SignInResult"]
    assert await session_count(sql) == before + 1


@pytest.mark.parametrize("seconds", [-30, 0, 30])
async def test_clock_difference_of_one_step_is_accepted(services, enrolled, phone, seconds):
    clock_shows = phone.code(seconds)

    await sign_in(services, f" {clock_shows[:3]} {clock_shows[3:]} ")


@pytest.mark.parametrize("seconds", [-60, 60])
async def test_larger_clock_difference_is_refused(services, enrolled, phone, seconds):
    with pytest.raises(Unauthenticated):
        await sign_in(services, phone.code(seconds))


async def test_refused_sign_in_does_not_use_up_the_code(services, enrolled, phone, sql):
    step = await sql.fetchval("SELECT totp_last_step FROM organiser")

    with pytest.raises(Unauthenticated):
        await sign_in(services, phone.code(), password="another password")

    assert await sql.fetchval("SELECT totp_last_step FROM organiser") == step


async def test_each_recovery_code_is_accepted_once(services, enrolled, sql):
    assert len(set(enrolled)) == 10
    stored = [row["row"] for row in await sql.fetch("SELECT r::text AS row FROM recovery_code r")]
    assert len(stored) == 10
    assert not any(code in row for code in enrolled for row in stored)

    await sign_in(services, enrolled[0])
    await sign_in(services, f" {enrolled[1].lower().replace('-', ' ')}")

    for used in enrolled[:2]:
        with pytest.raises(Unauthenticated):
            await sign_in(services, used)
    assert await sql.fetchval("SELECT count(*) FROM recovery_code") == 8


async def test_recovery_code_of_another_organiser_is_refused(services, enrolled, sql, clock):
    other = await new_caller(services, Role.VIEWER)
    uri = await totp.propose(services, other, PASSWORD)
    await totp.confirm(services, other, AuthenticatorApp(uri, clock).code())

    with pytest.raises(Unauthenticated):
        await accounts.sign_in(
            services, email="viewer@example.org", password=PASSWORD, code=enrolled[0]
        )

    assert await sql.fetchval("SELECT count(*) FROM recovery_code") == 20


async def test_enabled_factor_cannot_be_proposed_again(services, owner, enrolled, sql):
    before = await sql.fetchrow(ORGANISER)

    with pytest.raises(BadUserInput, match="Disable it first"):
        await totp.propose(services, owner, PASSWORD)
    with pytest.raises(Forbidden):
        await totp.confirm(services, owner, "000000")

    assert await sql.fetchrow(ORGANISER) == before


async def test_enabled_factor_cannot_be_confirmed_again(services, owner, enrolled, phone, sql):
    codes = await sql.fetch("SELECT * FROM recovery_code ORDER BY code_hash")

    with pytest.raises(Forbidden):
        await totp.confirm(services, owner, phone.code())

    assert await sql.fetch("SELECT * FROM recovery_code ORDER BY code_hash") == codes


async def test_factor_is_disabled_with_a_code(services, owner, enrolled, phone, sql):
    left = await totp.disable(services, owner, phone.code())

    assert not left.has_totp
    assert tuple(await sql.fetchrow(ORGANISER)) == OFF
    assert await sql.fetchval("SELECT count(*) FROM recovery_code") == 0
    assert not (await sign_in(services)).organiser.has_totp
    events = await sql.fetch(
        "SELECT action FROM audit_event WHERE action LIKE '%totp%' ORDER BY id"
    )
    assert [row["action"] for row in events] == [
        "organiser.totp_enabled",
        "organiser.totp_disabled",
    ]


async def test_factor_is_disabled_with_a_recovery_code(services, owner, enrolled):
    left = await totp.disable(services, owner, enrolled[3])

    assert not left.has_totp
    assert not (await sign_in(services)).organiser.has_totp


async def test_factor_is_not_disabled_by_a_wrong_code(services, owner, enrolled, phone, sql):
    used = phone.code()
    await sign_in(services, used)
    before = await sql.fetchrow(ORGANISER)

    for code in ("", "000000", used):
        with pytest.raises(Forbidden):
            await totp.disable(services, owner, code)

    assert await sql.fetchrow(ORGANISER) == before
    assert await sql.fetchval("SELECT count(*) FROM recovery_code") == 10


async def test_codes_stay_valid_while_the_secret_is_rotated(services, enrolled, phone):
    changed = replace(services, secrets=Secrets(current="another" * 9, previous=SECRET))
    later = replace(services, secrets=Secrets(current="another" * 9))

    await sign_in(changed, phone.code())
    with pytest.raises(Unauthenticated):
        await sign_in(later, phone.code(30))
    await sign_in(later, enrolled[0])


async def test_api_token_cannot_manage_the_second_factor(services, owner):
    created = await api_tokens.create(services, owner, name="x", role=Role.OWNER, days=1)
    script = await accounts.authenticate(services, created.token)

    for attempt in (
        totp.propose(services, script, PASSWORD),
        totp.confirm(services, script, "000000"),
        totp.disable(services, script, "000000"),
    ):
        with pytest.raises(Forbidden):
            await attempt


@pytest.mark.parametrize("found", [ANONYMOUS, SYSTEM])
async def test_anonymous_caller_is_refused(services, found):
    with pytest.raises(Unauthenticated):
        await totp.propose(services, found, PASSWORD)


async def test_deleted_account_is_refused(services, sql):
    caller = await accounts.authenticate(services, (await new_session(services)).token)
    await sql.execute("DELETE FROM organiser")

    with pytest.raises(Unauthenticated):
        await totp.propose(services, caller, PASSWORD)
    with pytest.raises(Unauthenticated):
        await accounts.current_organiser(services, caller)
