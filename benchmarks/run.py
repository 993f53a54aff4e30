"""Compare the service with a hand-written baseline: `python benchmarks/run.py --help`."""

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
# A script has only its own folder on sys.path, not the project's.
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
from benchmarks.scenarios import Scenario  # noqa: E402
from benchmarks.servers import (  # noqa: E402
    ServerProcess,
    baseline_server,
    idiomatic_server,
    no_middleware_server,
    our_server,
)

RESULTS = Path(__file__).parent / "RESULTS.md"
MEMORY_REQUESTS = 10_000
# Range of the first team number, so that repeated runs register different teams.
NUMBER_RANGE = 90_000_000


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="duration of each measurement (1)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the median is reported (5)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--scenarios", nargs="+", type=scenario, help="names or letters (all)")
    parser.add_argument(
        "--teams", type=int, default=10_000, help="teams of 15 players in the database (10,000)"
    )
    parser.add_argument("--record", action="store_true", help="add the result to RESULTS.md")
    parser.add_argument("--url", help="measure only the running service at this URL")
    parser.add_argument(
        "--token", action="append", default=[], help="API token for PAGE and TEAM, with --url"
    )
    args = parser.parse_args()
    # By default, a run against a deployed service changes nothing there.
    args.scenarios = args.scenarios or ([Scenario.HEALTH] if args.url else list(Scenario))
    if args.url and {Scenario.PAGE, Scenario.TEAM} & set(args.scenarios) and not args.token:
        parser.error("PAGE and TEAM read as an organiser: give --token with --url.")
    return args


def scenario(text: str) -> Scenario:
    """Convert a scenario's name or letter."""
    return Scenario[text] if text in Scenario.__members__ else Scenario(text)


def main() -> int:
    args = parse_arguments()
    # Exit by exception, so that the context managers stop the servers.
    signal.signal(signal.SIGTERM, exit_on_signal)
    if args.url:
        return measure_remote(args)
    machine = report.machine()
    driver = Driver(teams=args.teams)
    with tempfile.TemporaryDirectory(prefix="icct26-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        embedded = stack.enter_context(benchmark_database(folder / "database"))
        url = embedded.connected_url("icct26")
        ours = stack.enter_context(our_server(url, folder))
        base = asyncio.run(prepare_database(url, args.teams))
        others = [
            stack.enter_context(server)
            for server in (
                baseline_server(url, folder),
                no_middleware_server(url, folder),
                our_server(url, folder, name="plain", COMPILED_EXECUTION="false"),
                idiomatic_server(url, folder),
            )
        ]
        rounds, memory = measure(driver, [ours, *others], args)
        missing = asyncio.run(missing_rows(url, base, driver.registered))
    tables = f"{report.table(rounds)}\n\n{report.memory_line(memory)}"
    setting = f"{machine}; {args.rounds} rounds of {args.seconds:g} s."
    rows = f"Rows of {driver.registered} registrations: {missing or 'complete'}."
    print(f"{setting}\n\n{tables}\n\n{rows}")
    if args.record:
        record(setting, tables)
    missed = report.failures(rounds, memory) + ([f"Rows: {missing}."] if missing else [])
    print("\n".join(f"FAILED: {failure}" for failure in missed) or "All bars hold.")
    return 1 if missed else 0


def measure(
    driver: Driver, servers: list[ServerProcess], args: argparse.Namespace
) -> tuple[list[report.Round], report.Memory]:
    ours, baseline = servers[:2]
    at_start = ours.resident_mb()
    warm_up(driver, servers, args.scenarios)
    rounds = [
        run_round(driver, order, scenario, connections, args.seconds)
        for order in alternating_orders(servers, args.rounds)
        for scenario in args.scenarios
        for connections in args.connections
    ]
    left = MEMORY_REQUESTS - driver.answered[ours.name]
    if left > 0:
        driver.run_load(ours, Scenario.HEALTH, 16, requests=left)
    memory = report.Memory(
        requests=driver.answered[ours.name],
        at_start_mb=at_start,
        resident_mb=ours.resident_mb(),
        baseline_mb=baseline.resident_mb(),
    )
    return rounds, memory


def measure_remote(args: argparse.Namespace) -> int:
    """Measure a running service, without bars. Returns 1 if a request failed."""
    driver = Driver(teams=args.teams, tokens=args.token, next_team=int(time.time()) % NUMBER_RANGE)
    url = urljoin(args.url, "/graphql")
    failed = 0
    print(report.row("scenario", "connections", "req/s", "p50 ms", "p99 ms"))
    for scenario in args.scenarios:
        for connections in args.connections:
            results = [
                driver.load(url, scenario, connections, seconds=args.seconds)
                for _ in range(args.rounds)
            ]
            cells = report.measured_cells(results)
            print(
                report.row(report.SCENARIO_LABELS[scenario], str(connections), *cells), flush=True
            )
            for result in results:
                failed += result.errors
                if result.errors:
                    print(f"FAILED: {result.errors} of {result.requests}: {result.first_error}")
    return int(failed > 0)


def record(setting: str, tables: str) -> None:
    """Add the result to RESULTS.md, before the older ones."""
    content = RESULTS.read_text(encoding="utf-8")
    introduction, heading, older = content.partition("\n## ")
    time, _, rest = setting.partition(", ")
    entry = f"\n## {time}\n\n{rest[:1].upper()}{rest[1:]}\n\n{tables}\n"
    RESULTS.write_text(f"{introduction.rstrip()}\n{entry}{heading}{older}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
