"""Sign-in, sign-out, and the lifetime of sessions."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from argon2 import PasswordHasher

from domain.auth.roles import ANONYMOUS, SYSTEM, CallerKind, Role
from domain.errors.exceptions import Forbidden, NotFound, Unauthenticated
from resolvers.accounts import api_tokens
from resolvers.accounts import sessions as accounts
from resolvers.accounts.passwords import Passwords
from resolvers.accounts.tokens import TokenKind, new_token
from tests.accounts import PASSWORD, new_caller, new_organiser, new_session

ACTIONS = "SELECT action FROM audit_event ORDER BY id"


class CountingHasher(PasswordHasher):
    """The real hasher, recording the hashes that it verifies."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified: list[str] = []

    def verify(self, hash, password):
        self.verified.append(hash)
        return super().verify(hash, password)


@pytest.fixture
def hasher():
    return CountingHasher()


@pytest.fixture
def counted_services(services, hasher):
    return replace(services, accounts=replace(services.accounts, passwords=Passwords(hasher)))


async def whole_database(sql) -> str:
    """Return every row of every table as text."""
    tables = await sql.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [
        await sql.fetch(f"SELECT t::text AS row FROM {table['tablename']} t") for table in tables
    ]
    return "\n".join(row["row"] for result in rows for row in result)


async def session_count(sql) -> int:
    return await sql.fetchval("SELECT count(*) FROM organiser_session")


async def test_session_token_authenticates_the_organiser(services, sql, clock):
    created = await new_organiser(services, Role.REVIEWER)

    opened = await accounts.sign_in(services, email=" Reviewer@Example.ORG ", password=PASSWORD)
    caller = await accounts.authenticate(services, opened.token)

    assert opened.organiser == replace(created, last_sign_in_at=clock.now)
    assert opened.session.expires_at == clock.now + timedelta(days=7)
    assert (caller.kind, caller.organiser_id, caller.role, caller.session_id) == (
        CallerKind.ORGANISER,
        created.id,
        Role.REVIEWER,
        opened.session.id,
    )
    assert await accounts.current_organiser(services, caller) == opened.organiser
    assert [row["action"] for row in await sql.fetch(ACTIONS)] == [
        "organiser.created",
        "organiser.signed_in",
    ]
    event = await sql.fetchrow("SELECT * FROM audit_event WHERE action = 'organiser.signed_in'")
    assert event["actor"] == f"organiser:{created.id.hex}"
    assert event["changes"] == f'{{"organiser": "{created.id.hex}"}}'


async def test_database_holds_no_tokens_or_passwords(services, sql):
    opened = await new_session(services)
    caller = await accounts.authenticate(services, opened.token)
    created = await api_tokens.create(services, caller, name="export", role=Role.VIEWER, days=1)

    stored = await whole_database(sql)

    assert opened.token.startswith("ics_")
    assert created.token.startswith("ict_")
    for secret in (opened.token, created.token):
        assert len(secret) == 47
        assert secret not in stored
        assert secret[4:] not in stored
        assert secret.encode().hex() not in stored
    assert PASSWORD not in stored
    assert "owner@example.org" in stored


REFUSED = [
    ("owner@example.org", "another password"),
    ("owner@example.org", ""),
    ("owner@example.org", "\ud800"),
    ("nobody@example.org", PASSWORD),
    ("no address", PASSWORD),
    ("\ud800", PASSWORD),
    (None, PASSWORD),
    (7, PASSWORD),
]


@pytest.mark.parametrize(("email", "password"), REFUSED)
async def test_every_failed_sign_in_has_the_same_error_and_work(
    counted_services, hasher, sql, email, password
):
    await new_organiser(counted_services)

    with pytest.raises(Unauthenticated) as refused:
        await accounts.sign_in(counted_services, email=email, password=password)

    assert refused.value.message == "E-mail or password is wrong."
    assert refused.value.details == {}
    (verified,) = hasher.verified
    assert verified.rpartition("$")[0].rpartition("$")[0] == "$argon2id$v=19$m=8,t=1,p=1"
    assert len(verified) == len(hasher.hash(PASSWORD))
    assert await session_count(sql) == 0
    assert await sql.fetchval("SELECT last_sign_in_at FROM organiser") is None


async def test_successful_sign_in_verifies_one_hash(counted_services, hasher):
    await new_organiser(counted_services)

    await accounts.sign_in(counted_services, email="owner@example.org", password=PASSWORD)

    assert len(hasher.verified) == 1


async def test_equivalent_unicode_forms_of_a_password_match(services, sql):
    await new_organiser(services)
    await sql.execute(
        "UPDATE organiser SET password_hash = $1",
        await services.accounts.passwords.hash("caf\u00e9 au lait please"),
    )

    opened = await accounts.sign_in(
        services, email="owner@example.org", password="cafe\u0301 au lait please"
    )

    assert opened.organiser.role == Role.OWNER


async def test_password_changed_during_verification_is_refused(services, sql):
    await new_organiser(services)
    checked = services.accounts.passwords

    class Overtaken(Passwords):
        async def verify(self, password, password_hash):
            result = await checked.verify(password, password_hash)
            await sql.execute("UPDATE organiser SET password_hash = 'another'")
            return result

    overtaken = replace(services.accounts, passwords=Overtaken(PasswordHasher()))
    with pytest.raises(Unauthenticated):
        await accounts.sign_in(
            replace(services, accounts=overtaken), email="owner@example.org", password=PASSWORD
        )

    assert await session_count(sql) == 0


async def test_at_most_two_hashes_are_verified_at_once(services):
    at_work: list[int] = []
    running = 0

    class Watched(PasswordHasher):
        def verify(self, hash, password):
            nonlocal running
            running += 1
            at_work.append(running)
            try:
                return super().verify(hash, password)
            finally:
                running -= 1

    passwords = Passwords(Watched(time_cost=4, memory_cost=16_384, parallelism=1))
    right = await asyncio.gather(*(passwords.verify(PASSWORD, None) for _ in range(8)))

    assert right == [False] * 8
    assert max(at_work) <= 2


async def test_session_ends_after_the_idle_timeout(services, clock):
    opened = await new_session(services)

    clock.advance(hours=12, seconds=-1)
    assert (await accounts.authenticate(services, opened.token)).role == Role.OWNER
    clock.advance(hours=12, seconds=-1)
    assert (await accounts.authenticate(services, opened.token)).role == Role.OWNER
    clock.advance(hours=12)

    with pytest.raises(Unauthenticated, match="has ended"):
        await accounts.authenticate(services, opened.token)


async def test_used_session_ends_after_seven_days(services, clock):
    opened = await new_session(services)

    for _ in range(7 * 24 - 1):
        clock.advance(hours=1)
        await accounts.authenticate(services, opened.token)
    clock.advance(hours=1)

    with pytest.raises(Unauthenticated, match="has ended"):
        await accounts.authenticate(services, opened.token)


async def test_last_use_is_written_once_a_minute(services, clock, sql):
    opened, began = await new_session(services), clock.now
    written = []

    for seconds in (0, 59, 1, 59, 1):
        clock.advance(seconds=seconds)
        await accounts.authenticate(services, opened.token)
        written.append(await sql.fetchval("SELECT last_used_at FROM organiser_session"))

    later = [began + timedelta(minutes=minutes) for minutes in (0, 0, 1, 1, 2)]
    assert written == later


@pytest.mark.parametrize(
    "token",
    ["", "ics_", "ics_" + "a" * 42, "ics_" + "a" * 44, "icx_" + "a" * 43, "ics_" + "a" * 42 + "\n",
     "\ud800", *(new_token(kind) for kind in TokenKind)],
    ids=range(7 + len(TokenKind)),
)  # fmt: skip
async def test_unknown_tokens_are_refused(services, token):
    await new_session(services)

    with pytest.raises(Unauthenticated, match="unknown"):
        await accounts.authenticate(services, token)


async def test_sign_out_ends_only_the_current_session(services, sql):
    first = await new_session(services)
    second = await accounts.sign_in(services, email="owner@example.org", password=PASSWORD)

    left = await accounts.sign_out(services, await accounts.authenticate(services, first.token))

    assert left is not None
    assert left.email == "owner@example.org"
    with pytest.raises(Unauthenticated):
        await accounts.authenticate(services, first.token)
    assert (await accounts.authenticate(services, second.token)).session_id == second.session.id
    actions = [row["action"] for row in await sql.fetch(ACTIONS)]
    assert actions[-1] == "organiser.signed_out"


async def test_sign_out_everywhere_ends_all_own_sessions(services, sql):
    first = await new_session(services)
    await accounts.sign_in(services, email="owner@example.org", password=PASSWORD)
    other = await new_session(services, Role.VIEWER)

    await accounts.sign_out(
        services, await accounts.authenticate(services, first.token), everywhere=True
    )

    assert await sql.fetchval("SELECT id FROM organiser_session") == other.session.id
    assert await session_count(sql) == 1


async def test_anonymous_sign_out_does_nothing(services, sql):
    assert await accounts.sign_out(services, ANONYMOUS) is None
    assert await sql.fetch(ACTIONS) == []


async def test_active_sessions_are_listed_newest_first(services, clock):
    first = await new_session(services)
    clock.advance(hours=6)
    second = await accounts.sign_in(services, email="owner@example.org", password=PASSWORD)
    caller = await accounts.authenticate(services, second.token)

    assert await accounts.list_sessions(services, caller) == [
        second.session,
        replace(first.session),
    ]
    clock.advance(hours=7)
    assert await accounts.list_sessions(services, caller) == [second.session]


async def test_owner_lists_and_revokes_sessions_of_others(services):
    owner = await new_caller(services)
    other = await new_session(services, Role.VIEWER)

    listed = await accounts.list_sessions(services, owner, other.organiser.id)
    revoked = await accounts.revoke_session(services, owner, other.session.id)

    assert listed == [other.session]
    assert revoked == other.session
    with pytest.raises(Unauthenticated):
        await accounts.authenticate(services, other.token)


@pytest.mark.parametrize("role", [Role.REVIEWER, Role.VIEWER])
async def test_lower_roles_manage_only_their_own_sessions(services, sql, role):
    owner = await new_session(services)
    caller = await new_caller(services, role)
    own = caller.session_id
    assert own is not None

    with pytest.raises(Forbidden):
        await accounts.list_sessions(services, caller, owner.organiser.id)
    with pytest.raises(NotFound):
        await accounts.revoke_session(services, caller, owner.session.id)
    assert await session_count(sql) == 2

    await accounts.revoke_session(services, caller, own)
    assert await sql.fetchval("SELECT id FROM organiser_session") == owner.session.id


async def test_system_caller_has_no_account(services):
    with pytest.raises(Forbidden):
        await accounts.current_organiser(services, SYSTEM)
    with pytest.raises(Forbidden):
        await accounts.list_sessions(services, SYSTEM)


def test_spellings_of_an_email_share_one_account_key():
    keys = {accounts.account_key(text) for text in ("Owner@Example.org", " owner@example.org ")}

    assert len(keys) == 1
    assert "owner" not in keys.pop()
    assert accounts.account_key("no address") != accounts.account_key("another")
    assert len(accounts.account_key("\ud800")) == 64
