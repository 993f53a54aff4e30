"""What more data costs: `python benchmarks/scaling.py --help`.

Pages of 10 to 100 teams, and seasons of 1,000 to 100,000 teams: one team by its code, and a page of
50 without `totalCount`. Ends with 1 when the largest season costs too much more than the smallest.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
# Started as a script, Python looks for modules only beside it.
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402
from benchmarks.harness import Driver, connect, exit_on_signal, prepare_database, warm_up  # noqa: E402
from benchmarks.scenarios import Scenario  # noqa: E402
from benchmarks.servers import ServerProcess, our_server  # noqa: E402
from persistence.embedded.server import EmbeddedPostgres  # noqa: E402

CONNECTIONS = 16
READS: tuple[Scenario, ...] = ("B", "C")
SEASONS = (1_000, 10_000, 100_000)
PAGES = (10, 25, 50, 100)
PAGED_SEASON = 10_000
# Time of one request of the largest season to that of the smallest.
GROWTH_BAR = 1.15


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement (2)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts (5)")
    return parser.parse_args()


async def created(url: str, database: str) -> None:
    async with connect(url) as connection:
        await connection.execute(f"CREATE DATABASE {database}")


def milliseconds(driver: Driver, server: ServerProcess, job: Scenario, seconds: float) -> float:
    """Of all connections together, for one request."""
    found = driver.drive(server, job, CONNECTIONS, seconds=seconds).measured
    if found.errors:
        raise SystemExit(f"{job} failed: {found.first_error}")
    return 1000 / found.per_second


def main() -> int:
    given = options()
    # An ended benchmark ends its processes too.
    signal.signal(signal.SIGTERM, exit_on_signal)
    print(f"{report.machine()}; {given.rounds} rounds of {given.seconds:g} s.\n")
    with tempfile.TemporaryDirectory(prefix="icct26-growth-") as name, ExitStack() as stack:
        folder = Path(name)
        embedded = stack.enter_context(EmbeddedPostgres(folder / "database"))
        servers: dict[int, tuple[Driver, ServerProcess]] = {}
        for teams in SEASONS:
            driver, season = Driver(teams=teams), f"season{teams}"
            asyncio.run(created(embedded.connected_url("icct26"), season))
            url = embedded.connected_url(season)
            server = stack.enter_context(our_server(url, folder, name=season))
            asyncio.run(prepare_database(url, teams))
            warm_up(driver, [server], READS)
            servers[teams] = driver, server
        missed = seasons(servers, given)
        pages(*servers[PAGED_SEASON], given)
    print("\n" + ("\n".join(f"FAILED: {one}" for one in missed) or "The bar holds."))
    return int(bool(missed))


def seasons(
    servers: dict[int, tuple[Driver, ServerProcess]], given: argparse.Namespace
) -> Sequence[str]:
    """Prints what a request takes in each season; what grew too much, in words."""
    missed = []
    heads = [f"{teams:,} teams, ms" for teams in SEASONS]
    print(report.row("job", *heads, "growth"))
    print(report.row(*("---" for _ in range(len(SEASONS) + 2))))
    for job in READS:
        # All seasons one right after the other, taking turns to begin.
        rounds = [
            {
                teams: milliseconds(*servers[teams], job, given.seconds)
                for teams in (SEASONS if turn % 2 == 0 else SEASONS[::-1])
            }
            for turn in range(given.rounds)
        ]
        took = [f"{median(one[teams] for one in rounds):.3f}" for teams in SEASONS]
        growth = median(one[SEASONS[-1]] / one[SEASONS[0]] for one in rounds)
        print(report.row(report.JOBS[job], *took, f"{growth:.2f}"), flush=True)
        if growth >= GROWTH_BAR:
            missed.append(f"{job} grew to {growth:.2f} times, the bar is {GROWTH_BAR}.")
    return missed


def pages(driver: Driver, server: ServerProcess, given: argparse.Namespace) -> None:
    """Prints what pages of each size take."""
    print("\n" + report.row("teams on a page", "ms", "ms for each team"))
    print(report.row("---", "---", "---"))
    rounds: list[dict[int, float]] = []
    for _ in range(given.rounds):
        found = {}
        for size in PAGES:
            driver.page_size = size
            found[size] = milliseconds(driver, server, "B", given.seconds)
        rounds.append(found)
    for size in PAGES:
        took = median(one[size] for one in rounds)
        print(report.row(str(size), f"{took:.3f}", f"{took / size:.4f}"), flush=True)


if __name__ == "__main__":
    sys.exit(main())
