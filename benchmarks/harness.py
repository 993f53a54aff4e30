"""Shared by the benchmark programs: the test database, load on several servers, row counts."""

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

ROW_COUNTS = """
    SELECT (SELECT count(*) FROM team) AS teams, (SELECT count(*) FROM player) AS players,
           (SELECT count(*) FROM audit_event) AS audit,
           (SELECT count(*) FROM outbox_message) AS outbox,
           (SELECT count(*) FROM idempotency_record
            WHERE operation = 'registerTeam') AS keys,
           (SELECT sum(taken) FROM church) AS church_teams,
           (SELECT taken FROM tournament WHERE is_active) AS taken
"""
LIFT_LIMITS = "UPDATE tournament SET capacity = NULL, teams_per_church = NULL WHERE is_active"


@dataclass(slots=True)
class Driver:
    """Send load to servers. Team numbers are unique over the whole run."""

    teams: int
    page_size: int = PAGE_SIZE
    tokens: Sequence[str] = ()
    next_team: int = 0
    registered: int = 0
    answered: dict[str, int] = field(default_factory=dict)

    def run_load(
        self, server: ServerProcess, scenario: Scenario, connections: int, **until: float
    ) -> report.ServerResult:
        """Measure one server. `until` is either `seconds` or `requests`."""
        before = server.cpu_seconds()
        measured = self.load(server.url(scenario), scenario, connections, **until)
        cpu_seconds = server.cpu_seconds() - before
        self.answered[server.name] = self.answered.get(server.name, 0) + measured.requests
        return report.ServerResult(
            measured=measured, cpu_ms=cpu_seconds * 1000 / max(1, measured.requests)
        )

    def load(self, url: str, scenario: Scenario, connections: int, **until: float) -> LoadResult:
        command = [sys.executable, "-m", "benchmarks.load_client", "--url", url]
        command += ["--scenario", scenario, "--connections", str(connections)]
        command += ["--first", str(self.next_team), "--teams", str(self.teams)]
        command += ["--page-size", str(self.page_size)]
        command += [f"--token={token}" for token in self.tokens]
        command += [f"--{name}={value}" for name, value in until.items()]
        process = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, timeout=LOAD_SECONDS, check=True
        )
        measured = LoadResult(**json.loads(process.stdout))
        if scenario is Scenario.REGISTER:
            self.next_team += measured.requests
            self.registered += measured.requests - measured.errors
        return measured


def warm_up(
    driver: Driver, servers: Iterable[ServerProcess], scenarios: Sequence[Scenario]
) -> None:
    for server in servers:
        for scenario in scenarios:
            result = driver.run_load(server, scenario, 16, requests=WARM_UP_REQUESTS)
            if result.measured.errors:
                raise SystemExit(
                    f"{server.name} fails {scenario.name}: {result.measured.first_error}"
                )


def run_round(
    driver: Driver,
    order: Sequence[ServerProcess],
    scenario: Scenario,
    connections: int,
    seconds: float,
) -> report.Round:
    results = {
        server.name: driver.run_load(server, scenario, connections, seconds=seconds)
        for server in order
    }
    return report.Round(
        scenario=scenario, connections=connections, results=dict(sorted(results.items()))
    )


def alternating_orders(
    servers: Sequence[ServerProcess], rounds: int
) -> list[Sequence[ServerProcess]]:
    """Return the order of the servers for each round; every second one is reversed."""
    return [servers if turn % 2 == 0 else servers[::-1] for turn in range(rounds)]


@contextmanager
def benchmark_database(folder: Path) -> Iterator[EmbeddedPostgres]:
    """Start a PostgreSQL that accepts the connections of all servers at once."""
    with EmbeddedPostgres(folder) as embedded:
        asyncio.run(_raise_max_connections(embedded.connected_url("icct26")))
    with EmbeddedPostgres(folder) as embedded:
        yield embedded


async def _raise_max_connections(url: str) -> None:
    async with connect(url) as connection:
        await connection.execute(f"ALTER SYSTEM SET max_connections = {MAX_CONNECTIONS}")


async def prepare_database(url: str, teams: int) -> dict[str, int]:
    """Add teams and organisers, lift the tournament's limits, and return the row counts."""
    async with connect(url) as connection:
        await seed_teams(connection, teams)
        await seed_organisers(connection, [token(number) for number in range(ORGANISERS)])
        await connection.execute(LIFT_LIMITS)
        return dict(await connection.fetchrow(ROW_COUNTS))


async def lift_tournament_limits(url: str) -> None:
    async with connect(url) as connection:
        await connection.execute(LIFT_LIMITS)


async def missing_rows(url: str, base: dict[str, int], registered: int) -> str:
    """Describe row counts that differ from the number of acknowledged registrations.

    Returns an empty string if all agree. `base` has the counts before the run.
    """
    async with connect(url) as connection:
        counts = dict(await connection.fetchrow(ROW_COUNTS))
    added = {name: count - base[name] for name, count in counts.items()}
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
