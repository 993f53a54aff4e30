"""Measure how response times grow with the data: `python benchmarks/scaling.py --help`.

Reads one team by its code, and a page of 50 teams without `totalCount`, from seasons of 1,000 to
100,000 teams; then pages of 10 to 100 teams. Exits with 1 if the largest season is too slow
compared with the smallest.
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
# A script has only its own folder on sys.path, not the project's.
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402
from benchmarks.harness import Driver, connect, exit_on_signal, prepare_database, warm_up  # noqa: E402
from benchmarks.scenarios import Scenario  # noqa: E402
from benchmarks.servers import ServerProcess, our_server  # noqa: E402
from persistence.embedded.server import EmbeddedPostgres  # noqa: E402

CONNECTIONS = 16
READ_SCENARIOS = (Scenario.PAGE, Scenario.TEAM)
SEASONS = (1_000, 10_000, 100_000)
PAGES = (10, 25, 50, 100)
PAGED_SEASON = 10_000
# Maximum ratio of the time of a request in the largest season to that in the smallest.
GROWTH_BAR = 1.15


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="duration of each measurement (2)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the median is reported (5)")
    return parser.parse_args()


async def create_database(url: str, database: str) -> None:
    async with connect(url) as connection:
        await connection.execute(f"CREATE DATABASE {database}")


def milliseconds(
    driver: Driver, server: ServerProcess, scenario: Scenario, seconds: float
) -> float:
    """Return the time for each request, of all connections together."""
    load = driver.run_load(server, scenario, CONNECTIONS, seconds=seconds).measured
    if load.errors:
        raise SystemExit(f"{scenario.name} failed: {load.first_error}")
    return 1000 / load.per_second


def main() -> int:
    args = parse_arguments()
    # Exit by exception, so that the context managers stop the servers.
    signal.signal(signal.SIGTERM, exit_on_signal)
    print(f"{report.machine()}; {args.rounds} rounds of {args.seconds:g} s.\n")
    with tempfile.TemporaryDirectory(prefix="icct26-growth-") as name, ExitStack() as stack:
        folder = Path(name)
        embedded = stack.enter_context(EmbeddedPostgres(folder / "database"))
        servers: dict[int, tuple[Driver, ServerProcess]] = {}
        for teams in SEASONS:
            driver, season = Driver(teams=teams), f"season{teams}"
            asyncio.run(create_database(embedded.connected_url("icct26"), season))
            url = embedded.connected_url(season)
            server = stack.enter_context(our_server(url, folder, name=season))
            asyncio.run(prepare_database(url, teams))
            warm_up(driver, [server], READ_SCENARIOS)
            servers[teams] = driver, server
        missed = measure_seasons(servers, args)
        measure_pages(*servers[PAGED_SEASON], args)
    print("\n" + ("\n".join(f"FAILED: {failure}" for failure in missed) or "The bar holds."))
    return int(bool(missed))


def measure_seasons(
    servers: dict[int, tuple[Driver, ServerProcess]], args: argparse.Namespace
) -> Sequence[str]:
    """Print the time of a request in each season; return descriptions of missed bars."""
    missed = []
    headings = [f"{teams:,} teams, ms" for teams in SEASONS]
    print(report.row("scenario", *headings, "growth"))
    print(report.row(*("---" for _ in range(len(SEASONS) + 2))))
    for scenario in READ_SCENARIOS:
        # Measure the seasons directly after each other, in alternating order.
        rounds = [
            {
                teams: milliseconds(*servers[teams], scenario, args.seconds)
                for teams in (SEASONS if turn % 2 == 0 else SEASONS[::-1])
            }
            for turn in range(args.rounds)
        ]
        times = [f"{median(times[teams] for times in rounds):.3f}" for teams in SEASONS]
        growth = median(times[SEASONS[-1]] / times[SEASONS[0]] for times in rounds)
        print(report.row(report.SCENARIO_LABELS[scenario], *times, f"{growth:.2f}"), flush=True)
        if growth >= GROWTH_BAR:
            missed.append(f"{scenario} grew to {growth:.2f} times, the bar is {GROWTH_BAR}.")
    return missed


def measure_pages(driver: Driver, server: ServerProcess, args: argparse.Namespace) -> None:
    """Print the time of a request for each page size."""
    print("\n" + report.row("page size", "ms", "ms for each team"))
    print(report.row("---", "---", "---"))
    rounds: list[dict[int, float]] = []
    for _ in range(args.rounds):
        times = {}
        for size in PAGES:
            driver.page_size = size
            times[size] = milliseconds(driver, server, Scenario.PAGE, args.seconds)
        rounds.append(times)
    for size in PAGES:
        time = median(times[size] for times in rounds)
        print(report.row(str(size), f"{time:.3f}", f"{time / size:.4f}"), flush=True)


if __name__ == "__main__":
    sys.exit(main())
