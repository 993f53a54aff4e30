"""Start, observe and stop the server processes that are measured."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.scenarios import Scenario

ROOT = Path(__file__).parent.parent
START_SECONDS = 60
STOP_SECONDS = 15
TICKS = os.sysconf("SC_CLK_TCK")
RATE_LIMIT = "100000"
RATE_LIMIT_ALL = "10000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProcess:
    """A running server."""

    name: str
    pid: int
    port: int
    # `{scenario}` is replaced by the scenario's letter.
    path: str = "/graphql"

    def url(self, scenario: Scenario) -> str:
        return f"http://127.0.0.1:{self.port}{self.path.format(scenario=scenario)}"

    def cpu_seconds(self) -> float:
        """Return the user and system time of the process, with a resolution of 1/100 s."""
        stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
        after_name = stat.rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / TICKS

    def resident_mb(self) -> float:
        return self._memory_mb("VmRSS:")

    def peak_mb(self) -> float:
        """Return the largest resident memory since the start or `reset_peak`."""
        return self._memory_mb("VmHWM:")

    def reset_peak(self) -> None:
        """Start measuring `peak_mb` again from the current value."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")

    def _memory_mb(self, name: str) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith(name))
        return int(line.split()[1]) / 1024


@contextmanager
def our_server(
    url: str, folder: Path, *, name: str = "ours", **changes: str
) -> Iterator[ServerProcess]:
    """Run `cli.py serve` with production settings; 127.0.0.1 is a trusted proxy."""
    port = free_port()
    command = [sys.executable, str(ROOT / "cli.py"), "serve"]
    variables = service_environment(url, folder / f"data-{name}", port) | changes
    with running_process(name, command, port, folder, variables) as server:
        yield server


@contextmanager
def no_middleware_server(url: str, folder: Path, *options: str) -> Iterator[ServerProcess]:
    """Run the service without middleware, on a database that has its tables already."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.no_middleware", *options]
    variables = service_environment(url, folder / "data-no_middleware", port)
    with running_process("no_middleware", command, port, folder, variables) as server:
        yield server


@contextmanager
def baseline_server(url: str, folder: Path) -> Iterator[ServerProcess]:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "benchmarks.asyncpg_baseline",
        "--dsn",
        dsn(url),
        "--port",
        str(port),
    ]
    with running_process("baseline", command, port, folder, {}) as server:
        yield replace(server, path="/{scenario}")


@contextmanager
def upload_baseline_server(folder: Path) -> Iterator[ServerProcess]:
    port, target = free_port(), folder / "upload_baseline"
    target.mkdir()
    command = [sys.executable, "-m", "benchmarks.upload_baseline"]
    command += ["--port", str(port), "--folder", str(target)]
    with running_process("upload_baseline", command, port, folder, {}) as server:
        yield server


@contextmanager
def idiomatic_server(url: str, folder: Path) -> Iterator[ServerProcess]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.idiomatic", "--url", url, "--port", str(port)]
    with running_process("idiomatic", command, port, folder, {}) as server:
        yield server


def dsn(url: str) -> str:
    """Convert a SQLAlchemy URL to the form that asyncpg accepts."""
    return url.replace("postgresql+asyncpg://", "postgresql://")


def service_environment(url: str, data: Path, port: int) -> dict[str, str]:
    return {
        "ENVIRONMENT": "production",
        "PORT": str(port),
        "DATA_DIR": str(data),
        "DATABASE_URL": url,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "ALLOWED_HOSTS": "127.0.0.1",
        "TRUSTED_PROXIES": "127.0.0.1",
        "REQUIRED_DOCUMENTS": "none",
        "RATE_LIMIT_ALL": RATE_LIMIT_ALL,
        "RATE_LIMIT_REQUESTS": RATE_LIMIT,
        "RATE_LIMIT_QUERIES": RATE_LIMIT,
        "RATE_LIMIT_UPLOADS": RATE_LIMIT,
    }


@contextmanager
def running_process(
    name: str, command: list[str], port: int, folder: Path, variables: dict[str, str]
) -> Iterator[ServerProcess]:
    """Run a process until it listens on `port`, and stop it at the end."""
    log = folder / f"{name}.log"
    # Not in the project's folder, so that no .env file there changes the settings.
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**minimal_environment(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            await_port(process, port, log)
            yield ServerProcess(name=name, pid=process.pid, port=port)
        finally:
            end(process)


def minimal_environment() -> dict[str, str]:
    """Return the variables that every process needs, without settings of the service."""
    variables = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    return {**variables, "PYTHONPATH": str(ROOT)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise SystemExit(f"The server did not start:\n{tail}")


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
