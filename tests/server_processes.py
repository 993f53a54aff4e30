"""Real server processes, which tests use over HTTP, stop and kill."""

import asyncio
import inspect
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from settings import Settings
from tests import factories

CLI = Path(__file__).parents[1] / "cli.py"
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 90
# Below the ephemeral ports: a client connection could take the port of a killed server before its
# restart.
PORTS = range(20_000, 32_000)
CONNECTION_LIMITS = httpx.Limits(max_connections=300, max_keepalive_connections=300)


async def wait_until(condition: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    """Poll `condition`. Raises TimeoutError with the text `what`."""
    for _ in range(round(PATIENCE_SECONDS / POLL_SECONDS)):
        met = condition()
        if await met if inspect.isawaitable(met) else met:
            return
        await asyncio.sleep(POLL_SECONDS)
    raise TimeoutError(what)


class ServerProcess:
    """`python cli.py serve` in `folder` with these environment variables only."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._variables = {"PORT": str(self.port), **variables}
        self._process: subprocess.Popen | None = None

    async def start(self) -> None:
        """Start the process and wait until it is ready. May be called again after its end."""
        self.spawn()
        await self.ready()

    def spawn(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._output("stdout").open("wb") as out, self._output("stderr").open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, str(CLI), "serve"],
                cwd=self.folder,
                env=process_environment(self._variables),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    async def ready(self) -> None:
        async with self.client() as client:

            async def is_ready() -> bool:
                if self.process.poll() is not None:
                    raise AssertionError(f"The server ended while starting:\n{self.stderr}")
                try:
                    return (await client.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await wait_until(is_ready, f"{self.address} is ready")

    @property
    def process(self) -> subprocess.Popen:
        assert self._process is not None
        return self._process

    @property
    def stdout(self) -> str:
        return self._output("stdout").read_text()

    @property
    def stderr(self) -> str:
        return self._output("stderr").read_text()

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.address,
            limits=CONNECTION_LIMITS,
            timeout=PATIENCE_SECONDS,
            trust_env=False,
        )

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end; return the exit code, negative for a signal."""
        await wait_until(lambda: self.process.poll() is not None, "the server ends")
        return self.process.wait()

    async def kill(self) -> None:
        self.send(signal.SIGKILL)
        await self.ended()

    def clean_up(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _output(self, name: str) -> Path:
        return self.folder / name


async def run_cli(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """Run a command to its end."""
    folder.mkdir(parents=True, exist_ok=True)
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, str(CLI), *arguments],
        cwd=folder,
        env=process_environment(variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


async def register(client: httpx.AsyncClient, team: dict, key: str | None = None) -> dict:
    """Send registerTeam and return the response body."""
    answer = await client.post(
        "/graphql",
        json={"query": factories.REGISTER, "variables": {"input": team}},
        headers={"Idempotency-Key": key} if key else {},
    )
    return answer.json()


def team_or_error_code(body: dict) -> str:
    """Return the team's code, or the error code."""
    if "errors" in body:
        return body["errors"][0]["extensions"]["code"]
    return body["data"]["registerTeam"]["team"]["code"]


def team_codes(first: int, last: int) -> list[str]:
    return [f"ICCT-{number:03}" for number in range(first, last + 1)]


def process_environment(variables: dict[str, str]) -> dict[str, str]:
    settings = {name for names in Settings.names().values() for name in names}
    inherited = {name: value for name, value in os.environ.items() if name.upper() not in settings}
    return inherited | {"ENVIRONMENT": "test", "ENABLE_RATE_LIMITING": "false"} | variables


def free_port() -> int:
    """Return a free port that this process has not returned before.

    Each test worker searches from another start.
    """
    start = os.getpid() * 31 % len(PORTS)
    for port in (*PORTS[start:], *PORTS[:start]):
        if port in _given_ports:
            continue
        _given_ports.add(port)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("No port is free.")


_given_ports: set[int] = set()
