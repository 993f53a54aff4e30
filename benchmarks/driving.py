"""What the programs share: a season to read and write, and load on servers in turn."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

import asyncpg

from benchmarks import report
from benchmarks.fill import fill, invite
from benchmarks.jobs import ORGANISERS, PAGE_SIZE, Job, token
from benchmarks.load import Measured
from benchmarks.processes import Served, dsn
from persistence.embedded.server import EmbeddedPostgres

ROOT = Path(__file__).parent.parent
WARM_UP_REQUESTS = 200
LOAD_SECONDS = 600
MAX_CONNECTIONS = 200

COUNTS = """
    SELECT (SELECT count(*) FROM team) AS teams, (SELECT count(*) FROM player) AS players,
           (SELECT count(*) FROM audit_event) AS audit,
           (SELECT count(*) FROM outbox_message) AS outbox,
           (SELECT count(*) FROM idempotency_record) AS keys,
           (SELECT sum(taken) FROM church) AS church_places,
           (SELECT taken FROM tournament WHERE is_active) AS taken
"""
LIFT = "UPDATE tournament SET capacity = NULL, teams_per_church = NULL WHERE is_active"


@dataclass(slots=True)
class Driver:
    """Sends load; no two registrations of a whole run share a number."""

    teams: int
    page_size: int = PAGE_SIZE
    tokens: Sequence[str] = ()
    next_team: int = 0
    registered: int = 0
    answered: dict[str, int] = field(default_factory=dict)

    def drive(self, server: Served, job: Job, connections: int, **until: float) -> report.Side:
        """`until` is `seconds` or `requests`."""
        before = server.cpu_seconds()
        measured = self.load(server.url(job), job, connections, **until)
        used = server.cpu_seconds() - before
        self.answered[server.name] = self.answered.get(server.name, 0) + measured.requests
        return report.Side(measured=measured, cpu_ms=used * 1000 / max(1, measured.requests))

    def load(self, url: str, job: Job, connections: int, **until: float) -> Measured:
        command = [sys.executable, "-m", "benchmarks.load", "--url", url]
        command += ["--job", job, "--connections", str(connections)]
        command += ["--first", str(self.next_team), "--teams", str(self.teams)]
        command += ["--page-size", str(self.page_size)]
        command += [f"--token={one}" for one in self.tokens]
        command += [f"--{name}={value}" for name, value in until.items()]
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, timeout=LOAD_SECONDS, check=True
        )
        measured = Measured(**json.loads(done.stdout))
        if job == "A":
            self.next_team += measured.requests
            self.registered += measured.requests - measured.errors
        return measured


def warm_up(driver: Driver, servers: Iterable[Served], jobs: Sequence[Job]) -> None:
    for server in servers:
        for job in jobs:
            side = driver.drive(server, job, 16, requests=WARM_UP_REQUESTS)
            if side.measured.errors:
                raise SystemExit(f"{server.name} refuses {job}: {side.measured.first_error}")


def one_round(
    driver: Driver, order: Sequence[Served], job: Job, connections: int, seconds: float
) -> report.Round:
    sides = {
        server.name: driver.drive(server, job, connections, seconds=seconds) for server in order
    }
    return report.Round(job=job, connections=connections, sides=dict(sorted(sides.items())))


def orders(servers: Sequence[Served], rounds: int) -> list[Sequence[Served]]:
    """Who begins changes from round to round."""
    return [servers if turn % 2 == 0 else servers[::-1] for turn in range(rounds)]


@contextmanager
def database_of_the_benchmark(folder: Path) -> Iterator[EmbeddedPostgres]:
    """With room for the connections of all servers at once."""
    with EmbeddedPostgres(folder) as embedded:
        asyncio.run(_make_room_for_all(embedded.connected_url("icct26")))
    with EmbeddedPostgres(folder) as embedded:
        yield embedded


async def _make_room_for_all(url: str) -> None:
    async with connected(url) as connection:
        await connection.execute(f"ALTER SYSTEM SET max_connections = {MAX_CONNECTIONS}")


async def prepared(url: str, teams: int) -> dict[str, int]:
    """Fill the season, let organisers in, lift its limits; what the counts are before A."""
    async with connected(url) as connection:
        await fill(connection, teams)
        await invite(connection, [token(number) for number in range(ORGANISERS)])
        await connection.execute(LIFT)
        return dict(await connection.fetchrow(COUNTS))


async def make_room(url: str) -> None:
    async with connected(url) as connection:
        await connection.execute(LIFT)


async def missing_rows(url: str, base: dict[str, int], registered: int) -> str:
    """What does not agree with the registrations that were acknowledged; empty if all does."""
    async with connected(url) as connection:
        found = dict(await connection.fetchrow(COUNTS))
    added = {name: count - base[name] for name, count in found.items()}
    added["players"] /= 15
    return ", ".join(f"{name} {n:g}" for name, n in added.items() if n != registered)


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn(url))
    try:
        yield connection
    finally:
        await connection.close()


def stop(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit("Stopped.")
