"""Several worker processes on one port."""

import asyncio
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from persistence.embedded.server import EmbeddedPostgres
from tests import factories
from tests.server_processes import (
    PATIENCE_SECONDS,
    register,
    run_cli,
    team_codes,
    team_or_error_code,
    wait_until,
)

WORKERS = 2
COUNTED = re.compile(
    r'^graphql_operation_seconds_count\{name="health",type="query"\} ([0-9.]+)$', re.MULTILINE
)
HEALTH = {"query": "{ health { status } }"}


def children(pid: int) -> dict[int, str]:
    """Return descendant processes with their command lines."""
    result = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            line = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            result |= {int(child): line} | children(int(child))
    return result


def listening_pids(port: int) -> set[int]:
    """Return the processes that listen on the port."""
    wanted = f":{port:04X}"
    inodes = {
        fields[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if (fields := line.split())[1].endswith(wanted) and fields[3] == "0A"
    }
    running = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return {pid for pid in running if holds(pid, inodes)}


def holds(pid: int, inodes: set[str]) -> bool:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    try:
        return any(link_target(file) in wanted for file in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def link_target(file: Path) -> str:
    """Return the target; empty for a closed descriptor."""
    try:
        return str(file.readlink())
    except OSError:
        return ""


@pytest.fixture
async def together(make_server, own_url):
    server = make_server(DATABASE_URL=own_url, WORKERS=str(WORKERS))
    await server.start()
    await wait_until(lambda: "is on" in server.stdout, "all processes serve")
    return server


async def test_all_workers_serve_and_share_their_metrics(together):
    pids = listening_pids(together.port)
    async with together.client() as client:
        # Each connection goes to one worker, and none is reused.
        client.headers["Connection"] = "close"
        for _ in range(40):
            assert (await client.post("/graphql", json=HEALTH)).status_code == 200
        metrics = (await client.get("/metrics")).text

    assert len(pids) == WORKERS
    assert COUNTED.search(metrics)[1] == "40.0"
    assert metrics.count("# TYPE database_connections gauge") == 1
    assert together.stdout.count("is on http://") == 1


def shared_kilobytes(pid: int) -> int:
    """Return the memory that a worker shares with the process it was forked from."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Shared_Dirty: +([0-9]+) kB$", text, re.MULTILINE)[1])


async def test_workers_share_preloaded_modules(together):
    assert all(shared_kilobytes(pid) > 45_000 for pid in listening_pids(together.port))


async def test_workers_number_teams_consecutively(together):
    async with together.client() as client:
        client.headers["Connection"] = "close"
        answers = await asyncio.gather(
            *(register(client, factories.team(number)) for number in range(30))
        )

    assert sorted(team_or_error_code(answer) for answer in answers) == team_codes(1, 30)


async def test_killed_worker_is_replaced(together):
    before = listening_pids(together.port)
    killed = min(before)

    os.kill(killed, signal.SIGKILL)
    await wait_until(
        lambda: len(listening_pids(together.port) - {killed}) == WORKERS, "another one serves"
    )

    assert len(listening_pids(together.port) & before) == WORKERS - 1
    async with together.client() as client:
        assert (await client.post("/graphql", json=HEALTH)).status_code == 200
    assert "worker_ended" in together.stderr
    together.send(signal.SIGTERM)
    assert await together.ended() == 0


async def test_signal_ends_all_workers_after_their_responses(together):
    below = children(together.process.pid)

    async with together.client() as client:
        sent = [
            asyncio.create_task(register(client, factories.team(number))) for number in range(20)
        ]
        await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
        together.send(signal.SIGTERM)
        answers = await asyncio.gather(*sent)

    assert await together.ended() == 0
    assert sorted(team_or_error_code(answer) for answer in answers) == team_codes(1, 20)
    await wait_until(lambda: not any(map(alive, below)), "no process is left")


async def test_workers_end_with_their_parent(together):
    below = children(together.process.pid)
    assert len(below) >= WORKERS

    await together.kill()

    await wait_until(lambda: not any(map(alive, below)), "no process is left")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_occupied_port_is_reported_at_once(tmp_path, own_url, workers):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        done = await run_cli(tmp_path, "serve", DATABASE_URL=own_url, WORKERS=workers, PORT=port)

    assert (done.returncode, done.stdout) == (1, "")
    assert f"HOST, PORT: 127.0.0.1, {port}: Address already in use." in done.stderr


async def test_worker_that_cannot_start_ends_all(tmp_path, own_url):
    done = await run_cli(
        tmp_path, "serve", DATABASE_URL=own_url, WORKERS="2", TRUSTED_DOCUMENTS="not-there.json"
    )

    assert done.returncode == 1
    assert "TRUSTED_DOCUMENTS: No such file or directory" in done.stderr
    assert "A process that should serve ended while it started." in done.stderr


async def test_embedded_database_is_shared_and_restarted(make_server, data_dir):
    server = make_server(DATA_DIR=str(data_dir), WORKERS=str(WORKERS))
    await server.start()
    with EmbeddedPostgres(data_dir) as embedded:
        database = embedded.postmaster_pid

    os.kill(database, signal.SIGKILL)

    async def answers() -> bool:
        async with server.client() as client:
            return (await client.get("/readyz")).status_code == 200

    await wait_until(lambda: not alive(database), "the database is gone")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await wait_until(answers, "the database is back")
    server.send(signal.SIGTERM)
    assert await server.ended() == 0
