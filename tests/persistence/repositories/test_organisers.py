"""Repositories of organisers, sessions, API tokens and the second factor; constraints."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID

import asyncpg
import pytest

from domain.auth.roles import Caller, CallerKind, Role
from persistence import lookups
from persistence.ids import new_id
from persistence.models import Organiser
from persistence.records import ApiTokenRecord, Credential, OrganiserRecord, SessionRecord

HASH = b"h" * 32
SALT = b"s" * 16
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
LAST_USES = """
    SELECT organiser_session.last_used_at AS session, api_token.last_used_at AS token
    FROM organiser_session, api_token
"""
SAME_EMAIL = """
    INSERT INTO organiser (id, email, role, created_at)
    SELECT gen_random_uuid(), email, role, created_at FROM organiser
"""
CHIEF_TOKEN = """
    INSERT INTO api_token SELECT gen_random_uuid(), id, 'x', 'CHIEF', 'h', now(), now()
    FROM organiser
"""


@pytest.fixture
async def owner(database, clock) -> OrganiserRecord:
    return await add(database, clock, "owner@example.org")


async def add(database, clock, email: str) -> OrganiserRecord:
    organiser = await database.run(
        lambda uow: uow.organisers.add(
            email=email, role=Role.OWNER, password_hash="hash", now=clock.now
        )
    )
    assert organiser is not None
    return organiser


def new_session(organiser: OrganiserRecord, clock) -> SessionRecord:
    return SessionRecord(
        id=new_id(),
        organiser_id=organiser.id,
        created_at=clock.now,
        last_used_at=clock.now,
        expires_at=clock.now + 2 * HOUR,
    )


def new_api_token(organiser: OrganiserRecord, clock) -> ApiTokenRecord:
    return ApiTokenRecord(
        id=new_id(),
        organiser_id=organiser.id,
        name="export",
        role=Role.VIEWER,
        created_at=clock.now,
        expires_at=clock.now + 3 * HOUR,
        last_used_at=None,
    )


async def add_session(database, session: SessionRecord) -> None:
    async def work(uow):
        uow.sessions.add(session, token_hash=HASH)

    await database.run(work)


async def add_api_token(database, token: ApiTokenRecord) -> None:
    async def work(uow):
        uow.api_tokens.add(token, token_hash=HASH)

    await database.run(work)


async def test_added_organiser_is_found(database, clock, owner):
    assert owner == OrganiserRecord(
        id=owner.id,
        email="owner@example.org",
        role=Role.OWNER,
        has_totp=False,
        created_at=clock.now,
        last_sign_in_at=None,
    )
    assert await database.read(lambda uow: uow.organisers.find(organiser_id=owner.id)) == owner

    def by_email(uow):
        return uow.organisers.find_account_by_email(email="owner@example.org")

    account = await database.read(by_email)
    assert (account.organiser, account.password_hash, account.totp_salt) == (owner, "hash", None)


async def test_unknown_organiser_is_none_in_every_statement(database, owner, clock):
    unknown_id = UUID(int=1)

    assert await database.read(lambda uow: uow.organisers.find(organiser_id=unknown_id)) is None
    for work in (
        lambda uow: uow.organisers.find_account_by_email(email="OWNER@example.org"),
        lambda uow: uow.organisers.find_invitation(HASH, now=clock.now),
        lambda uow: uow.organisers.set_password(email="x@example.org", password_hash="x"),
        lambda uow: uow.organisers.set_role(organiser_id=unknown_id, role=Role.VIEWER),
        lambda uow: uow.organisers.record_sign_in(
            organiser_id=owner.id, password_hash="x", now=clock.now
        ),
    ):
        assert await database.run(work) is None


async def test_changed_organiser_is_returned_as_stored(database, owner, sql):
    async def change(uow):
        loaded = await uow.session.get(Organiser, owner.id)
        await sql.execute("UPDATE organiser SET email = 'new@example.org'")
        return loaded.email, await uow.organisers.set_role(owner.id, Role.VIEWER)

    assert await database.run(change) == (
        "owner@example.org",
        replace(owner, email="new@example.org", role=Role.VIEWER),
    )


async def test_owners_who_can_sign_in_are_locked_until_the_commit(database, clock, owner):
    await database.run(
        lambda uow: uow.organisers.invite(
            email="new@example.org",
            role=Role.OWNER,
            invitation_hash=HASH,
            expires_at=clock.now,
            now=clock.now,
        )
    )
    order: list[str] = []
    locked, released = asyncio.Event(), asyncio.Event()

    async def first(uow):
        assert await uow.organisers.lock_owners() == {owner.id}
        locked.set()
        await released.wait()
        await uow.organisers.set_role(owner.id, Role.VIEWER)
        order.append("first")

    async def second(uow):
        owner_ids = await uow.organisers.lock_owners()
        order.append("second")
        return owner_ids

    first_task = asyncio.create_task(database.run(first))
    await locked.wait()
    second_task = asyncio.create_task(database.run(second))
    released.set()

    await first_task
    assert await second_task == set()
    assert order == ["first", "second"]


async def test_session_is_found_by_its_hash(database, clock, owner):
    session = new_session(owner, clock)
    await add_session(database, session)

    credential = await lookups.find_session(database, HASH)

    assert credential == Credential(
        id=session.id,
        caller=Caller(
            kind=CallerKind.ORGANISER,
            organiser_id=owner.id,
            role=owner.role,
            session_id=session.id,
        ),
        expires_at=session.expires_at,
        last_used_at=session.last_used_at,
    )
    assert await lookups.find_session(database, b"x" * 32) is None


async def test_last_use_is_never_set_back_and_written_once_a_minute(database, clock, owner, sql):
    session, token = new_session(owner, clock), new_api_token(owner, clock)
    await add_session(database, session)
    await add_api_token(database, token)
    written = []

    for seconds in (0, 59, 60, 119, 300, 180, 360):
        times = {"now": clock.now + timedelta(seconds=seconds), "precision": MINUTE}
        await database.run(lambda uow, times=times: uow.sessions.touch(session.id, **times))
        await database.run(lambda uow, times=times: uow.api_tokens.touch(token.id, **times))
        row = await sql.fetchrow(LAST_USES)
        assert row["session"] == row["token"]
        written.append((row["session"] - clock.now).total_seconds())

    assert written == [0, 0, 60, 60, 300, 300, 360]


@pytest.mark.parametrize("name", ["session", "token"])
async def test_second_of_concurrent_uses_is_not_written(database, clock, owner, sql, name):
    session, token = new_session(owner, clock), new_api_token(owner, clock)
    await add_session(database, session)
    await add_api_token(database, token)
    written, released = asyncio.Event(), asyncio.Event()

    async def touch(uow, now):
        if name == "session":
            await uow.sessions.touch(session.id, now=now, precision=MINUTE)
        else:
            await uow.api_tokens.touch(token.id, now=now, precision=MINUTE)

    async def first(uow):
        await touch(uow, clock.now + MINUTE)
        written.set()
        await released.wait()

    first_task = asyncio.create_task(database.run(first))
    await written.wait()
    later = clock.now + MINUTE + timedelta(seconds=1)
    second_task = asyncio.create_task(database.run(partial(touch, now=later)))
    released.set()
    await asyncio.gather(first_task, second_task)

    row = await sql.fetchrow(LAST_USES)
    assert row[name] == clock.now + MINUTE


async def test_session_is_deleted_once(database, clock, owner):
    session = new_session(owner, clock)
    await add_session(database, session)

    def delete(uow):
        return uow.sessions.delete(session.id, organiser_id=None)

    deleted = await asyncio.gather(*(database.run(delete) for _ in range(3)))

    assert sorted(deleted, key=str) == [None, None, session]


async def test_expired_sessions_and_tokens_are_deleted(database, clock, owner, sql):
    session = new_session(owner, clock)
    token = new_api_token(owner, clock)
    await add_session(database, session)
    await add_api_token(database, token)
    deleted = []

    async def delete_expired(uow, now):
        return (
            await uow.sessions.delete_expired(now=now, idle_since=clock.now - HOUR),
            await uow.api_tokens.delete_expired(now=now),
        )

    for hours in (0, 2, 3):
        now = clock.now + hours * HOUR
        deleted.append(await database.run(partial(delete_expired, now=now)))

    assert deleted == [(0, 0), (1, 0), (0, 1)]
    assert await sql.fetchval("SELECT count(*) FROM organiser") == 1


async def test_totp_code_of_the_same_or_an_earlier_step_is_rejected(database, clock, owner):
    def propose(uow):
        return uow.organisers.propose_totp(owner.id, salt=SALT)

    def confirm(uow):
        return uow.organisers.confirm_totp(owner.id, salt=SALT, step=7, now=clock.now)

    def use(step, salt=SALT):
        return lambda uow: uow.organisers.use_totp_step(owner.id, salt=salt, step=step)

    assert not await database.run(use(1))
    assert await database.run(propose)
    assert not await database.run(use(8))
    assert await database.run(confirm)
    assert not await database.run(confirm)
    assert not await database.run(propose)
    assert not await database.run(use(8, b"another salt"))
    used = [await database.run(use(step)) for step in (7, 8, 8, 6, 10, 9)]
    assert used == [False, True, False, False, True, False]


async def test_recovery_codes_belong_to_one_organiser(database, clock, owner, sql):
    other = await add(database, clock, "other@example.org")
    for organiser in (owner, other):
        await database.run(
            lambda uow, organiser_id=organiser.id: uow.organisers.replace_recovery_codes(
                organiser_id, hashes=[HASH, b"x" * 32]
            )
        )

    def use(uow):
        return uow.organisers.use_recovery_code(owner.id, HASH)

    assert [await database.run(use) for _ in range(2)] == [True, False]
    assert not await database.run(lambda uow: uow.organisers.disable_totp(owner.id))
    rows = await sql.fetch("SELECT organiser_id FROM recovery_code")
    assert [row["organiser_id"] for row in rows] == [other.id, other.id]


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("UPDATE organiser SET role = 'CHIEF'", "ck_organiser_role_known"),
        ("UPDATE organiser SET invitation_hash = 'x'", "ck_organiser_invitation_expires"),
        ("UPDATE organiser SET totp_confirmed_at = now()", "ck_organiser_totp_has_a_secret"),
        (SAME_EMAIL, "uq_organiser_email"),
        (CHIEF_TOKEN, "ck_api_token_role_known"),
    ],
)
async def test_constraints_reject_inconsistent_rows(owner, sql, change, constraint):
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as raised:
        await sql.execute(change)

    assert raised.value.constraint_name == constraint


async def test_sessions_are_deleted_with_their_organiser(database, clock, owner, sql):
    session = new_session(owner, clock)
    await add_session(database, session)

    await sql.execute("DELETE FROM organiser")

    assert await sql.fetchval("SELECT count(*) FROM organiser_session") == 0
