"""Rows are locked in the order team, church, tournament, so that no two transactions deadlock."""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from random import Random

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from domain.auth.roles import Role
from domain.errors.exceptions import (
    BadUserInput,
    ChurchLimitReached,
    InvalidForm,
    InvalidStatusTransition,
    StaleVersion,
    TeamNotFound,
    TournamentFull,
)
from domain.teams.status import TeamAction, TeamStatus
from persistence.engine.driver import DEFAULT_SERVER_SETTINGS
from resolvers.registration.register import register_team
from resolvers.teams.corrections import Correction, update_team
from resolvers.teams.decisions import Decision, decide
from resolvers.teams.erasure import erase_team
from resolvers.tournaments.churches import merge_churches
from resolvers.tournaments.settings import update_tournament
from tests import factories
from tests.accounts import new_caller

DEADLOCK = "40P01"
REASON = "A test of the order of locks."
REFUSALS = {
    "register": {InvalidForm, ChurchLimitReached, TournamentFull},
    "decide": {
        TeamNotFound,
        StaleVersion,
        InvalidStatusTransition,
        InvalidForm,
        ChurchLimitReached,
        TournamentFull,
    },
    "merge": {BadUserInput},
    "resize": set(),
    "erase": {TeamNotFound, StaleVersion},
}
ACTIONS = {
    TeamStatus.PENDING: (TeamAction.CONFIRM, TeamAction.REJECT, TeamAction.WITHDRAW),
    TeamStatus.CONFIRMED: (TeamAction.REOPEN, TeamAction.WITHDRAW),
    TeamStatus.REJECTED: (TeamAction.REOPEN,),
}
SESSIONS = f"""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database()
      AND application_name = '{DEFAULT_SERVER_SETTINGS["application_name"]}'
"""
# Sessions that wait for a lock on a row, which another transaction holds.
WAITING_SESSIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
COUNTERS = """
    SELECT 'tournament' AS kind, t.id, t.taken,
        (SELECT count(*) FROM team WHERE tournament_id = t.id AND status = ANY($1)) AS teams
    FROM tournament t
    UNION ALL
    SELECT 'church', c.id, c.taken,
        (SELECT count(*) FROM team WHERE church_id = c.id AND status = ANY($1))
    FROM church c
"""
LIVE = ["PENDING", "CHANGES_REQUESTED", "CONFIRMED"]


@dataclass(slots=True, kw_only=True)
class DeadlockCounter:
    """Deadlocks since the start of a test: those that the service retried, and PostgreSQL's."""

    sql: object
    databases: tuple
    logs: list
    before: int

    def retried(self) -> int:
        return sum(line.get("sqlstate") == DEADLOCK for line in self.logs)

    async def detected(self) -> int:
        """Close the pools: a server process reports its statistics before it ends."""
        for database in self.databases:
            await database.close()
        await until_equal(self.sql, SESSIONS, 0)
        return await self.sql.fetchval(DEADLOCKS) - self.before


async def until_equal(sql, query, value):
    async with asyncio.timeout(30):
        while await sql.fetchval(query) != value:
            await asyncio.sleep(0.005)


@pytest.fixture
def lock_database(open_database):
    """A database with a connection for each concurrent operation of these tests."""
    return open_database(pool_size=18, max_overflow=0)


@pytest.fixture
async def lock_services(services, lock_database):
    return replace(services, database=lock_database)


@pytest.fixture
async def owner(services):
    return await new_caller(services, Role.OWNER)


@pytest.fixture
async def deadlocks(database, lock_database, sql, owner):
    """Counts from here on: nothing else is connected to the test's database."""
    await database.close()
    await until_equal(sql, SESSIONS, 0)
    before = await sql.fetchval(DEADLOCKS)
    with capture_logs() as logs:
        yield DeadlockCounter(sql=sql, databases=(lock_database,), logs=logs, before=before)


class Workload:
    """Operations on a few teams and churches, chosen by a seeded random generator."""

    def __init__(self, services, owner, sql, seed):
        self._services = services
        self._owner = owner
        self._sql = sql
        self._random = Random(seed)
        self._round = 0
        self.successes = Counter()
        self.retries = Counter()

    async def run_round(self):
        """Run operations of every kind concurrently and check the type of each result."""
        self._round += 1
        teams = await self._sql.fetch("SELECT id, version, status FROM team ORDER BY id")
        churches = [row["id"] for row in await self._sql.fetch("SELECT id FROM church ORDER BY id")]
        operations = [("register", self._register()) for _ in range(3)]
        operations.append(("resize", self._resize()))
        if teams:
            operations += [("decide", self._decide(self._random.choice(teams))) for _ in range(5)]
            operations.append(("erase", self._erase(self._random.choice(teams))))
        if len(churches) > 1:
            operations.append(("merge", self._merge(*self._random.sample(churches, 2))))
        self._random.shuffle(operations)
        results = await asyncio.gather(
            *(operation for _, operation in operations), return_exceptions=True
        )
        for (name, _), result in zip(operations, results, strict=True):
            if not isinstance(result, BaseException):
                self.successes[name] += 1
            elif type(result) not in REFUSALS[name]:
                raise result

    def _register(self):
        number = self._random.randrange(60)
        church = f"CSI Church {self._round - self._random.randrange(3)}"
        form = factories.form(number, churchName=church, teamName=f"Warriors {number % 9}")
        key = f"round {self._round} {self._random.random()}"
        return register_team(self._services, form, key=key, request_id="test")

    def _decide(self, team):
        action = self._random.choice(ACTIONS.get(TeamStatus(team["status"]), tuple(TeamAction)[:1]))
        decision = Decision(
            reference=team["id"].hex, expected_version=team["version"], action=action, reason=REASON
        )
        return decide(self._services, self._owner, decision)

    def _erase(self, team):
        return erase_team(
            self._services, self._owner, team["id"].hex, expected_version=team["version"]
        )

    def _merge(self, church_id, into):
        return merge_churches(self._services, self._owner, church_id, into)

    def _resize(self):
        changes = {
            "capacity": self._random.choice((12, 24, 48)),
            "teams_per_church": self._random.choice((2, 4)),
        }
        return update_tournament(self._services, self._owner, changes)


@pytest.mark.parametrize("rounds", [40, pytest.param(300, marks=pytest.mark.slow)])
async def test_concurrent_operations_do_not_deadlock(lock_services, owner, sql, deadlocks, rounds):
    workload = Workload(lock_services, owner, sql, seed=rounds)
    for _ in range(rounds):
        await workload.run_round()

    assert workload.successes.keys() == REFUSALS.keys()
    assert deadlocks.retried() == 0
    assert await deadlocks.detected() == 0
    counters = await sql.fetch(COUNTERS, LIVE)
    assert len(counters) > 1
    assert [row for row in counters if row["taken"] != row["teams"]] == []


async def test_tournament_locked_before_a_team_deadlocks(
    lock_services, lock_database, sql, deadlocks
):
    """The counter of the tests above and below does count a wrong order."""
    registered = await register_team(lock_services, factories.form(), key=None, request_id="test")
    both_hold_a_lock = asyncio.Barrier(2)
    calls = Counter()

    async def lock_both(name, uow):
        calls[name] += 1
        await uow.session.exec(text("SET LOCAL deadlock_timeout = '10ms'"))
        lock_team = partial(uow.teams.lock, registered.team.code)
        locks = [lock_team, uow.tournaments.lock_active]
        if name == "wrong order":
            locks.reverse()
        await locks[0]()
        if calls[name] == 1:
            await both_hold_a_lock.wait()
        await locks[1]()

    await asyncio.gather(
        lock_database.run(partial(lock_both, "right order")),
        lock_database.run(partial(lock_both, "wrong order")),
    )

    assert sorted(calls.values()) == [1, 2]
    assert deadlocks.retried() == 1
    assert await deadlocks.detected() == 1


async def test_teams_that_exchange_their_churches_do_not_deadlock(
    lock_services, owner, sql, holder, deadlocks
):
    """Each move takes a slot of one church and releases one of the other."""
    teams = [
        (await register_team(lock_services, factories.form(n), key=None, request_id="test")).team
        for n in range(2)
    ]

    def move(team, church_name):
        correction = Correction(reference=team.code, expected_version=1, reason=REASON)
        return update_team(lock_services, owner, correction, {"church_name": church_name})

    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("SELECT FROM church FOR UPDATE")
    moves = [
        asyncio.create_task(move(teams[0], teams[1].church.name)),
        asyncio.create_task(move(teams[1], teams[0].church.name)),
    ]
    await until_equal(sql, WAITING_SESSIONS, 2)
    await transaction.commit()
    moved = await asyncio.gather(*moves)

    assert [team.church.id for team in moved] == [teams[1].church.id, teams[0].church.id]
    assert deadlocks.retried() == 0
    assert await deadlocks.detected() == 0
    counters = await sql.fetch(COUNTERS, LIVE)
    assert sorted((row["kind"], row["taken"], row["teams"]) for row in counters) == [
        ("church", 1, 1),
        ("church", 1, 1),
        ("tournament", 2, 2),
    ]


async def test_team_that_joins_a_church_during_its_merge_does_not_deadlock(
    lock_services, owner, sql, holder, deadlocks
):
    """The merge has locked the teams and waits for a church when another team is moved to it."""
    source, target, joining = [
        (await register_team(lock_services, factories.form(n), key=None, request_id="test")).team
        for n in range(3)
    ]
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("UPDATE church SET taken = taken + 1 WHERE id = $1", source.church.id)
    merge = asyncio.create_task(
        merge_churches(lock_services, owner, source.church.id, target.church.id)
    )
    await until_equal(sql, WAITING_SESSIONS, 1)
    await sql.execute("UPDATE church SET taken = taken - 1 WHERE id = $1", joining.church.id)
    await sql.execute("UPDATE team SET church_id = $1 WHERE id = $2", source.church.id, joining.id)
    rejection = asyncio.create_task(
        decide(
            lock_services,
            owner,
            Decision(
                reference=joining.code,
                expected_version=1,
                action=TeamAction.REJECT,
                reason=REASON,
            ),
        )
    )
    await until_equal(sql, WAITING_SESSIONS, 2)
    await transaction.commit()
    merged, rejected = await asyncio.gather(merge, rejection)

    assert (merged.teams, merged.church.taken) == (2, 2)
    assert rejected.status is TeamStatus.REJECTED
    counters = await sql.fetch(COUNTERS, LIVE)
    assert [row for row in counters if row["taken"] != row["teams"]] == []
    assert deadlocks.retried() == 0
    assert await deadlocks.detected() == 0
