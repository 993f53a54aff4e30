"""Codes of an authenticator application, which the tests make as such an application does."""

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


class Phone:
    """An authenticator application that has read the QR code."""

    def __init__(self, uri: str, clock) -> None:
        self._totp = pyotp.parse_uri(uri)
        self._clock = clock

    def code(self, seconds: int = 0) -> str:
        """What it shows in `seconds` from now."""
        return self._totp.at(self._clock.now + timedelta(seconds=seconds))


@pytest.fixture
async def owner(services):
    return await new_caller(services)


@pytest.fixture
async def phone(services, owner, clock):
    return Phone(await totp.propose(services, owner, PASSWORD), clock)


@pytest.fixture
async def enrolled(services, owner, phone, clock):
    """The recovery codes of an owner whose second factor is on, a minute ago."""
    enrolment = await totp.confirm(services, owner, phone.code())
    clock.advance(minutes=1)
    return enrolment.recovery_codes


async def sign_in(services, code=None, password=PASSWORD):
    return await accounts.sign_in(services, email="owner@example.org", password=password, code=code)


async def sessions(sql) -> int:
    return await sql.fetchval("SELECT count(*) FROM organiser_session")


async def test_secret_is_for_applications_and_not_in_the_database(services, owner, sql):
    uri = await totp.propose(services, owner, PASSWORD)

    parts, values = urlsplit(uri), parse_qs(urlsplit(uri).query)
    assert (parts.scheme, parts.netloc, parts.path) == (
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


async def test_proposal_alone_changes_nothing_about_signing_in(services, phone):
    opened = await sign_in(services)

    assert not opened.organiser.has_totp


async def test_proposal_needs_the_password_of_whoever_sits_there(services, owner, sql):
    with pytest.raises(Forbidden, match="password is wrong"):
        await totp.propose(services, owner, "another password")

    assert tuple(await sql.fetchrow(ORGANISER)) == OFF


async def test_confirmed_factor_is_asked_for(services, enrolled, phone, sql):
    before = await sessions(sql)

    for code in (None, "", "000000", "12345", "abcdef", "\ud800", "१२३४५६"):
        with pytest.raises(Unauthenticated) as refused:
            await sign_in(services, code)
        assert refused.value.details == {"secondFactorRequired": True}

    assert await sessions(sql) == before
    opened = await sign_in(services, phone.code())
    assert opened.organiser.has_totp


async def test_wrong_password_is_answered_as_without_a_second_factor(services, enrolled, phone):
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


async def test_code_is_good_once(services, enrolled, phone):
    code = phone.code()
    await sign_in(services, code)

    with pytest.raises(Unauthenticated):
        await sign_in(services, code)


async def test_code_that_confirmed_the_factor_does_not_sign_in(services, owner, phone):
    code = phone.code()
    await totp.confirm(services, owner, code)

    with pytest.raises(Unauthenticated):
        await sign_in(services, code)


async def test_earlier_code_is_void_once_a_later_one_was_used(services, enrolled, phone):
    earlier, later = phone.code(), phone.code(30)
    await sign_in(services, later)

    with pytest.raises(Unauthenticated):
        await sign_in(services, earlier)


async def test_code_that_is_sent_twice_at_once_signs_in_once(services, enrolled, phone, sql):
    before = await sessions(sql)
    code = phone.code()

    ends = await asyncio.gather(
        *(sign_in(services, code) for _ in range(4)), return_exceptions=True
    )

    assert sorted(type(end).__name__ for end in ends) == [*["SignInFailed"] * 3, "SignInResult"]
    assert await sessions(sql) == before + 1


@pytest.mark.parametrize("seconds", [-30, 0, 30])
async def test_clocks_may_differ_by_one_step(services, enrolled, phone, seconds):
    clock_shows = phone.code(seconds)

    await sign_in(services, f" {clock_shows[:3]} {clock_shows[3:]} ")


@pytest.mark.parametrize("seconds", [-60, 60])
async def test_clocks_may_not_differ_by_more(services, enrolled, phone, seconds):
    with pytest.raises(Unauthenticated):
        await sign_in(services, phone.code(seconds))


async def test_refused_sign_in_does_not_use_the_code_up(services, enrolled, phone, sql):
    step = await sql.fetchval("SELECT totp_last_step FROM organiser")

    with pytest.raises(Unauthenticated):
        await sign_in(services, phone.code(), password="another password")

    assert await sql.fetchval("SELECT totp_last_step FROM organiser") == step


async def test_each_recovery_code_is_good_once(services, enrolled, sql):
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


async def test_recovery_code_of_another_organiser_is_worth_nothing(services, enrolled, sql, clock):
    other = await new_caller(services, Role.VIEWER)
    uri = await totp.propose(services, other, PASSWORD)
    await totp.confirm(services, other, Phone(uri, clock).code())

    with pytest.raises(Unauthenticated):
        await accounts.sign_in(
            services, email="viewer@example.org", password=PASSWORD, code=enrolled[0]
        )

    assert await sql.fetchval("SELECT count(*) FROM recovery_code") == 20


async def test_factor_that_is_on_is_not_proposed_again(services, owner, enrolled, sql):
    before = await sql.fetchrow(ORGANISER)

    with pytest.raises(BadUserInput, match="Disable it first"):
        await totp.propose(services, owner, PASSWORD)
    with pytest.raises(Forbidden):
        await totp.confirm(services, owner, "000000")

    assert await sql.fetchrow(ORGANISER) == before


async def test_factor_that_is_on_is_not_confirmed_again(services, owner, enrolled, phone, sql):
    codes = await sql.fetch("SELECT * FROM recovery_code ORDER BY code_hash")

    with pytest.raises(Forbidden):
        await totp.confirm(services, owner, phone.code())

    assert await sql.fetch("SELECT * FROM recovery_code ORDER BY code_hash") == codes


async def test_factor_is_turned_off_with_a_code(services, owner, enrolled, phone, sql):
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


async def test_factor_is_turned_off_with_a_recovery_code(services, owner, enrolled):
    left = await totp.disable(services, owner, enrolled[3])

    assert not left.has_totp
    assert not (await sign_in(services)).organiser.has_totp


async def test_factor_is_not_turned_off_without_a_code(services, owner, enrolled, phone, sql):
    used = phone.code()
    await sign_in(services, used)
    before = await sql.fetchrow(ORGANISER)

    for code in ("", "000000", used):
        with pytest.raises(Forbidden):
            await totp.disable(services, owner, code)

    assert await sql.fetchrow(ORGANISER) == before
    assert await sql.fetchval("SELECT count(*) FROM recovery_code") == 10


async def test_codes_stay_good_while_the_secret_of_the_service_is_changed(
    services, enrolled, phone
):
    changed = replace(services, secrets=Secrets(current="another" * 9, previous=SECRET))
    later = replace(services, secrets=Secrets(current="another" * 9))

    await sign_in(changed, phone.code())
    with pytest.raises(Unauthenticated):
        await sign_in(later, phone.code(30))
    await sign_in(later, enrolled[0])


async def test_script_leaves_the_second_factor_alone(services, owner):
    made = await api_tokens.create(services, owner, name="x", role=Role.OWNER, days=1)
    script = await accounts.authenticate(services, made.token)

    for attempt in (
        totp.propose(services, script, PASSWORD),
        totp.confirm(services, script, "000000"),
        totp.disable(services, script, "000000"),
    ):
        with pytest.raises(Forbidden):
            await attempt


@pytest.mark.parametrize("found", [ANONYMOUS, SYSTEM])
async def test_nobody_has_no_second_factor(services, found):
    with pytest.raises(Unauthenticated):
        await totp.propose(services, found, PASSWORD)


async def test_account_that_is_gone_has_no_second_factor(services, sql):
    found = await accounts.authenticate(services, (await new_session(services)).token)
    await sql.execute("DELETE FROM organiser")

    with pytest.raises(Unauthenticated):
        await totp.propose(services, found, PASSWORD)
    with pytest.raises(Unauthenticated):
        await accounts.current_organiser(services, found)
