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
from benchmarks.load_client import LoadResult
from benchmarks.scenarios import ORGANISERS, PAGE_SIZE, Scenario, token
from benchmarks.seed import seed_organisers, seed_teams
from benchmarks.servers import ServerProcess, dsn
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

    def drive(
        self, server: ServerProcess, job: Scenario, connections: int, **until: float
    ) -> report.ServerResult:
        """`until` is `seconds` or `requests`."""
        before = server.cpu_seconds()
        measured = self.load(server.url(job), job, connections, **until)
        used = server.cpu_seconds() - before
        self.answered[server.name] = self.answered.get(server.name, 0) + measured.requests
        return report.ServerResult(
            measured=measured, cpu_ms=used * 1000 / max(1, measured.requests)
        )

    def load(self, url: str, job: Scenario, connections: int, **until: float) -> LoadResult:
        command = [sys.executable, "-m", "benchmarks.load_client", "--url", url]
        command += ["--job", job, "--connections", str(connections)]
        command += ["--first", str(self.next_team), "--teams", str(self.teams)]
        command += ["--page-size", str(self.page_size)]
        command += [f"--token={one}" for one in self.tokens]
        command += [f"--{name}={value}" for name, value in until.items()]
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, timeout=LOAD_SECONDS, check=True
        )
        measured = LoadResult(**json.loads(done.stdout))
        if job == "A":
            self.next_team += measured.requests
            self.registered += measured.requests - measured.errors
        return measured


def warm_up(driver: Driver, servers: Iterable[ServerProcess], jobs: Sequence[Scenario]) -> None:
    for server in servers:
        for job in jobs:
            side = driver.drive(server, job, 16, requests=WARM_UP_REQUESTS)
            if side.measured.errors:
                raise SystemExit(f"{server.name} refuses {job}: {side.measured.first_error}")


def run_round(
    driver: Driver, order: Sequence[ServerProcess], job: Scenario, connections: int, seconds: float
) -> report.Round:
    sides = {
        server.name: driver.drive(server, job, connections, seconds=seconds) for server in order
    }
    return report.Round(job=job, connections=connections, sides=dict(sorted(sides.items())))


def alternating_orders(
    servers: Sequence[ServerProcess], rounds: int
) -> list[Sequence[ServerProcess]]:
    """Who begins changes from round to round."""
    return [servers if turn % 2 == 0 else servers[::-1] for turn in range(rounds)]


@contextmanager
def benchmark_database(folder: Path) -> Iterator[EmbeddedPostgres]:
    """With room for the connections of all servers at once."""
    with EmbeddedPostgres(folder) as embedded:
        asyncio.run(_raise_max_connections(embedded.connected_url("icct26")))
    with EmbeddedPostgres(folder) as embedded:
        yield embedded


async def _raise_max_connections(url: str) -> None:
    async with connect(url) as connection:
        await connection.execute(f"ALTER SYSTEM SET max_connections = {MAX_CONNECTIONS}")


async def prepare_database(url: str, teams: int) -> dict[str, int]:
    """Fill the season, let organisers in, lift its limits; what the counts are before A."""
    async with connect(url) as connection:
        await seed_teams(connection, teams)
        await seed_organisers(connection, [token(number) for number in range(ORGANISERS)])
        await connection.execute(LIFT)
        return dict(await connection.fetchrow(COUNTS))


async def lift_tournament_limits(url: str) -> None:
    async with connect(url) as connection:
        await connection.execute(LIFT)


async def missing_rows(url: str, base: dict[str, int], registered: int) -> str:
    """What does not agree with the registrations that were acknowledged; empty if all does."""
    async with connect(url) as connection:
        found = dict(await connection.fetchrow(COUNTS))
    added = {name: count - base[name] for name, count in found.items()}
    added["players"] /= 15
    return ", ".join(f"{name} {n:g}" for name, n in added.items() if n != registered)


@asynccontextmanager
async def connect(url: str) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn(url))
    try:
        yield connection
    finally:
        await connection.close()


def exit_on_signal(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit("Stopped.")
