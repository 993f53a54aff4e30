"""Several processes that serve one port, as real processes."""

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
    """Processes below it at any depth, with what they were started as."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            line = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            found |= {int(child): line} | children(int(child))
    return found


def serving(port: int) -> set[int]:
    """Who listens on the port."""
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
        return any(target(file) in wanted for file in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def target(file: Path) -> str:
    """Empty for one that was closed meanwhile."""
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


async def test_all_serve_and_their_counts_are_one(together):
    pids = serving(together.port)
    async with together.client() as client:
        # Each connection belongs to one of them, and none is used twice.
        client.headers["Connection"] = "close"
        for _ in range(40):
            assert (await client.post("/graphql", json=HEALTH)).status_code == 200
        metrics = (await client.get("/metrics")).text

    assert len(pids) == WORKERS
    assert COUNTED.search(metrics)[1] == "40.0"
    assert metrics.count("# TYPE database_connections gauge") == 1
    assert together.stdout.count("is on http://") == 1


def shared_kilobytes(pid: int) -> int:
    """Of its own memory, what it has in common with the process that it was forked from."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Shared_Dirty: +([0-9]+) kB$", text, re.MULTILINE)[1])


async def test_all_share_what_was_imported_once(together):
    assert all(shared_kilobytes(pid) > 45_000 for pid in serving(together.port))


async def test_registrations_of_all_are_numbered_as_of_one(together):
    async with together.client() as client:
        client.headers["Connection"] = "close"
        answers = await asyncio.gather(
            *(register(client, factories.team(number)) for number in range(30))
        )

    assert sorted(team_or_error_code(answer) for answer in answers) == team_codes(1, 30)


async def test_one_that_is_killed_is_replaced(together):
    before = serving(together.port)
    killed = min(before)

    os.kill(killed, signal.SIGKILL)
    await wait_until(
        lambda: len(serving(together.port) - {killed}) == WORKERS, "another one serves"
    )

    assert len(serving(together.port) & before) == WORKERS - 1
    async with together.client() as client:
        assert (await client.post("/graphql", json=HEALTH)).status_code == 200
    assert "worker_ended" in together.stderr
    together.send(signal.SIGTERM)
    assert await together.ended() == 0


async def test_a_signal_ends_all_after_their_answers(together):
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


async def test_whose_parent_is_killed_leave_too(together):
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
async def test_a_port_that_is_taken_is_said_at_once(tmp_path, own_url, workers):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        done = await run_cli(tmp_path, "serve", DATABASE_URL=own_url, WORKERS=workers, PORT=port)

    assert (done.returncode, done.stdout) == (1, "")
    assert f"HOST, PORT: 127.0.0.1, {port}: Address already in use." in done.stderr


async def test_one_that_cannot_start_ends_all(tmp_path, own_url):
    done = await run_cli(
        tmp_path, "serve", DATABASE_URL=own_url, WORKERS="2", TRUSTED_DOCUMENTS="not-there.json"
    )

    assert done.returncode == 1
    assert "TRUSTED_DOCUMENTS: No such file or directory" in done.stderr
    assert "A process that should serve ended while it started." in done.stderr


async def test_the_embedded_database_is_shared_and_revived(make_server, data_dir):
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
