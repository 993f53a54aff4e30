"""The session of a unit of work: its life, its flush before the commit, and its repositories."""

import asyncio
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.orm import Session, joinedload, selectinload
from sqlmodel import col, select
from structlog.testing import capture_logs

from domain.auth.roles import Role
from persistence.engine.errors import violated_constraint
from persistence.ids import new_id
from persistence.models import IdempotencyRecord, Team
from persistence.repositories.base import Repository
from resolvers.registration.register import register_team
from tests import factories
from tests.accounts import bearer_headers
from tests.graphql_client import data, execute

EXPIRES_AT = datetime(2030, 1, 1, tzinfo=UTC)
FAIL_TRANSIENTLY = text("SELECT refuse('40001')")
TRANSACTION_ID = text("SELECT pg_current_xact_id_if_assigned()::text")
STATE = "SELECT state FROM pg_stat_activity WHERE pid = $1"
WAITING_SESSIONS = """
    SELECT count(DISTINCT pid) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
THREE_FIELDS = """
{
  teamStats { total live }
  apiTokens { name }
  auditLog(filter: {action: TEAM_REGISTERED}, first: 1) { nodes { teamCode } }
}
"""


def record(key):
    return IdempotencyRecord(
        operation="test", key=key, fingerprint=b"", team_id=new_id(), expires_at=EXPIRES_AT
    )


async def value(uow, statement):
    return (await uow.session.exec(statement)).scalar_one()


async def stored(sql):
    """The keys of the rows, and the number of transactions that wrote them."""
    rows = await sql.fetch("SELECT key, xmin::text FROM idempotency_record ORDER BY key")
    return [row["key"] for row in rows], len({row["xmin"] for row in rows})


@contextmanager
def listening(target, name):
    """Collect the first argument of each event of this name."""
    seen = []

    def listen(subject, *_rest):
        seen.append(subject)

    event.listen(target, name, listen)
    try:
        yield seen
    finally:
        event.remove(target, name, listen)


@pytest.fixture
async def team(services):
    return (await register_team(services, factories.form(), key=None, request_id="test")).team


async def test_each_attempt_has_a_new_session_without_objects_of_the_former(database, sql):
    units, objects, found = [], [], []

    async def work(uow):
        units.append(uow)
        objects.append([*uow.session.new, *uow.session.identity_map.values()])
        found.append(await uow.session.get(IdempotencyRecord, ("test", "flushed")))
        if len(units) == 1:
            uow.session.add(record("flushed"))
            await uow.session.flush()
            uow.session.add(record("pending"))
            await uow.session.exec(FAIL_TRANSIENTLY)
        uow.session.add(record("second attempt"))

    with capture_logs() as logs:
        await database.run(work)

    assert [(line["event"], line["sqlstate"]) for line in logs] == [("database_retried", "40001")]
    assert len(units) == 2
    assert units[0] is not units[1]
    assert units[0].session is not units[1].session
    assert objects == [[], []]
    assert found == [None, None]
    assert await stored(sql) == (["second attempt"], 1)


async def test_work_is_committed_once_at_its_end(database, sql):
    async def work(uow):
        uow.session.add(record("first"))
        await uow.session.flush()
        before = await stored(sql)
        uow.session.add(record("second"))
        return before

    with listening(Engine, "commit") as commits:
        before_commit = await database.run(work)

    assert before_commit == ([], 0)
    assert len(commits) == 1
    assert await stored(sql) == (["first", "second"], 1)


async def test_failed_work_is_not_committed(database, sql):
    async def work(uow):
        uow.session.add(record("flushed"))
        await uow.session.flush()
        raise ValueError("of the test")

    with listening(Engine, "commit") as commits, pytest.raises(ValueError, match="of the test"):
        await database.run(work)

    assert commits == []
    assert await stored(sql) == ([], 0)


async def test_violation_at_the_last_flush_is_raised_and_nothing_written(database, sql):
    """Objects that the work has only added are written after its end, before the commit."""
    await database.run(lambda uow: add(uow, "taken"))
    calls = []

    async def work(uow):
        calls.append(None)
        await add(uow, "written before")
        await uow.session.flush()
        await add(uow, "taken")

    with listening(Engine, "commit") as commits, pytest.raises(IntegrityError) as raised:
        await database.run(work)

    assert violated_constraint(raised.value) == "pk_idempotency_record"
    assert len(calls) == 1
    assert commits == []
    assert await stored(sql) == (["taken"], 1)


async def add(uow, key):
    uow.session.add(record(key))


@pytest.mark.parametrize("name", ["tournament", "church", "players", "documents"])
async def test_unloaded_relationship_raises(database, team, name):
    async def work(uow):
        row = await uow.session.get(Team, team.id)
        return getattr(row, name)

    with pytest.raises(InvalidRequestError, match=rf"'Team\.{name}' is not available"):
        await database.run(work)


async def test_named_relationships_are_loaded_and_stay_after_the_commit(database, team):
    statement = (
        select(Team)
        .where(col(Team.id) == team.id)
        .options(joinedload(Team.church), selectinload(Team.players))
    )

    async def work(uow):
        return (await uow.session.exec(statement)).one()

    row = await database.read(work)

    assert row.church.name == team.church.name
    assert [player.name for player in row.players] == [player.name for player in team.players]


async def test_repositories_of_a_unit_of_work_share_its_session(database):
    async def work(uow):
        return uow.session, [part for part in vars(uow).values() if part is not uow.session]

    session, repositories = await database.run(work)

    assert {type(repository) for repository in repositories} == set(Repository.__subclasses__())
    assert {id(repository._session) for repository in repositories} == {id(session)}


@pytest.fixture
def settings(settings_with):
    """With a connection for each root field of the query below."""
    return settings_with(database_pool_size=12)


async def test_concurrent_root_fields_have_a_session_each(client, services, sql, holder, team):
    """All three wait at the same time for a lock that the test holds."""
    owner = await bearer_headers(services, Role.OWNER)

    with listening(Session, "after_begin") as sessions:
        async with holder.transaction():
            await holder.execute("LOCK TABLE team, api_token, audit_event")
            answering = asyncio.create_task(execute(client, THREE_FIELDS, **owner))
            await until_waiting(sql, 3)
        answer = data(await answering)

    assert answer == {
        "teamStats": {"total": 1, "live": 1},
        "apiTokens": [],
        "auditLog": {"nodes": [{"teamCode": team.code}]},
    }
    assert len(sessions) == 3
    assert len({id(session) for session in sessions}) == 3


async def until_waiting(sql, number):
    async with asyncio.timeout(30):
        while await sql.fetchval(WAITING_SESSIONS) < number:
            await asyncio.sleep(0.005)


async def test_read_opens_no_transaction_and_run_opens_one(database, sql):
    async def states(uow):
        pid = await value(uow, text("SELECT pg_backend_pid()"))
        state = await sql.fetchval(STATE, pid)
        uow.session.add(record(state))
        await uow.session.flush()
        has_transaction = await value(uow, TRANSACTION_ID) is not None
        return state, has_transaction, (await stored(sql))[0]

    assert await database.read(states) == ("idle", False, ["idle"])
    assert await database.run(states) == ("idle in transaction", True, ["idle"])
    assert (await stored(sql))[0] == ["idle", "idle in transaction"]
