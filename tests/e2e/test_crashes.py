"""Servers and databases killed during registrations."""

import asyncio
import os
import signal

import pytest

from persistence.embedded.server import EmbeddedPostgres
from tests.e2e.captains import Captains, fault_moments
from tests.e2e.rows import registered_codes
from tests.server_processes import wait_until

pytestmark = pytest.mark.slow

TEAMS = 240
KILLS = 8


async def kill_at(kill, captains, chosen):
    for moment in chosen:
        await captains.wait_until_acknowledged(moment)
        await kill()


def postmaster_pid(data_dir):
    """Return None if there is no database."""
    try:
        words = (data_dir / "postgres18/cluster/postmaster.pid").read_text().split()
    except FileNotFoundError:
        return None
    return int(words[0]) if words else None


@pytest.mark.parametrize("seed", [26, 27])
async def test_killed_server_neither_loses_nor_duplicates_teams(make_server, own_url, seed):
    server = make_server(DATABASE_URL=own_url)
    await server.start()

    async def kill():
        await server.kill()
        await server.start()

    async with server.client() as client:
        captains = Captains(client=client, teams=TEAMS, survives_lost_connections=True)
        async with asyncio.TaskGroup() as group:
            group.create_task(captains.register_all())
            group.create_task(
                kill_at(kill, captains, fault_moments(seed, teams=TEAMS, count=KILLS))
            )

    assert captains.lost_connections >= KILLS
    assert await registered_codes(own_url) == captains.acknowledged
    assert len(captains.acknowledged) == TEAMS


async def test_captains_of_a_killed_server_continue_with_the_other(make_server, own_url):
    servers = [make_server(DATABASE_URL=own_url) for _ in range(2)]
    await asyncio.gather(*(server.start() for server in servers))

    async with servers[0].client() as first, servers[1].client() as second:
        captains = Captains(client=first, teams=TEAMS, survives_lost_connections=True)

        async def kill():
            captains.client = second
            await servers[0].kill()

        async with asyncio.TaskGroup() as group:
            group.create_task(captains.register_all())
            group.create_task(kill_at(kill, captains, [TEAMS // 2]))

    assert await registered_codes(own_url) == captains.acknowledged
    assert len(captains.acknowledged) == TEAMS


async def test_killed_server_finds_its_embedded_database_again(make_server, data_dir):
    server = make_server(DATA_DIR=str(data_dir))
    await server.start()
    pid = postmaster_pid(data_dir)

    async def kill():
        await server.kill()
        await server.start()
        assert postmaster_pid(data_dir) == pid

    async with server.client() as client:
        captains = Captains(client=client, teams=TEAMS, survives_lost_connections=True)
        async with asyncio.TaskGroup() as group:
            group.create_task(captains.register_all())
            group.create_task(kill_at(kill, captains, fault_moments(28, teams=TEAMS, count=6)))

    with EmbeddedPostgres(data_dir) as embedded:
        assert await registered_codes(embedded.connected_url("icct26")) == captains.acknowledged
    assert len(captains.acknowledged) == TEAMS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
async def test_database_restart_causes_only_retryable_errors(make_server, tmp_path, number):
    with EmbeddedPostgres(tmp_path / "own") as postgres:
        url = postgres.connected_url("icct26")
        server = make_server(DATABASE_URL=url)
        await server.start()
        pid = server.process.pid

        async def restart_database():
            os.kill(postgres.postmaster_pid, number)
            await captains.wait_for_refusals(8)
            await asyncio.to_thread(postgres.start)

        async with server.client() as client:
            captains = Captains(client=client, teams=TEAMS)
            chosen = fault_moments(29, teams=TEAMS, count=3)
            async with asyncio.TaskGroup() as group:
                group.create_task(captains.register_all())
                group.create_task(kill_at(restart_database, captains, chosen))

        assert set(captains.refusals) == {("SERVICE_UNAVAILABLE", True)}
        assert await registered_codes(url) == captains.acknowledged
        assert len(captains.acknowledged) == TEAMS
        assert (server.process.pid, server.process.poll()) == (pid, None)
        server.send(signal.SIGTERM)
        assert await server.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_stopped_embedded_database_is_restarted_by_the_service(make_server, data_dir, number):
    server = make_server(DATA_DIR=str(data_dir))
    await server.start()

    async def kill():
        pid = postmaster_pid(data_dir)
        os.kill(pid, number)
        await wait_until(
            lambda: postmaster_pid(data_dir) not in (None, pid), "the database is started again"
        )

    async with server.client() as client:
        captains = Captains(client=client, teams=TEAMS)
        async with asyncio.TaskGroup() as group:
            group.create_task(captains.register_all())
            group.create_task(kill_at(kill, captains, fault_moments(30, teams=TEAMS, count=3)))

    assert set(captains.refusals) <= {("SERVICE_UNAVAILABLE", True)}
    with EmbeddedPostgres(data_dir) as embedded:
        assert await registered_codes(embedded.connected_url("icct26")) == captains.acknowledged
    assert len(captains.acknowledged) == TEAMS
