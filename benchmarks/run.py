"""Measure the service beside the raw limit: `python benchmarks/run.py --help`."""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urljoin

ROOT = Path(__file__).parent.parent
# Started as a script, Python looks for modules only beside it.
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402
from benchmarks.harness import (  # noqa: E402
    Driver,
    alternating_orders,
    benchmark_database,
    exit_on_signal,
    missing_rows,
    prepare_database,
    run_round,
    warm_up,
)
from benchmarks.servers import (  # noqa: E402
    ServerProcess,
    baseline_server,
    idiomatic_server,
    no_middleware_server,
    our_server,
)

RESULTS = Path(__file__).parent / "RESULTS.md"
MEMORY_REQUESTS = 10_000
# So that another run against the same service registers other teams.
NUMBERS = 90_000_000


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement (1)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts (5)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--jobs", nargs="+", choices=list(report.JOBS))
    parser.add_argument("--teams", type=int, default=10_000, help="of 15 players (10,000)")
    parser.add_argument("--record", action="store_true", help="put the result into RESULTS.md")
    parser.add_argument("--url", help="of a service that runs: nothing else is measured")
    parser.add_argument("--token", action="append", default=[], help="for B and C, with --url")
    given = parser.parse_args()
    # What is asked of strangers' services by default changes nothing there.
    given.jobs = given.jobs or (["D"] if given.url else list(report.JOBS))
    if given.url and {"B", "C"} & set(given.jobs) and not given.token:
        parser.error("B and C read as an organiser: --token is needed with --url.")
    return given


def main() -> int:
    given = options()
    # An ended benchmark ends its processes too.
    signal.signal(signal.SIGTERM, exit_on_signal)
    if given.url:
        return elsewhere(given)
    machine = report.machine()
    driver = Driver(teams=given.teams)
    with tempfile.TemporaryDirectory(prefix="icct26-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        embedded = stack.enter_context(benchmark_database(folder / "database"))
        url = embedded.connected_url("icct26")
        ours = stack.enter_context(our_server(url, folder))
        base = asyncio.run(prepare_database(url, given.teams))
        others = [
            stack.enter_context(server)
            for server in (
                baseline_server(url, folder),
                no_middleware_server(url, folder),
                our_server(url, folder, name="plain", COMPILED_EXECUTION="false"),
                idiomatic_server(url, folder),
            )
        ]
        rounds, memory = measure(driver, [ours, *others], given)
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
    driver: Driver, servers: list[ServerProcess], given: argparse.Namespace
) -> tuple[list[report.Round], report.Memory]:
    ours, limit = servers[:2]
    at_start = ours.resident_mb()
    warm_up(driver, servers, given.jobs)
    rounds = [
        run_round(driver, order, job, connections, given.seconds)
        for order in alternating_orders(servers, given.rounds)
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
        limit_mb=limit.resident_mb(),
    )
    return rounds, memory


def elsewhere(given: argparse.Namespace) -> int:
    """Measure a service that runs; its bars are its owner's. 1 when a request failed."""
    driver = Driver(teams=given.teams, tokens=given.token, next_team=int(time.time()) % NUMBERS)
    url = urljoin(given.url, "/graphql")
    failed = 0
    print(report.row("job", "connections", "req/s", "p50 ms", "p99 ms"))
    for job in given.jobs:
        for connections in given.connections:
            found = [
                driver.load(url, job, connections, seconds=given.seconds)
                for _ in range(given.rounds)
            ]
            cells = report.measured_cells(found)
            print(report.row(report.JOBS[job], str(connections), *cells), flush=True)
            for one in found:
                failed += one.errors
                if one.errors:
                    print(f"FAILED: {one.errors} of {one.requests}: {one.first_error}")
    return int(failed > 0)


def record(setting: str, shown: str) -> None:
    """Newest first, below the introduction."""
    known = RESULTS.read_text(encoding="utf-8")
    introduction, mark, older = known.partition("\n## ")
    moment, _, rest = setting.partition(", ")
    entry = f"\n## {moment}\n\n{rest[:1].upper()}{rest[1:]}\n\n{shown}\n"
    RESULTS.write_text(f"{introduction.rstrip()}\n{entry}{mark}{older}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
