"""Start, log output and shutdown of server processes."""

import asyncio
import json
import os
import re
import signal
import socket
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import make_url

from persistence.embedded.server import EmbeddedPostgres
from tests import factories
from tests.databases import create_database, dsn
from tests.e2e.rows import registered_codes
from tests.environment import DEPLOYED
from tests.server_processes import (
    ServerProcess,
    register,
    run_cli,
    team_codes,
    team_or_error_code,
    wait_until,
)

HELD = 30


@pytest.fixture
def empty_url(cluster) -> str:
    """The URL of a database without tables."""
    return cluster.connected_url(create_database(cluster, f"e2e_{uuid4().hex}"))


async def terminate(server: ServerProcess) -> int:
    server.send(signal.SIGTERM)
    return await server.ended()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
async def test_unreachable_database_ends_the_start_after_three_waits(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        url = f"postgresql://postgres:hunter2hunter2@127.0.0.1:{port}/icct26?sslmode=disable"
        done = await run_cli(tmp_path, "serve", DATABASE_URL=url)

    *logged, reason = done.stderr.splitlines()
    waits = [json.loads(line).get("retry_after_seconds") for line in logged]
    assert waits == [1, 2, 4]
    assert "DATABASE_URL" in reason
    assert "hunter2" not in done.stderr
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"database": "not_there"}, "it has no database of this name"),
        ({"username": "nobody"}, "no rule of its pg_hba.conf allows this login"),
    ],
)
async def test_start_with_refused_credentials_ends_at_once(tmp_path, own_url, wrong, reason):
    url = make_url(own_url).set(**wrong).render_as_string(hide_password=False)

    done = await run_cli(tmp_path, "serve", DATABASE_URL=url)

    assert done.stderr == f"The database answers, but {reason}. Check DATABASE_URL.\n"
    assert (done.returncode, done.stdout) == (1, "")


async def test_all_invalid_settings_are_reported_without_their_values(tmp_path):
    done = await run_cli(
        tmp_path,
        "serve",
        DATABASE_URL="sqlite:///icct26.db",
        PORT="eighty-eighty",
        LOG_LEVEL="CHATTY",
        REQUEST_TIMEOUT="-17",
    )

    named = [line.partition(":")[0] for line in done.stderr.splitlines()]
    assert sorted(named) == ["DATABASE_URL", "LOG_LEVEL", "PORT", "REQUEST_TIMEOUT"]
    assert not re.search(r"icct26\.db|eighty|CHATTY|17", done.stderr)
    assert (done.returncode, done.stdout) == (1, "")


async def test_unsafe_production_settings_prevent_the_start(tmp_path):
    done = await run_cli(
        tmp_path,
        "serve",
        ENVIRONMENT="production",
        SECRET_KEY="changeme",
        CORS_ORIGINS="*",
        CORS_CREDENTIALS="true",
    )

    named = {line.partition(":")[0] for line in done.stderr.splitlines()}
    assert named == {
        "ALLOWED_HOSTS",
        "CORS_ORIGINS",
        "DATABASE_URL",
        "SECRET_KEY",
        "TRUSTED_PROXIES",
    }
    assert "changeme" not in done.stderr
    assert (done.returncode, done.stdout) == (1, "")


async def test_libraries_for_registrations_are_imported_after_the_start(make_server, own_url):
    server = make_server(DATABASE_URL=own_url, LOG_LEVEL="DEBUG")
    await server.start()

    await wait_until(lambda: "modules_imported" in server.stderr, "the libraries are imported")


async def test_start_logs_the_address_in_one_line(make_server, own_url):
    server = make_server(DATABASE_URL=own_url)
    await server.start()
    async with server.client() as client:
        probes = [(await client.get(path)).status_code for path in ("/livez", "/readyz", "/health")]

    status = await terminate(server)

    assert probes == [200, 200, 200]
    assert server.stdout == (
        f"ICCT26 Registration is on {server.address} — open {server.address}/health\n"
    )
    assert status == 0


async def test_clients_request_id_is_returned_and_logged(make_server, own_url):
    server = make_server(DATABASE_URL=own_url)
    await server.start()

    async with server.client() as client:
        given = await client.get("/livez", headers={"X-Request-ID": "from-the-gateway.7"})
        minted = await client.get("/livez")

    logged = [
        line.get("request_id")
        for line in map(json.loads, server.stderr.splitlines())
        if line.get("path") == "/livez"
    ]
    assert given.headers["X-Request-ID"] == "from-the-gateway.7"
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", minted.headers["X-Request-ID"])
    assert logged == ["from-the-gateway.7", minted.headers["X-Request-ID"]]


async def test_registration_logs_no_personal_data(make_server, own_url):
    server = make_server(DATABASE_URL=own_url, LOG_LEVEL="DEBUG")
    await server.start()
    team = factories.team()

    async with server.client() as client:
        stored = await register(client, team)
        refused = await register(client, team)
    await terminate(server)

    assert [team_or_error_code(stored), team_or_error_code(refused)] == [
        "ICCT-001",
        "VALIDATION_FAILED",
    ]
    people = [team["captain"], team["viceCaptain"], *team["players"]]
    personal = {value for person in people for value in person.values()}
    personal |= {team["captain"]["phone"][3:], stored["data"]["registerTeam"]["manageToken"]}
    assert [value for value in personal if value in server.stderr] == []


async def test_servers_starting_together_create_one_schema_and_tournament(make_server, empty_url):
    servers = [make_server(DATABASE_URL=empty_url) for _ in range(3)]

    await asyncio.gather(*(server.start() for server in servers))

    async with servers[2].client() as client:
        assert team_or_error_code(await register(client, factories.team())) == "ICCT-001"
    assert list((await registered_codes(empty_url)).values()) == team_codes(1, 1)


async def test_stopped_server_answers_all_accepted_requests(make_server, data_dir):
    server = make_server(
        DATA_DIR=str(data_dir),
        # Only an eighth of the pool is for registrations.
        DATABASE_POOL_SIZE=str(8 * HELD),
        DATABASE_LOCK_TIMEOUT_SECONDS="25",
    )
    await server.start()
    with EmbeddedPostgres(data_dir) as embedded:
        url = embedded.connected_url("icct26")
        # Statistics views do not change within a transaction, so use another connection.
        sql, onlooker = [await asyncpg.connect(dsn(url)) for _ in range(2)]

        async def all_wait():
            waiting = await onlooker.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return waiting == HELD

        async def is_closed():
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            except ConnectionRefusedError:
                return True
            writer.close()
            return False

        async with server.client() as client, asyncio.TaskGroup() as group, sql.transaction():
            await sql.execute("SELECT FROM tournament FOR UPDATE")
            requests = [
                group.create_task(register(client, factories.team(number)))
                for number in range(HELD)
            ]
            await wait_until(all_wait, "all requests wait for the tournament")
            server.send(signal.SIGTERM)
            await wait_until(is_closed, "the server takes no more connections")
        status = await server.ended()
        await sql.close()
        await onlooker.close()

        assert sorted(team_or_error_code(request.result()) for request in requests) == team_codes(
            1, HELD
        )
        assert list((await registered_codes(url)).values()) == team_codes(1, HELD)
        assert status == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_stopped_server_stops_its_database_and_continues_after_restart(
    make_server, data_dir, number
):
    server = make_server(DATA_DIR=str(data_dir))
    pid_file = data_dir / "postgres18/cluster/postmaster.pid"
    await server.start()
    pid = int(pid_file.read_text().split()[0])
    async with server.client() as client:
        first = await register(client, factories.team(0), "key-of-team-0")

    server.send(number)
    status = await server.ended()
    left = (is_running(pid), pid_file.exists())

    await server.start()
    async with server.client() as client:
        again = await register(client, factories.team(0), "key-of-team-0")
        second = await register(client, factories.team(1), "key-of-team-1")
    assert (status, left) == (0, (False, False))
    assert again["data"]["registerTeam"] == first["data"]["registerTeam"] | {"replayed": True}
    assert [team_or_error_code(first), team_or_error_code(second)] == team_codes(1, 2)
    assert await terminate(server) == 0


async def test_demo_teams_are_refused_in_production_without_database_access(tmp_path):
    done = await run_cli(tmp_path, "seed-demo", **DEPLOYED, ENVIRONMENT="production")

    assert done.returncode == 1
    assert "Demo teams are not for ENVIRONMENT=production" in done.stderr
    assert list(tmp_path.iterdir()) == []


async def test_server_stopped_during_its_start_leaves_no_database(make_server, data_dir):
    server = make_server(DATA_DIR=str(data_dir))
    pid_file = data_dir / "postgres18/cluster/postmaster.pid"
    server.spawn()
    await wait_until(pid_file.exists, "the database is started")

    status = await terminate(server)

    assert status in (0, 128 + signal.SIGTERM)
    assert not pid_file.exists()


async def test_demo_teams_are_added_while_a_server_runs(make_server, data_dir, tmp_path):
    server = make_server(DATA_DIR=str(data_dir))
    await server.start()

    done = await run_cli(tmp_path / "demo", "seed-demo", DATA_DIR=str(data_dir))

    async with server.client() as client:
        answer = await client.post(
            "/graphql", json={"query": "{ tournament { registration { taken } } }"}
        )
    assert (done.returncode, done.stdout) == (0, "12 teams were added.\n")
    assert answer.json() == {"data": {"tournament": {"registration": {"taken": 12}}}}
    assert await terminate(server) == 0


async def demo(folder, url):
    done = await run_cli(
        folder, "seed-demo", "--teams", "30", DATABASE_URL=url, DATABASE_POOL_SIZE="8"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_demo_teams_are_equal_in_all_databases_and_added_once(cluster, template, tmp_path):
    names = [f"e2e_{uuid4().hex}" for _ in range(2)]
    urls = [
        cluster.connected_url(
            await asyncio.to_thread(create_database, cluster, name, template=template)
        )
        for name in names
    ]

    printed = [await demo(tmp_path, urls[0]), await demo(tmp_path, urls[1])]
    first, second = [await registered_codes(url) for url in urls]
    printed.append(await demo(tmp_path, urls[0]))

    assert list(first.values()) == team_codes(1, 30)
    assert first == second
    assert await registered_codes(urls[0]) == first
    assert printed == [
        "30 teams were added.\n",
        "30 teams were added.\n",
        "0 teams were added.\n",
    ]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_ipv6_address_may_be_in_brackets(make_server, own_url, workers):
    server = make_server(DATABASE_URL=own_url, HOST="[::1]", WORKERS=workers)
    server.address = f"http://[::1]:{server.port}"

    await server.start()
    await wait_until(lambda: server.stdout.endswith("\n"), "the address is printed")

    assert f" is on {server.address} " in server.stdout


BACKENDS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND backend_type = 'client backend'
"""


async def test_first_requests_open_no_connection(make_server, own_url):
    """Beside one connection of each pool, readiness has one of its own."""
    server = make_server(DATABASE_URL=own_url, OUTBOX_IN_SERVER="false")
    await server.start()
    sql = await asyncpg.connect(dsn(own_url))

    async def backends() -> set[int]:
        return {row["pid"] for row in await sql.fetch(BACKENDS)}

    async def has_four() -> bool:
        return len(await backends()) == 4

    # The connections that prepared the database and probed a write are just being closed.
    await wait_until(has_four, "connections are closed")
    opened = await backends()

    async with server.client() as client:
        await register(client, factories.team(1))
        query = {"query": "{ tournament { version } }"}
        answer = (await client.post("/graphql", json=query)).json()

    assert answer == {"data": {"tournament": {"version": 1}}}
    assert await backends() == opened
    await sql.close()
