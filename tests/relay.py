"""Stands between a client and PostgreSQL and fails when a test wants it to."""

import asyncio
from contextlib import suppress
from typing import Self

from sqlalchemy import URL, make_url

# PostgreSQL's message `Query`, as asyncpg sends the end of a transaction.
COMMIT = b"COMMIT;\0"


def fatal(sqlstate: bytes, message: bytes) -> bytes:
    """PostgreSQL's message `ErrorResponse`."""
    fields = b"SFATAL\0VFATAL\0C%b\0M%b\0\0" % (sqlstate, message)
    return b"E" + (len(fields) + 4).to_bytes(4, "big") + fields


STARTING_UP = fatal(b"57P03", b"the database system is starting up")
TERMINATED = fatal(b"57P01", b"terminating connection due to administrator command")
NO_ANSWER = b""
CHUNK = 65536


class Relay:
    """Cuts the next `cuts` connections at their commit, which the server gets if it `delivers`.

    While there is a `refusal`, it is all that a new connection is told; `refused` counts them.
    While it is `deaf`, it takes what new connections say and answers nothing.
    """

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        self._swallowed: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._answers: set[asyncio.Task] = set()
        self.cuts = 0
        self.delivers = True
        self.refusal: bytes | None = None
        self.refused = 0
        self.deaf = False
        self._left: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.drop()
        await asyncio.gather(*self._serving)
        for writer in self._left:
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

    def drop(self) -> None:
        """Close every connection."""
        for client in self._clients:
            client.close()

    def fall_silent(self) -> None:
        """Answer nothing more on the connections that there are; new ones work."""
        for answers in self._answers:
            answers.cancel()

    def swallow(self) -> None:
        """Take what is said on the connections that there are to nobody, both ways; new ones work.

        The server hears of no end, as when a network has forgotten the connection.
        """
        self._swallowed |= self._clients

    def switch(self, url: str) -> None:
        """New connections go to another server."""
        self._target = make_url(url)

    def say(self, words: bytes) -> None:
        """To every client, without closing."""
        for client in self._clients:
            client.write(words)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._serving.add(task)
        self._clients.add(writer)
        try:
            with suppress(ConnectionError):
                if self.deaf:
                    await _listen_only(reader)
                elif self.refusal is None:
                    await self._pass_on(reader, writer)
                else:
                    await self._refuse(reader, writer, self.refusal)
        finally:
            writer.close()
            self._clients.discard(writer)
            self._swallowed.discard(writer)
            self._serving.discard(task)

    async def _refuse(self, reader, writer, refusal) -> None:
        await reader.read(CHUNK)
        self.refused += 1
        writer.write(refusal)

    async def _pass_on(self, reader, writer) -> None:
        socket = "{host}/.s.PGSQL.{port}".format_map(self._target.query)
        server_reader, server_writer = await asyncio.open_unix_connection(socket)
        answers = asyncio.create_task(self._answer(server_reader, writer))
        self._answers.add(answers)
        try:
            while data := await reader.read(CHUNK):
                if writer in self._swallowed:
                    # Nor is the server told of the end: it keeps what its session has locked.
                    self._left.append(server_writer)
                    await _listen_only(reader)
                    return
                if self.cuts and COMMIT in data:
                    self.cuts -= 1
                    answers.cancel()
                    await asyncio.wait([answers])
                    if self.delivers:
                        server_writer.write(data)
                        await server_reader.read(1)
                    return
                server_writer.write(data)
        finally:
            answers.cancel()
            await asyncio.wait([answers])
            self._answers.discard(answers)
            if server_writer not in self._left:
                server_writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                if writer not in self._swallowed:
                    writer.write(data)
        writer.close()


async def _listen_only(reader: asyncio.StreamReader) -> None:
    while await reader.read(CHUNK):
        pass
