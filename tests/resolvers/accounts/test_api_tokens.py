"""Creation, use and revocation of API tokens."""

from datetime import timedelta

import pytest

from domain.auth.roles import ANONYMOUS, Role
from domain.errors.exceptions import Forbidden, InvalidForm, NotFound, Unauthenticated
from resolvers.accounts import api_tokens, organisers
from resolvers.accounts import sessions as accounts
from tests.accounts import PASSWORD, new_caller


async def token_count(sql) -> int:
    return await sql.fetchval("SELECT count(*) FROM api_token")


@pytest.mark.parametrize(
    ("own", "allowed"),
    [
        (Role.OWNER, list(Role)),
        (Role.REVIEWER, [Role.REVIEWER, Role.VIEWER]),
        (Role.VIEWER, [Role.VIEWER]),
    ],
)
async def test_token_role_is_at_most_the_creators_role(services, sql, own, allowed):
    maker = await new_caller(services, own)

    for role in allowed:
        created = await api_tokens.create(services, maker, name="export", role=role, days=1)
        script = await accounts.authenticate(services, created.token)
        assert (script.organiser_id, script.role, script.session_id) == (
            maker.organiser_id,
            role,
            None,
        )
    for role in set(Role) - set(allowed):
        with pytest.raises(Forbidden):
            await api_tokens.create(services, maker, name="export", role=role, days=1)

    assert await token_count(sql) == len(allowed)


async def test_token_expires_after_its_days(services, clock):
    maker = await new_caller(services)
    created = await api_tokens.create(services, maker, name="export", role=Role.VIEWER, days=2)

    assert created.record.expires_at == clock.now + timedelta(days=2)
    clock.advance(days=2, seconds=-1)
    await accounts.authenticate(services, created.token)
    clock.advance(seconds=1)
    with pytest.raises(Unauthenticated, match="has ended"):
        await accounts.authenticate(services, created.token)


async def test_last_use_is_written_once_a_minute(services, clock, sql):
    maker, began = await new_caller(services), clock.now
    created = await api_tokens.create(services, maker, name="export", role=Role.VIEWER, days=2)
    written = [await sql.fetchval("SELECT last_used_at FROM api_token")]

    for seconds in (0, 59, 1):
        clock.advance(seconds=seconds)
        await accounts.authenticate(services, created.token)
        written.append(await sql.fetchval("SELECT last_used_at FROM api_token"))

    assert written == [None, began, began, began + timedelta(minutes=1)]


@pytest.mark.parametrize("days", [0, -1, 366, 10**9])
async def test_lifetime_outside_1_to_365_days_is_refused(services, sql, days):
    maker = await new_caller(services)

    with pytest.raises(InvalidForm) as refusal:
        await api_tokens.create(services, maker, name="", role=Role.VIEWER, days=days)

    assert [(issue.pointer, issue.code, issue.params) for issue in refusal.value.issues] == [
        ("/input/name", "TEXT_REQUIRED", {}),
        ("/input/expiresInDays", "NUMBER_OUT_OF_RANGE", {"min": 1, "max": 365}),
    ]

    assert await token_count(sql) == 0


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "TEXT_REQUIRED"),
        ("   ", "TEXT_REQUIRED"),
        ("\u202a\u2066\ufeff", "TEXT_REQUIRED"),
        ("x" * 81, "NAME_TOO_LONG"),
        ("a\nb", "TEXT_CHARACTERS"),
        ("a\0b", "TEXT_CHARACTERS"),
        ("\ud800", "TEXT_CHARACTERS"),
        ("2345 6789 0124", "IDENTITY_NUMBER_NOT_ALLOWED"),
    ],
)
async def test_invalid_name_is_refused(services, sql, name, code):
    maker = await new_caller(services)

    with pytest.raises(InvalidForm) as refusal:
        await api_tokens.create(services, maker, name=name, role=Role.VIEWER, days=1)

    assert [(issue.pointer, issue.code) for issue in refusal.value.issues] == [
        ("/input/name", code)
    ]

    assert await token_count(sql) == 0


async def test_revoked_token_ends_at_once(services, sql):
    maker = await new_caller(services)
    created = await api_tokens.create(services, maker, name="  export ", role=Role.VIEWER, days=1)
    other = await api_tokens.create(services, maker, name="other", role=Role.VIEWER, days=1)

    revoked = await api_tokens.revoke(services, maker, created.record.id)

    assert revoked == created.record
    assert revoked.name == "export"
    with pytest.raises(Unauthenticated):
        await accounts.authenticate(services, created.token)
    assert await api_tokens.list_tokens(services, maker) == [other.record]
    events = await sql.fetch("SELECT action FROM audit_event WHERE action LIKE 'api_token%'")
    assert sorted(row["action"] for row in events) == [
        "api_token.created",
        "api_token.created",
        "api_token.revoked",
    ]


async def test_only_an_owner_lists_and_revokes_tokens_of_others(services, sql):
    owner, viewer = await new_caller(services), await new_caller(services, Role.VIEWER)
    own = await api_tokens.create(services, owner, name="own", role=Role.OWNER, days=1)
    other = await api_tokens.create(services, viewer, name="other", role=Role.VIEWER, days=1)

    with pytest.raises(Forbidden):
        await api_tokens.list_tokens(services, viewer, owner.organiser_id)
    with pytest.raises(NotFound):
        await api_tokens.revoke(services, viewer, own.record.id)
    assert await token_count(sql) == 2

    assert await api_tokens.list_tokens(services, owner, viewer.organiser_id) == [other.record]
    await api_tokens.revoke(services, owner, other.record.id)
    assert await api_tokens.list_tokens(services, owner) == [own.record]


async def test_api_token_cannot_manage_credentials_or_accounts(services, sql):
    owner = await new_caller(services)
    created = await api_tokens.create(services, owner, name="own", role=Role.OWNER, days=1)
    script = await accounts.authenticate(services, created.token)

    for attempt in (
        api_tokens.create(services, script, name="more", role=Role.VIEWER, days=1),
        api_tokens.revoke(services, script, created.record.id),
        accounts.revoke_session(services, script, owner.session_id),
        accounts.sign_out(services, script, everywhere=True),
        organisers.invite(services, script, email="x@example.org", role=Role.VIEWER),
        organisers.set_role(services, script, owner.organiser_id, Role.OWNER),
        organisers.reset_password(services, script, email="owner@example.org", password=PASSWORD),
    ):
        with pytest.raises(Forbidden, match="API token"):
            await attempt

    assert await token_count(sql) == 1
    assert await sql.fetchval("SELECT count(*) FROM organiser_session") == 1
    assert await api_tokens.list_tokens(services, script) != []


async def test_anonymous_caller_is_refused(services):
    with pytest.raises(Unauthenticated):
        await api_tokens.create(services, ANONYMOUS, name="x", role=Role.VIEWER, days=1)
    with pytest.raises(Unauthenticated):
        await api_tokens.list_tokens(services, ANONYMOUS)
