"""Connections cut during a commit, whose outcome is then unknown."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from sqlalchemy import make_url

from tests import factories
from tests.e2e.rows import registered_codes
from tests.server_processes import register, team_or_error_code, wait_until

# A value that only the statement that stores a team contains.
EMAIL = factories.team()["captain"]["email"].encode()


@dataclass(kw_only=True)
class CommitCuttingProxy:
    """A proxy to PostgreSQL that cuts the connection when a team is stored."""

    socket: str
    port: int = 0
    is_armed: bool = False
    reaches_database: bool = True
    cuts: int = 0
    open: int = 0

    async def connect(self, reader, writer):
        self.open += 1
        upstream, database = await asyncio.open_unix_connection(self.socket)
        cut = asyncio.Event()
        directions = [
            asyncio.create_task(self._forth(reader, database, cut)),
            asyncio.create_task(_back(upstream, writer, cut)),
        ]
        await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        for direction in directions:
            direction.cancel()
        await asyncio.gather(*directions, return_exceptions=True)
        # Abort rather than close, so that buffered data is not sent.
        writer.transport.abort()
        database.transport.abort()
        self.open -= 1

    async def _forth(self, reader, database, cut):
        while message := await reader.read(65536):
            if self.is_armed and EMAIL in message:
                self.is_armed, self.cuts = False, self.cuts + 1
                cut.set()
                if not self.reaches_database:
                    return
            database.write(message)


async def _back(upstream, writer, cut):
    while message := await upstream.read(65536):
        if cut.is_set():
            return
        writer.write(message)


@asynccontextmanager
async def proxy_before(url):
    place = make_url(url).query
    proxy = CommitCuttingProxy(socket=f"{place['host']}/.s.PGSQL.{place['port']}")
    listener = await asyncio.start_server(proxy.connect, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()
        await wait_until(lambda: proxy.open == 0, "all connections are closed")


@pytest.fixture
async def proxy(own_url):
    async with proxy_before(own_url) as created:
        yield created


@pytest.fixture
async def client(make_server, own_url, proxy):
    database = make_url(own_url).database
    # No other commit may be cut.
    server = make_server(
        OUTBOX_IN_SERVER="false",
        DATABASE_URL=f"postgresql://postgres@127.0.0.1:{proxy.port}/{database}?sslmode=disable",
    )
    await server.start()
    async with server.client() as opened:
        yield opened
    server.clean_up()


@pytest.mark.parametrize("reaches_database", [True, False])
async def test_lost_commit_with_a_key_is_resolved_by_the_service(
    client, proxy, own_url, reaches_database
):
    team = factories.team()
    proxy.is_armed, proxy.reaches_database = True, reaches_database

    answer = await register(client, team, "a-key-of-mine")

    assert proxy.cuts == 1
    assert team_or_error_code(answer) == "ICCT-001"
    assert await registered_codes(own_url) == {team["captain"]["email"]: "ICCT-001"}


@pytest.mark.parametrize(("reaches_database", "stored"), [(True, ["ICCT-001"]), (False, [])])
async def test_lost_commit_without_a_key_is_reported_to_the_captain(
    client, proxy, own_url, reaches_database, stored
):
    proxy.is_armed, proxy.reaches_database = True, reaches_database

    answer = await register(client, factories.team())

    assert proxy.cuts == 1
    extensions = answer["errors"][0]["extensions"]
    assert (extensions["code"], extensions["retryable"]) == ("SERVICE_UNAVAILABLE", True)
    assert list((await registered_codes(own_url)).values()) == stored
