"""Exports interrupted by the database or abandoned by the client."""

import asyncio
import socket

import asyncpg
import httpx
import pytest
from sqlalchemy import make_url

from benchmarks.seed import seed_teams
from domain.auth.roles import SYSTEM
from domain.spreadsheets import ExportFormat
from persistence.repositories.team_search import TeamFilter
from resolvers.exports.export import create_link
from tests.accounts import with_real_clock
from tests.databases import dsn
from tests.server_processes import PATIENCE_SECONDS, wait_until

# Enough for a CSV file larger than the socket buffers of an unread response.
TEAMS = 4_000
# Bytes per read of a client that is slower than the database.
LITTLE = 4 * 1024


@pytest.fixture
async def server(make_server, own_url):
    """A server with many teams."""
    started = make_server(DATABASE_URL=own_url)
    await started.start()
    connection = await asyncpg.connect(dsn(own_url))
    await seed_teams(connection, TEAMS)
    await connection.close()
    return started


@pytest.fixture
async def postgres(own_url):
    """A connection to another database of the same server."""
    connection = await asyncpg.connect(dsn(own_url), database="postgres")
    yield connection
    await connection.close()


def export_path(services, kind: ExportFormat) -> str:
    """Create a link with the secret that tests and server share."""
    return create_link(with_real_clock(services), SYSTEM, kind, TeamFilter())[0]


async def start_export(server, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Request the file on a slow client's connection."""
    taking = socket.socket()
    taking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LITTLE)
    taking.connect(("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=taking, limit=LITTLE)
    writer.write(f"GET {url} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return reader, writer


async def stop_database(postgres, own_url: str) -> None:
    name = make_url(own_url).database
    await postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
    )


async def test_interrupted_csv_export_is_truncated(server, services, own_url, postgres):
    reader, writer = await start_export(server, export_path(services, ExportFormat.CSV))
    head = await reader.readuntil(b"\r\n\r\n")

    async with asyncio.timeout(PATIENCE_SECONDS):
        await stop_database(postgres, own_url)
        rest = await reader.read()
        while more := await reader.read():
            rest += more
    writer.close()

    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding: chunked" in head.lower()
    assert b"ICCT-001" in rest
    assert f"ICCT-{TEAMS}".encode() not in rest
    assert not rest.endswith(b"0\r\n\r\n")


async def read_during_outage(client, url: str, postgres, own_url: str) -> None:
    """Read the whole file from a database that stops during the export."""
    async with client.stream("GET", url) as answer:
        assert answer.status_code == 200
        await stop_database(postgres, own_url)
        await answer.aread()


async def test_http_client_detects_the_truncation(server, services, own_url, postgres):
    async with server.client() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await read_during_outage(
                client, export_path(services, ExportFormat.CSV), postgres, own_url
            )


async def test_disconnected_client_leaves_no_workbook(server, services):
    spool = server.folder / "data" / "uploads"
    _, writer = await start_export(server, export_path(services, ExportFormat.XLSX))
    await wait_until(lambda: any(spool.glob("*/*")), "a workbook is being written")

    writer.transport.abort()

    await wait_until(lambda: not any(spool.glob("*")), "the workbook is gone")
