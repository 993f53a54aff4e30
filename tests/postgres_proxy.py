"""A TCP proxy for PostgreSQL that can cut, refuse and silently drop connections."""

import asyncio
from contextlib import suppress
from typing import Self

from sqlalchemy import URL, make_url

# PostgreSQL's message `Query` with which asyncpg ends a transaction.
COMMIT = b"COMMIT;\0"


def fatal(sqlstate: bytes, message: bytes) -> bytes:
    """PostgreSQL's message `ErrorResponse`."""
    fields = b"SFATAL\0VFATAL\0C%b\0M%b\0\0" % (sqlstate, message)
    return b"E" + (len(fields) + 4).to_bytes(4, "big") + fields


STARTING_UP = fatal(b"57P03", b"the database system is starting up")
TERMINATED = fatal(b"57P01", b"terminating connection due to administrator command")
NO_ANSWER = b""
CHUNK_BYTES = 65536


class PostgresProxy:
    """Forwards connections to the Unix socket of a server, until a test tells it to fail.

    - `connections_to_cut`: number of connections to close at their next commit. The server gets
      that commit if `delivers_commit`.
    - `connect_response`: if not None, all that new connections are answered, before they are
      closed; `refused_connections` counts them.
    - `is_unresponsive`: new connections are accepted and never answered.
    - `requests`: all that the clients have sent, for each connection that was forwarded.
    """

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        # Clients whose traffic is dropped in both directions.
        self._dropped: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._response_tasks: set[asyncio.Task] = set()
        # Connections to the server that stay open although their client was dropped.
        self._abandoned: list[asyncio.StreamWriter] = []
        self.connections_to_cut = 0
        self.delivers_commit = True
        self.connect_response: bytes | None = None
        self.refused_connections = 0
        self.is_unresponsive = False
        self.requests: list[bytearray] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.close_connections()
        await asyncio.gather(*self._tasks)
        for writer in self._abandoned:
            writer.close()

    @property
    def url(self) -> str:
        return URL.create(
            "postgresql+asyncpg",
            username=self._target.username,
            host="127.0.0.1",
            port=self._server.sockets[0].getsockname()[1],
            database=self._target.database,
            query={"ssl": "disable"},
        ).render_as_string()

    @property
    def open_connections(self) -> int:
        return len(self._clients)

    def close_connections(self) -> None:
        for client in self._clients:
            client.close()

    def drop_responses(self) -> None:
        """Forward no more responses on the open connections. New ones work."""
        for task in self._response_tasks:
            task.cancel()

    def drop_traffic(self) -> None:
        """Forward nothing more on the open connections, in either direction. New ones work.

        The server is not told that they end, as when a network device has lost their state.
        """
        self._dropped |= self._clients

    def set_target(self, url: str) -> None:
        """Forward new connections to another server."""
        self._target = make_url(url)

    def send(self, message: bytes) -> None:
        """Send a message to every client, without closing the connections."""
        for client in self._clients:
            client.write(message)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        self._clients.add(writer)
        try:
            with suppress(ConnectionError):
                if self.is_unresponsive:
                    await _read_all(reader)
                elif self.connect_response is None:
                    await self._forward(reader, writer)
                else:
                    await self._refuse(reader, writer, self.connect_response)
        finally:
            writer.close()
            self._clients.discard(writer)
            self._dropped.discard(writer)
            self._tasks.discard(task)

    async def _refuse(self, reader, writer, response) -> None:
        await reader.read(CHUNK_BYTES)
        self.refused_connections += 1
        writer.write(response)

    async def _forward(self, reader, writer) -> None:
        socket_path = "{host}/.s.PGSQL.{port}".format_map(self._target.query)
        server_reader, server_writer = await asyncio.open_unix_connection(socket_path)
        responses = asyncio.create_task(self._forward_responses(server_reader, writer))
        self._response_tasks.add(responses)
        requests = bytearray()
        self.requests.append(requests)
        try:
            while data := await reader.read(CHUNK_BYTES):
                requests += data
                if writer in self._dropped:
                    # The server's connection stays open, so that its session keeps its locks.
                    self._abandoned.append(server_writer)
                    await _read_all(reader)
                    return
                if self.connections_to_cut and COMMIT in data:
                    self.connections_to_cut -= 1
                    responses.cancel()
                    await asyncio.wait([responses])
                    if self.delivers_commit:
                        server_writer.write(data)
                        await server_reader.read(1)
                    return
                server_writer.write(data)
        finally:
            responses.cancel()
            await asyncio.wait([responses])
            self._response_tasks.discard(responses)
            if server_writer not in self._abandoned:
                server_writer.close()

    async def _forward_responses(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK_BYTES):
                if writer not in self._dropped:
                    writer.write(data)
        writer.close()


def statement_names(requests: bytes) -> list[bytes]:
    """The names of the statements that a client has prepared, empty for unnamed ones."""
    names = []
    # The first message, without a type, is its length and that many bytes less four.
    position = int.from_bytes(requests[:4])
    while position < len(requests):
        kind = requests[position : position + 1]
        if kind == b"P":
            names.append(bytes(requests[position + 5 :]).partition(b"\0")[0])
        position += 1 + int.from_bytes(requests[position + 1 : position + 5])
    return names


async def _read_all(reader: asyncio.StreamReader) -> None:
    while await reader.read(CHUNK_BYTES):
        pass
