"""Shutdown under load."""

import asyncio
import json
import signal
from dataclasses import dataclass, field

from tests import factories
from tests.e2e.rows import registered_codes
from tests.server_processes import PATIENCE_SECONDS, team_or_error_code, wait_until

CLIENTS = 16
SOME = 40
QUERY = {"query": "{ tournament { registration { taken } } }"}


@dataclass
class Load:
    """Clients on keep-alive connections that send requests until connections are refused.

    `lost` are requests without an answer. `resets` counts connections that were reset before their
    first answer: closing a listening socket does that to a connection that it has not accepted.
    """

    port: int
    answered: int = 0
    stored: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    resets: int = 0
    announced: int = 0
    numbers: int = 0

    async def client(self, *, registers):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                self.resets += 1
                continue
            try:
                is_accepted = False
                while await self._exchange(
                    reader, writer, registers=registers, is_accepted=is_accepted
                ):
                    is_accepted = True
            finally:
                writer.close()

    async def _exchange(self, reader, writer, *, registers, is_accepted):
        """Return whether the connection may be reused."""
        self.numbers += 1
        key, team = f"key-of-load-{self.numbers}", factories.team(self.numbers)
        body = {"query": factories.REGISTER, "variables": {"input": team}} if registers else QUERY
        try:
            head, answer = await self._answer(reader, writer, json.dumps(body).encode(), key)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            if is_accepted or not isinstance(error, ConnectionResetError):
                self.lost.append(f"{key}: {error!r}")
            else:
                self.resets += 1
            return False
        assert head.startswith(b"http/1.1 200 ")
        self.answered += 1
        if registers:
            self.stored[key] = team_or_error_code(answer)
        leaves = b"\r\nconnection: close" in head
        self.announced += leaves
        return not leaves

    async def _answer(self, reader, writer, body, key):
        writer.write(
            b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Idempotency-Key: %s\r\nContent-Length: %d\r\n\r\n" % (key.encode(), len(body)) + body
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head, json.loads(await reader.readexactly(length))


async def test_shutdown_under_load_answers_accepted_connections(make_server, own_url):
    server = make_server(
        DATABASE_URL=own_url, SHUTDOWN_NOTICE_SECONDS="2", TOURNAMENT_CAPACITY="10000"
    )
    await server.start()
    load = Load(server.port)

    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(load.client(registers=number % 2 == 0))
        await wait_until(lambda: load.answered > SOME, "the load runs")
        server.send(signal.SIGTERM)
        await wait_until(lambda: load.announced > 0, "connections are ended")
        async with server.client() as client:
            readiness = await client.get("/readyz")
            liveness = await client.get("/livez")
    status = await server.ended()

    assert load.lost == []
    # At most one for each client, since its next connection is refused.
    assert load.resets <= CLIENTS
    assert load.announced >= CLIENTS
    assert (readiness.status_code, readiness.json()["status"]) == (503, "STOPPING")
    assert (liveness.status_code, liveness.headers["connection"]) == (200, "close")
    assert status == 0
    assert set(load.stored.values()) == set((await registered_codes(own_url)).values())
