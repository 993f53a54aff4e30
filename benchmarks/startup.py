"""Measure the start of the service: `python benchmarks/startup.py --help`.

The time runs from the start of the process to the first response of `/readyz`, on a database that
has its tables: with a given database, and with the embedded one. Exits with 1 if a bar is missed.
"""

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from statistics import median
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).parent.parent
# A script has only its own folder on sys.path, not the project's.
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402
from benchmarks.servers import end, free_port, minimal_environment, service_environment  # noqa: E402
from persistence.embedded.server import EmbeddedPostgres  # noqa: E402

BAR_SECONDS = 1.5
START_TIMEOUT_SECONDS = 60.0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds; the median is reported (7)")
    return parser.parse_args()


def start_seconds(variables: dict[str, str], folder: Path) -> float:
    """Start the service, return the seconds until it is ready, and stop it."""
    started_at = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), "serve"],
        cwd=folder,
        env={**minimal_environment(), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while time.perf_counter() < started_at + START_TIMEOUT_SECONDS:
            # Check the port first: failing HTTP requests would use half of the other core.
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", int(variables["PORT"]))):
                    time.sleep(0.005)
                    continue
            with (
                suppress(URLError, ConnectionError),
                urlopen(f"http://127.0.0.1:{variables['PORT']}/readyz", timeout=5),
            ):
                return time.perf_counter() - started_at
        raise SystemExit("The service did not start.")
    finally:
        end(process)


def main() -> int:
    args = parse_arguments()
    print(f"{report.machine()}; {args.rounds} rounds after a warm-up.\n")
    missed = []
    with tempfile.TemporaryDirectory(prefix="icct26-startup-") as name:
        folder = Path(name)
        with EmbeddedPostgres(folder / "given") as embedded:
            variables = service_environment(
                embedded.connected_url("icct26"), folder / "data", free_port()
            )
            own = {key: value for key, value in variables.items() if key != "DATABASE_URL"}
            own |= {"DATA_DIR": str(folder / "own"), "ENVIRONMENT": "development"}
            for label, environment in (
                ("a given database", variables),
                ("the embedded database", own),
            ):
                start_seconds(environment, folder)
                took = median(start_seconds(environment, folder) for _ in range(args.rounds))
                print(f"With {label}: {took:.2f} s (bar: {BAR_SECONDS} s).", flush=True)
                if took >= BAR_SECONDS:
                    missed.append(label)
    print("\n" + ("FAILED: with " + " and with ".join(missed) if missed else "The bar holds."))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
