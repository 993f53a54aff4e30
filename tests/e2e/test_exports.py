"""Exports by a real server: cut off by the database, and left by their clients."""

import asyncio
import socket

import asyncpg
import httpx
import pytest
from sqlalchemy import make_url

from benchmarks.fill import fill
from domain.auth.roles import SYSTEM
from domain.spreadsheets import ExportFormat
from persistence.repositories.team_search import TeamFilter
from resolvers.exports.export import create_link
from tests.accounts import with_real_clock
from tests.databases import dsn
from tests.server_processes import PATIENCE_SECONDS, wait_until

# As a CSV file more than what the sockets hold of an answer that nobody reads.
TEAMS = 4_000
# What a client takes at a time that is slower than the database.
LITTLE = 4 * 1024


@pytest.fixture
async def server(make_server, own_url):
    """With many teams."""
    started = make_server(DATABASE_URL=own_url)
    await started.start()
    connection = await asyncpg.connect(dsn(own_url))
    await fill(connection, TEAMS)
    await connection.close()
    return started


@pytest.fixture
async def postgres(own_url):
    """A connection to another database of the same server."""
    connection = await asyncpg.connect(dsn(own_url), database="postgres")
    yield connection
    await connection.close()


def address(services, kind: ExportFormat) -> str:
    """The secret of the tests is the server's too."""
    return create_link(with_real_clock(services), SYSTEM, kind, TeamFilter())[0]


async def begin(server, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection of a slow client, on which the file was asked for."""
    taking = socket.socket()
    taking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LITTLE)
    taking.connect(("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=taking, limit=LITTLE)
    writer.write(f"GET {url} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return reader, writer


async def take_away(postgres, own_url: str) -> None:
    name = make_url(own_url).database
    await postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
    )


async def test_a_csv_file_without_its_end_is_cut_off(server, services, own_url, postgres):
    reader, writer = await begin(server, address(services, ExportFormat.CSV))
    head = await reader.readuntil(b"\r\n\r\n")

    async with asyncio.timeout(PATIENCE_SECONDS):
        await take_away(postgres, own_url)
        rest = await reader.read()
        while more := await reader.read():
            rest += more
    writer.close()

    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding: chunked" in head.lower()
    assert b"ICCT-001" in rest
    assert f"ICCT-{TEAMS}".encode() not in rest
    assert not rest.endswith(b"0\r\n\r\n")


async def read_while_it_goes(client, url: str, postgres, own_url: str) -> None:
    """The whole file, from a database that is taken away once it has begun."""
    async with client.stream("GET", url) as answer:
        assert answer.status_code == 200
        await take_away(postgres, own_url)
        await answer.aread()


async def test_a_client_of_http_is_told_that_it_was_cut_off(server, services, own_url, postgres):
    async with server.client() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await read_while_it_goes(client, address(services, ExportFormat.CSV), postgres, own_url)


async def test_a_client_that_leaves_leaves_no_workbook(server, services):
    spool = server.folder / "data" / "uploads"
    _, writer = await begin(server, address(services, ExportFormat.XLSX))
    await wait_until(lambda: any(spool.glob("*/*")), "a workbook is being written")

    writer.transport.abort()

    await wait_until(lambda: not any(spool.glob("*")), "the workbook is gone")
