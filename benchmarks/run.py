"""Measure the service beside the raw limit: `python benchmarks/run.py --help`."""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

import asyncpg

ROOT = Path(__file__).parent.parent
# Started as a script, Python looks for modules only beside it.
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402
from benchmarks.fill import fill, invite  # noqa: E402
from benchmarks.jobs import ORGANISERS, Job, token  # noqa: E402
from benchmarks.load import Measured  # noqa: E402
from benchmarks.processes import Served, limit_server, our_server  # noqa: E402
from persistence.embedded import EmbeddedPostgres  # noqa: E402

RESULTS = Path(__file__).parent / "RESULTS.md"
MEMORY_REQUESTS = 10_000
WARM_UP_REQUESTS = 200
LOAD_SECONDS = 600

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
    next_team: int = 0
    registered: int = 0
    answered: dict[str, int] = field(default_factory=dict)

    def drive(self, server: Served, job: Job, connections: int, **until: float) -> report.Side:
        """`until` is `seconds` or `requests`."""
        command = [sys.executable, "-m", "benchmarks.load", "--port", str(server.port)]
        command += ["--job", job, "--connections", str(connections)]
        command += ["--first", str(self.next_team), "--teams", str(self.teams)]
        command += ["--path", f"/{job}" if server.name == "limit" else "/graphql"]
        command += [f"--{name}={value}" for name, value in until.items()]
        before = server.cpu_seconds()
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, timeout=LOAD_SECONDS, check=True
        )
        used = server.cpu_seconds() - before
        measured = Measured(**json.loads(done.stdout))
        if job == "A":
            self.next_team += measured.requests
            self.registered += measured.requests - measured.errors
        self.answered[server.name] = self.answered.get(server.name, 0) + measured.requests
        return report.Side(measured=measured, cpu_ms=used * 1000 / max(1, measured.requests))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement (1)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts (3)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--jobs", nargs="+", choices=list(report.JOBS), default=list(report.JOBS))
    parser.add_argument("--teams", type=int, default=10_000, help="of 15 players (10,000)")
    parser.add_argument("--record", action="store_true", help="put the result into RESULTS.md")
    return parser.parse_args()


def main() -> int:
    given = options()
    # An ended benchmark ends its processes too.
    signal.signal(signal.SIGTERM, stop)
    machine = report.machine()
    driver = Driver(teams=given.teams)
    with tempfile.TemporaryDirectory(prefix="icct26-bench-") as name:
        folder = Path(name)
        with EmbeddedPostgres(folder / "database") as embedded:
            url = embedded.connected_url("icct26")
            with our_server(url, folder) as ours:
                base = asyncio.run(prepared(url, given.teams))
                plain = our_server(url, folder, name="plain", COMPILED_EXECUTION="false")
                with limit_server(url, folder) as limit, plain as other:
                    rounds, memory = measure(driver, [ours, limit, other], given)
            wrong = asyncio.run(missing_rows(url, base, driver.registered))
    shown = f"{report.table(rounds)}\n\n{report.memory_line(memory)}"
    setting = f"{machine}; {given.rounds} rounds of {given.seconds:g} s."
    print(f"{setting}\n\n{shown}\n\nRows of {driver.registered} registrations: {wrong or 'all'}.")
    if given.record:
        record(setting, shown)
    missed = report.failures(rounds, memory) + ([f"Rows: {wrong}."] if wrong else [])
    print("\n".join(f"FAILED: {one}" for one in missed) or "All bars hold.")
    return 1 if missed else 0


def measure(
    driver: Driver, servers: list[Served], given: argparse.Namespace
) -> tuple[list[report.Round], report.Memory]:
    ours = servers[0]
    at_start = ours.resident_mb()
    warm_up(driver, servers, given.jobs)
    # Who begins changes from round to round.
    orders = [servers if turn % 2 == 0 else servers[::-1] for turn in range(given.rounds)]
    rounds = [
        one_round(driver, order, job, connections, given.seconds)
        for order in orders
        for job in given.jobs
        for connections in given.connections
    ]
    left = MEMORY_REQUESTS - driver.answered[ours.name]
    if left > 0:
        driver.drive(ours, "D", 16, requests=left)
    memory = report.Memory(
        requests=driver.answered[ours.name],
        at_start_mb=at_start,
        resident_mb=ours.resident_mb(),
        limit_mb=servers[1].resident_mb(),
    )
    return rounds, memory


def warm_up(driver: Driver, servers: list[Served], jobs: list[Job]) -> None:
    for server in servers:
        for job in jobs:
            side = driver.drive(server, job, 16, requests=WARM_UP_REQUESTS)
            if side.measured.errors:
                raise SystemExit(f"{server.name} refuses {job}: {side.measured.first_error}")


def one_round(
    driver: Driver, order: list[Served], job: Job, connections: int, seconds: float
) -> report.Round:
    sides = {
        server.name: driver.drive(server, job, connections, seconds=seconds) for server in order
    }
    return report.Round(job=job, connections=connections, sides=dict(sorted(sides.items())))


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


def dsn(url: str) -> str:
    """SQLAlchemy's URL as asyncpg takes it."""
    return url.replace("postgresql+asyncpg://", "postgresql://")


def record(setting: str, shown: str) -> None:
    """Newest first, below the introduction."""
    known = RESULTS.read_text(encoding="utf-8")
    introduction, mark, older = known.partition("\n## ")
    moment, _, rest = setting.partition(", ")
    entry = f"\n## {moment}\n\n{rest[:1].upper()}{rest[1:]}\n\n{shown}\n"
    RESULTS.write_text(f"{introduction.rstrip()}\n{entry}{mark}{older}", encoding="utf-8")


def stop(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit("Stopped.")


if __name__ == "__main__":
    sys.exit(main())
