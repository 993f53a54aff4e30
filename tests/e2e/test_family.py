"""Any process of a running service killed: the service recovers or ends as a whole."""

import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from persistence.embedded.server import EmbeddedPostgres
from tests import factories
from tests.e2e.rows import registered_codes
from tests.server_processes import register, team_codes, team_or_error_code, wait_until

WORKERS = 2
OUTAGE_SECONDS = 5
KINDS = (
    "worker",
    "fork_workers",
    "postmaster",
    "backend",
    "checkpointer",
    "fork_workers",
    "walwriter",
    "worker",
)


def command(pid):
    """Return the command line; empty for a process that has ended or is a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def children(pid):
    result = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(stat[1]) == pid and stat[0] != "Z":
                result.append(int(entry.name))
    return sorted(result)


class ProcessTree:
    """The processes of a server."""

    def __init__(self, server, data_dir, start_seconds):
        self.server = server
        self.data_dir = data_dir
        # On a slow machine, a restart takes as long as a start.
        self.longest_outage = max(OUTAGE_SECONDS, start_seconds)

    def parent_of_workers(self):
        return [pid for pid in children(self.server.process.pid) if "fork_workers" in command(pid)]

    def workers(self):
        return [worker for pid in self.parent_of_workers() for worker in children(pid)]

    def postmaster(self):
        pid_file = self.data_dir / "postgres18" / "cluster" / "postmaster.pid"
        lines = pid_file.read_text().splitlines() if pid_file.exists() else []
        return [int(lines[0])] if lines else []

    def database(self):
        return [each for pid in self.postmaster() for each in children(pid)]

    def pids(self, kind):
        if kind == "worker":
            return self.workers()
        if kind == "fork_workers":
            return self.parent_of_workers()
        if kind == "postmaster":
            return self.postmaster()
        title = "[local]" if kind == "backend" else kind
        return [pid for pid in self.database() if title in command(pid)]

    def all(self):
        return [
            *self.parent_of_workers(),
            *self.workers(),
            *self.postmaster(),
            *self.database(),
        ]

    async def kill(self, kind):
        await wait_until(lambda: self.pids(kind), f"there is a {kind}")
        pid = self.pids(kind)[0]
        os.kill(pid, signal.SIGKILL)
        await wait_until(lambda: not command(pid), f"the {kind} is gone")

    async def accepts_registration(self, number):
        """Return whether a registration succeeds."""
        try:
            async with self.server.client() as client:
                body = await register(client, factories.team(number), f"key-of-team-{number}")
        except httpx.TransportError:
            return False
        assert "errors" not in body or team_or_error_code(body) == "SERVICE_UNAVAILABLE"
        return "errors" not in body


@pytest.fixture
async def family(make_server, data_dir):
    server = make_server(DATA_DIR=str(data_dir), WORKERS=str(WORKERS))
    began = time.monotonic()
    await server.start()
    await wait_until(lambda: "is on" in server.stdout, "all processes serve")
    return ProcessTree(server, data_dir, time.monotonic() - began)


async def test_service_recovers_after_any_process_is_killed(family):
    outages = {}
    for number, kind in enumerate(KINDS):
        await family.kill(kind)
        began = time.monotonic()
        await wait_until(
            lambda number=number: family.accepts_registration(number),
            f"back after the end of a {kind}",
        )
        outages[kind] = max(outages.get(kind, 0), time.monotonic() - began)

    with EmbeddedPostgres(family.data_dir) as embedded:
        teams = await registered_codes(embedded.connected_url("icct26"))
    assert list(teams.values()) == team_codes(1, len(KINDS))
    assert max(outages.values()) < family.longest_outage, outages
    pids = family.all()
    family.server.send(signal.SIGTERM)
    assert await family.server.ended() == 0
    await wait_until(lambda: not any(map(command, pids)), "no process is left")
    # One more if a worker was killed before it served.
    assert family.server.stderr.count("workers_restarted") >= KINDS.count("fork_workers")
    # Tracebacks appear in JSON lines only; any other line is from a process that crashed.
    assert [line for line in family.server.stderr.splitlines() if not line.startswith("{")] == []


async def test_all_processes_end_with_the_supervisor(family):
    pids = family.all()
    assert len(pids) > WORKERS + 3

    await family.server.kill()

    await wait_until(lambda: not any(map(command, pids)), "no process is left")
    assert family.server.stderr.count("supervisor_ended") == 1


async def test_shutdown_right_after_the_workers_parent_ended_leaves_no_process(family):
    pids = family.all()
    await family.kill("fork_workers")

    family.server.send(signal.SIGTERM)

    assert await family.server.ended() == 0
    await wait_until(lambda: not any(map(command, pids)), "no process is left")
