"""How long the service takes to start: `python benchmarks/startup.py --help`.

From the start of the process to the first answer of `/readyz`, on a database that has its tables,
with the database given and with the one that the service starts itself. Ends with 1 above the bar.
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
# Started as a script, Python looks for modules only beside it.
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402
from benchmarks.servers import end, free_port, minimal_environment, service_environment  # noqa: E402
from persistence.embedded.server import EmbeddedPostgres  # noqa: E402

BAR_SECONDS = 1.5
GIVEN_UP_SECONDS = 60.0


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of which the median counts (7)")
    return parser.parse_args()


def started_after(variables: dict[str, str], folder: Path) -> float:
    """Seconds until the service is ready. It is ended afterwards."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), "serve"],
        cwd=folder,
        env={**minimal_environment(), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while time.perf_counter() < began + GIVEN_UP_SECONDS:
            # Asking for an answer each time would take the other core half away from the service.
            with closing(socket.socket()) as asking:
                if asking.connect_ex(("127.0.0.1", int(variables["PORT"]))):
                    time.sleep(0.005)
                    continue
            with (
                suppress(URLError, ConnectionError),
                urlopen(f"http://127.0.0.1:{variables['PORT']}/readyz", timeout=5),
            ):
                return time.perf_counter() - began
        raise SystemExit("The service did not start.")
    finally:
        end(process)


def main() -> int:
    given = options()
    print(f"{report.machine()}; {given.rounds} rounds after a first one.\n")
    missed = []
    with tempfile.TemporaryDirectory(prefix="icct26-startup-") as name:
        folder = Path(name)
        with EmbeddedPostgres(folder / "given") as embedded:
            variables = service_environment(
                embedded.connected_url("icct26"), folder / "data", free_port()
            )
            own = {key: value for key, value in variables.items() if key != "DATABASE_URL"}
            own |= {"DATA_DIR": str(folder / "own"), "ENVIRONMENT": "development"}
            for label, one in (("a database that is given", variables), ("its own", own)):
                started_after(one, folder)
                took = median(started_after(one, folder) for _ in range(given.rounds))
                print(f"With {label}: {took:.2f} s (bar: {BAR_SECONDS} s).", flush=True)
                if took >= BAR_SECONDS:
                    missed.append(label)
    print("\n" + ("FAILED: with " + " and with ".join(missed) if missed else "The bar holds."))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
