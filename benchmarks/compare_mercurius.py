"""Ours beside Mercurius, the fastest of Node's: `python benchmarks/compare_mercurius.py --help`.

Mercurius runs with its JIT compiler and the single statements of the limit, without middleware;
ours with everything that production has. Ends with 1 where ours is behind, and says so when there
is no node to run it with.
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
# Started as a script, Python looks for modules only beside it.
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
from benchmarks.scenarios import Scenario  # noqa: E402
from benchmarks.servers import (  # noqa: E402
    ServerProcess,
    baseline_server,
    free_port,
    our_server,
    running_process,
)

PEER = Path(__file__).parent / "mercurius"
DATABASE = "icct26"
CONNECTIONS = 16
COMPARED: tuple[Scenario, ...] = ("A", "B", "C")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement (1)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts (5)")
    parser.add_argument("--teams", type=int, default=10_000, help="of 15 players (10,000)")
    return parser.parse_args()


def install() -> str | None:
    """Where node is; None when there is nothing to install with."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    subprocess.run([npm, "ci", "--silent", "--prefix", str(PEER)], check=True, cwd=PEER)
    return node


@contextmanager
def mercurius_server(node: str, socket: Path, folder: Path) -> Iterator[ServerProcess]:
    port = free_port()
    told = {
        "port": port,
        "socket": str(socket),
        "database": DATABASE,
        "register": REGISTER,
        "find": FIND,
        "list": LIST,
    }
    command = [node, str(PEER / "server.mjs")]
    with running_process("mercurius", command, port, folder, {"PEER": json.dumps(told)}) as served:
        yield served


def main() -> int:
    given = options()
    # An ended benchmark ends its processes too.
    signal.signal(signal.SIGTERM, exit_on_signal)
    node = install()
    if node is None:
        print("NOT RUN: there is no node with npm here, so that there is nobody to compare with.")
        return 0
    print(f"{report.machine()}; {given.rounds} rounds of {given.seconds:g} s.\n")
    driver = Driver(teams=given.teams)
    with tempfile.TemporaryDirectory(prefix="icct26-peers-") as name:
        folder = Path(name)
        with benchmark_database(folder / "database") as embedded:
            url = embedded.connected_url(DATABASE)
            with our_server(url, folder) as ours:
                asyncio.run(prepare_database(url, given.teams))
                with (
                    mercurius_server(node, embedded.socket_dir, folder) as peer,
                    baseline_server(url, folder) as limit,
                ):
                    servers = [ours, peer, limit]
                    warm_up(driver, servers, COMPARED)
                    rounds = [
                        run_round(driver, order, job, CONNECTIONS, given.seconds)
                        for order in alternating_orders(servers, given.rounds)
                        for job in COMPARED
                    ]
    print(report.table(rounds) + "\n")
    missed = [*report.broken(rounds), *behind(rounds)]
    print("\n".join(f"FAILED: {one}" for one in missed) or "Ours is ahead.")
    return int(bool(missed))


def behind(rounds: list[report.Round]) -> Iterator[str]:
    for job in COMPARED:
        ratio = median(one.ratio("ours", "mercurius") for one in rounds if one.job == job)
        if ratio <= 1:
            yield f"{job}: ours has {ratio:.2f} of Mercurius' rate."


if __name__ == "__main__":
    sys.exit(main())
