"""The embedded PostgreSQL of a running service, killed during its start."""

import asyncio
import json
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from persistence.embedded.server import EmbeddedPostgres
from tests import factories
from tests.e2e.rows import registered_codes
from tests.server_processes import register, team_codes, team_or_error_code, wait_until

OUTAGE_SECONDS = 5
LONGEST_START_SECONDS = 0.8


def server_pids(data_dir):
    """Return the PostgreSQL processes of a folder, with or without a pid file."""
    cluster = data_dir / "postgres18" / "cluster"
    mark = f"cluster_name=icct26-{cluster.stat().st_dev:x}-{cluster.stat().st_ino:x}".encode()
    result = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if mark in (entry / "cmdline").read_bytes():
                    result.append(int(entry.name))
    return result


async def kill_next(data_dir, chance, killed):
    """Kill the next new server some time after it appears."""

    def fresh():
        return [pid for pid in server_pids(data_dir) if pid not in killed]

    await wait_until(fresh, "the server is started")
    await asyncio.sleep(chance.random() * LONGEST_START_SECONDS * chance.choice((0.05, 0.3, 1)))
    for pid in fresh():
        killed.add(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def check_survival(server, data_dir, *, rounds, kills, seed):
    """Assert that the service recovers in seconds after each series of kills, without loss."""
    chance, slowest = random.Random(seed), 0.0
    for number in range(rounds):
        killed = set()
        for _ in range(kills):
            await kill_next(data_dir, chance, killed)
        began = time.monotonic()

        async def is_taken(number=number):
            async with server.client() as client:
                body = await register(client, factories.team(number), f"key-of-team-{number}")
            # While the database is down, only retryable errors are allowed.
            assert "errors" not in body or team_or_error_code(body) == "SERVICE_UNAVAILABLE"
            return "errors" not in body

        await wait_until(is_taken, "a team is registered")
        slowest = max(slowest, time.monotonic() - began)

    with EmbeddedPostgres(data_dir) as embedded:
        url = embedded.connected_url("icct26")
        assert list((await registered_codes(url)).values()) == team_codes(1, rounds)
    assert slowest < max(OUTAGE_SECONDS, server.start_seconds)
    server.send(signal.SIGTERM)
    assert await server.ended() == 0
    assert server_pids(data_dir) == []


@pytest.fixture
async def server(make_server, data_dir):
    started = make_server(DATA_DIR=str(data_dir))
    began = time.monotonic()
    await started.start()
    # On a slow machine, a restart takes as long as a start.
    started.start_seconds = time.monotonic() - began
    return started


async def test_server_killed_during_its_start_recovers(server, data_dir):
    await check_survival(server, data_dir, rounds=3, kills=3, seed=17)


@pytest.mark.slow
async def test_server_killed_200_times_during_its_start_recovers(server, data_dir):
    await check_survival(server, data_dir, rounds=50, kills=4, seed=20)


async def test_failed_start_keeps_the_socket_folder(server, data_dir):
    place = data_dir / "postgres18" / "socket_folder"
    folder = Path(place.read_text())
    cluster = data_dir / "postgres18" / "cluster"
    control = cluster / "global" / "pg_control"
    # Without this file, no server can start with these data.
    control.rename(control.with_suffix(".away"))
    for pid in server_pids(data_dir):
        os.kill(pid, signal.SIGKILL)

    async def is_degraded():
        async with server.client() as client:
            checks = (await client.get("/health")).json()["checks"]
        return {"name": "embeddedDatabase", "status": "DEGRADED", "latencyMs": None} in checks

    await wait_until(is_degraded, "the failing revival is shown")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    control.with_suffix(".away").rename(control)
    await wait_until(server_is_ready(server), "the service is ready again")

    assert Path(place.read_text()) == folder
    failures = [
        line
        for line in map(json.loads, server.stderr.splitlines())
        if line["message"] == "background_task_failed" and line["task"] == "embeddedDatabase"
    ]
    assert [line["error"] for line in failures] == ["EmbeddedPostgresError"]

    async def is_well():
        async with server.client() as client:
            return (await client.get("/health")).json()["status"] == "OK"

    await wait_until(is_well, "all tasks are well")


async def test_failing_restart_is_shown_by_every_worker(make_server, data_dir):
    server = make_server(DATA_DIR=str(data_dir), WORKERS="2")
    await server.start()
    control = data_dir / "postgres18" / "cluster" / "global" / "pg_control"
    control.rename(control.with_suffix(".away"))
    for pid in server_pids(data_dir):
        os.kill(pid, signal.SIGKILL)

    async def checks():
        """Return the check of each of 16 connections, which both workers accept."""

        async def check():
            async with server.client() as client:
                entries = (await client.get("/health")).json()["checks"]
            return [entry for entry in entries if entry["name"] == "embeddedDatabase"]

        return await asyncio.gather(*(check() for _ in range(16)))

    async def is_degraded():
        degraded = {"name": "embeddedDatabase", "status": "DEGRADED", "latencyMs": None}
        return all(entry == [degraded] for entry in await checks())

    async def is_gone():
        return await checks() == [[]] * 16

    await wait_until(is_degraded, "every worker shows the failing restart")
    async with server.client() as client:
        metrics = (await client.get("/metrics")).text
    control.with_suffix(".away").rename(control)
    await wait_until(is_gone, "every worker shows that it works again")

    assert 'background_task_up{task="embeddedDatabase"} 0.0' in metrics
    server.send(signal.SIGTERM)
    assert await server.ended() == 0


def server_is_ready(server):
    async def is_ready():
        async with server.client() as client:
            return (await client.get("/readyz")).status_code == 200

    return is_ready


async def test_event_loop_stays_responsive_during_database_start(server, data_dir):
    postmasters = server_pids(data_dir)
    slowest = 0.0
    async with server.client() as client:
        for pid in postmasters:
            os.kill(pid, signal.SIGSTOP)
            os.kill(pid, signal.SIGKILL)
        ends_at = time.monotonic() + 2
        while time.monotonic() < ends_at:
            began = time.monotonic()
            assert (await client.get("/livez")).status_code == 200
            slowest = max(slowest, time.monotonic() - began)

    assert slowest < 1
    await wait_until(server_is_ready(server), "the service is ready again")
