"""Compare the service with Mercurius on Node: `python benchmarks/compare_mercurius.py --help`.

Mercurius runs with its JIT compiler and the SQL statements of the baseline server. Two pairs are
compared: both as in production (security headers, CORS, compression, rate limits, request ids, a
JSON access log, a look-up of the bearer token for each request), and both bare (no middleware, no
sign-in). Exits with 1 if a bar is missed. Without node and npm it prints NOT RUN and exits with 0.
"""

import argparse
import asyncio
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
# A script has only its own folder on sys.path, not the project's.
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402
from benchmarks.asyncpg_baseline import FIND, LIST, REGISTER  # noqa: E402
from benchmarks.harness import (  # noqa: E402
    Driver,
    alternating_orders,
    benchmark_database,
    exit_on_signal,
    prepare_database,
    run_round,
    warm_up,
)
from benchmarks.scenarios import ORGANISERS, Scenario, token  # noqa: E402
from benchmarks.servers import (  # noqa: E402
    ServerProcess,
    baseline_server,
    free_port,
    no_middleware_server,
    our_server,
    running_process,
)

MERCURIUS_FOLDER = Path(__file__).parent / "mercurius"
DATABASE = "icct26"
CONNECTIONS = 16
COMPARED_SCENARIOS = (Scenario.REGISTER, Scenario.PAGE, Scenario.TEAM)
# The minimum ratio of the request rates of our server and of Mercurius, by their names.
BARS = {("ours", "mercurius"): 1.2, ("no_middleware", "mercurius_bare"): 1.0}
AUTHENTICATE = """
    SELECT o.id, o.role, t.role AS token_role, t.expires_at FROM api_token t
    JOIN organiser o ON o.id = t.organiser_id WHERE t.token_hash = $1
"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="duration of each measurement (1)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the median is reported (5)")
    parser.add_argument(
        "--teams", type=int, default=10_000, help="teams of 15 players in the database (10,000)"
    )
    return parser.parse_args()


def install() -> str | None:
    """Install Mercurius and return the path of node; None without node or npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    subprocess.run(
        [npm, "ci", "--silent", "--prefix", str(MERCURIUS_FOLDER)], check=True, cwd=MERCURIUS_FOLDER
    )
    return node


@contextmanager
def mercurius_server(
    node: str, socket: Path, folder: Path, *, is_bare: bool
) -> Iterator[ServerProcess]:
    port = free_port()
    name = "mercurius_bare" if is_bare else "mercurius"
    options = {
        "port": port,
        "socket": str(socket),
        "database": DATABASE,
        "register": REGISTER,
        "find": FIND,
        "list": LIST,
        "authenticate": AUTHENTICATE,
        "isBare": is_bare,
    }
    command = [node, str(MERCURIUS_FOLDER / "server.mjs")]
    with running_process(name, command, port, folder, {"OPTIONS": json.dumps(options)}) as server:
        yield server


def main() -> int:
    args = parse_arguments()
    # Exit by exception, so that the context managers stop the servers.
    signal.signal(signal.SIGTERM, exit_on_signal)
    node = install()
    if node is None:
        print("NOT RUN: node and npm are not installed.")
        return 0
    print(f"{report.machine()}; {args.rounds} rounds of {args.seconds:g} s.\n")
    driver = Driver(teams=args.teams, tokens=[token(number) for number in range(ORGANISERS)])
    with tempfile.TemporaryDirectory(prefix="icct26-peers-") as name:
        folder = Path(name)
        with benchmark_database(folder / "database") as embedded:
            url = embedded.connected_url(DATABASE)
            with our_server(url, folder) as ours:
                asyncio.run(prepare_database(url, args.teams))
                with (
                    mercurius_server(node, embedded.socket_dir, folder, is_bare=False) as mercurius,
                    no_middleware_server(url, folder, "--no-sign-in") as bare,
                    mercurius_server(node, embedded.socket_dir, folder, is_bare=True) as their_bare,
                    baseline_server(url, folder) as baseline,
                ):
                    servers = [ours, mercurius, bare, their_bare, baseline]
                    warm_up(driver, servers, COMPARED_SCENARIOS)
                    rounds = [
                        run_round(driver, order, scenario, CONNECTIONS, args.seconds)
                        for order in alternating_orders(servers, args.rounds)
                        for scenario in COMPARED_SCENARIOS
                    ]
    print(report.table(rounds) + "\n")
    missed = [*report.request_failures(rounds), *ratio_failures(rounds)]
    print("\n".join(ratios(rounds)))
    print("\n".join(f"FAILED: {failure}" for failure in missed) or "The service is faster.")
    return int(bool(missed))


def median_ratios(rounds: list[report.Round]) -> Iterator[tuple[Scenario, str, str, float]]:
    for scenario in COMPARED_SCENARIOS:
        for name, other in BARS:
            group = report.select(rounds, scenario, CONNECTIONS)
            yield scenario, name, other, median(each.ratio(name, other) for each in group)


def ratios(rounds: list[report.Round]) -> Iterator[str]:
    for scenario, name, other, ratio in median_ratios(rounds):
        yield f"{scenario}: {name} has {ratio:.2f} times the rate of {other}."


def ratio_failures(rounds: list[report.Round]) -> Iterator[str]:
    for scenario, name, other, ratio in median_ratios(rounds):
        bar = BARS[name, other]
        if ratio < bar:
            yield f"{scenario}: {name} has {ratio:.2f} times the rate of {other}, the bar is {bar}."


if __name__ == "__main__":
    sys.exit(main())
