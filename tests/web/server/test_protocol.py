"""Real connections to a real server: what is no proper request ends before the application."""

import asyncio
import contextlib
import json
from itertools import repeat

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

import web.server.protocol
from runner import uvicorn_config
from web.server.graceful_shutdown import DrainingServer, ShutdownState
from web.server.protocol import MAX_HEAD_BYTES, MAX_HEADERS, ConnectionLimits, protocol_factory

HOST = b"Host: api.example\r\n"
GET = b"GET /ok HTTP/1.1\r\n" + HOST + b"\r\n"
LAST = b"GET /ok HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
POST = b"POST /read HTTP/1.1\r\n" + HOST
FOREVER = 3_600


class Seen:
    """Requests that reached the application, and a gate that it waits at."""

    def __init__(self):
        self.paths = []
        self.bodies = []
        self.door = asyncio.Event()

    async def ok(self, request):
        self.paths.append(request.url.path)
        return PlainTextResponse("fine")

    async def read(self, request):
        self.paths.append(request.url.path)
        try:
            self.bodies.append(await request.body())
        except ClientDisconnect:
            self.bodies.append(None)
        return PlainTextResponse(str(request.headers.getlist("x-forwarded-for")))

    async def wait(self, request):
        self.paths.append(request.url.path)
        await self.door.wait()
        return PlainTextResponse("waited")

    async def endless(self, _request):
        async def pieces():
            while True:
                yield b"x" * 65_536
                await asyncio.sleep(0)

        return StreamingResponse(pieces())

    async def early(self, _request):
        """Answers without having read the body."""
        return PlainTextResponse("early")


class Service:
    def __init__(self, seen, server, address):
        self.seen = seen
        self.server = server
        self._address = address

    async def connect(self):
        return await asyncio.open_connection(*self._address)

    async def exchange(self, *pieces):
        """Everything that is answered until the server closes the connection."""
        reader, writer = await self.connect()
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        answer = await until_cut(reader)
        writer.close()
        return answer


async def until_cut(reader) -> bytes:
    """Bytes that arrive before the end of the connection. Sending afterwards resets it."""
    content = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65_536):
            content += piece
    return content


@contextlib.asynccontextmanager
async def service(
    *, head_seconds=FOREVER, stall_seconds=FOREVER, keep_alive=FOREVER, notice=0, app=None
):
    seen, shutdown = Seen(), ShutdownState()
    routes = [
        Route("/ok", seen.ok),
        Route("/read", seen.read, methods=["POST"]),
        Route("/wait", seen.wait),
        Route("/endless", seen.endless),
        Route("/early", seen.early, methods=["POST"]),
    ]
    limits = ConnectionLimits(
        head_seconds=head_seconds, stall_seconds=stall_seconds, shutdown=shutdown
    )
    config = uvicorn.Config(
        app or Starlette(routes=routes),
        http=protocol_factory(limits),
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=keep_alive,
        port=0,
    )
    server = DrainingServer(config, shutdown, notice_seconds=notice)
    socket = config.bind_socket()
    task = asyncio.create_task(server.serve(sockets=[socket]))
    while not server.started:
        await asyncio.sleep(0)
    try:
        yield Service(seen, server, socket.getsockname()[:2])
    finally:
        server.should_exit = server.force_exit = True
        await task


@pytest.fixture
async def served():
    async with service() as it:
        yield it


async def answer_on(reader):
    """One answer with its head in lower case, from a connection that stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head, await reader.readexactly(length)


def envelope(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    (error,) = json.loads(body)["errors"]
    assert b"\r\nConnection: close" in head
    assert b"\r\nX-Content-Type-Options: nosniff" in head
    assert f"\r\nX-Request-ID: {error['extensions']['requestId']}".encode() in head
    return int(head.split()[1]), error["extensions"]["code"]


SMUGGLING = {
    "length and encoding": POST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + GET,
    "encoding and length": POST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"
    + GET,
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 0\r\n\r\n12345" + GET,
    "the same length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n12345",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\n12345",
    "a signed length": POST + b"Content-Length: +5\r\n\r\n12345",
    "a negative length": POST + b"Content-Length: -5\r\n\r\n12345",
    "a length that is too long": POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
    "an unknown encoding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + GET,
    "chunked not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + GET,
    "an encoding in HTTP/1.0": b"POST /read HTTP/1.0\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + GET,
    "a space before the colon": POST + b"Content-Length : 5\r\n\r\n12345" + GET,
    "a folded header": POST + b"X-Long: a\r\n b\r\nContent-Length: 0\r\n\r\n" + GET,
    "a folded length": POST + b"Content-Length:\r\n 5\r\n\r\n12345" + GET,
    "bare line feeds": b"GET /ok HTTP/1.1\nHost: api.example\n\n" + GET,
    "one bare line feed": b"GET /ok HTTP/1.1\r\nHost: api.example\nX: y\r\n\r\n" + GET,
    "a bare carriage return": b"GET /ok HTTP/1.1\r\nHost: api.example\rX: y\r\n\r\n" + GET,
    "a header without colon": b"GET /ok HTTP/1.1\r\nHost\r\n\r\n" + GET,
    "a header without name": b"GET /ok HTTP/1.1\r\n: x\r\n\r\n" + GET,
    "a zero byte": b"GET /ok HTTP/1.1\r\nHost: api\0.example\r\n\r\n" + GET,
    "no version": b"GET /ok\r\n\r\n",
    "version 0.9": b"GET /ok HTTP/0.9\r\n\r\n" + GET,
    "version 2": b"GET /ok HTTP/2.0\r\n" + HOST + b"\r\n" + GET,
    "the preface of version 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "version 1.2": b"GET /ok HTTP/1.2\r\n" + HOST + b"\r\n" + GET,
    "a target that is not ASCII": b"GET /\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n" + GET,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
}


@pytest.mark.parametrize("request_", SMUGGLING.values(), ids=SMUGGLING)
async def test_a_request_that_can_be_read_in_two_ways_is_not_read(served, request_):
    answer = await served.exchange(request_)

    assert envelope(answer) == (400, "BAD_USER_INPUT")
    assert served.seen.paths == []


@pytest.mark.parametrize(
    "chunks",
    [
        b"x\r\nab\r\n0\r\n\r\n",
        b"-1\r\nab\r\n0\r\n\r\n",
        b"0x2\r\nab\r\n0\r\n\r\n",
        b"2 \r\nab\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nab\r\n0\r\n\r\n",
        b"2\nab\n0\n\n",
        b"2\r\nabc\r\n0\r\n\r\n",
        b"2\r\nab0\r\n\r\n",
    ],
)
async def test_bad_chunks_end_request_and_connection(served, chunks):
    answer = await served.exchange(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + GET)

    assert envelope(answer) == (400, "BAD_USER_INPUT")
    assert served.seen.paths in ([], ["/read"])
    assert served.seen.bodies in ([], [None])


async def test_chunks_and_trailers_are_read(served):
    chunks = b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n"

    answer = await served.exchange(POST + chunks + b"X-Forwarded-For: 10.0.0.1\r\n\r\n" + LAST)

    assert served.seen.bodies == [b"abc"]
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\n\r\n[]HTTP/1.1 200 " in answer


async def test_requests_sent_together_are_answered_in_order(served):
    served.seen.door.set()

    answer = await served.exchange(b"\r\n" + GET.replace(b"/ok", b"/wait") + GET + LAST)

    assert answer.count(b"HTTP/1.1 200 ") == 3
    assert served.seen.paths == ["/wait", "/ok", "/ok"]


async def test_an_answer_under_way_is_finished_before_the_connection_ends(served):
    reader, writer = await served.connect()
    writer.write(GET.replace(b"/ok", b"/wait") + b"GARBAGE\r\n\r\n")
    while not served.seen.paths:
        await asyncio.sleep(0)

    served.seen.door.set()

    answer = await until_cut(reader)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.endswith(b"waited")
    writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /ok HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_BYTES,
        b"GET /ok HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n",
        b"GET /" + b"a" * (MAX_HEAD_BYTES + 1),
        b"GET /ok HTTP/1.1\r\n" + b"A: b\r\n" * (MAX_HEAD_BYTES // 2) + b"\r\n",
    ],
)
@pytest.mark.parametrize("size", [1 << 20, 1_000])
async def test_a_large_head_is_refused(served, head, size):
    pieces = [head[start : start + size] for start in range(0, len(head), size)]

    reader, writer = await served.connect()
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    answer = await until_cut(reader)
    # Of a head that is still being sent, the rest may take the answer with it.
    assert not answer or envelope(answer) == (431, "BAD_USER_INPUT")
    writer.close()

    assert served.seen.paths == []


async def test_a_head_below_the_limit_is_read(served):
    head = LAST[:-2] + b"X: " + b"a" * (MAX_HEAD_BYTES - 100) + b"\r\n\r\n"

    assert (await served.exchange(head)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("sent", [b"G", b"GET /ok HTTP/1.1\r\nHost: api.ex", b"\r\n\r\nGET"])
async def test_a_head_that_stalls_is_cut(sent):
    async with service(head_seconds=0.05) as served:
        assert envelope(await served.exchange(sent)) == (408, "REQUEST_TIMEOUT")


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
async def test_a_connection_without_a_request_is_closed(sent):
    async with service(head_seconds=0.05) as served:
        assert await served.exchange(sent) == b""


async def test_a_head_that_drips_is_cut():
    async with service(head_seconds=0.05) as served:
        reader, writer = await served.connect()
        answer = asyncio.create_task(until_cut(reader))
        writer.write(b"GET /ok HTTP/1.1\r\nX: ")
        with contextlib.suppress(ConnectionError):
            while not answer.done():
                writer.write(b"a")
                await writer.drain()
                await asyncio.sleep(0.001)
        writer.close()

        assert envelope(await answer) == (408, "REQUEST_TIMEOUT")


async def test_the_second_head_of_a_connection_has_a_deadline_too():
    async with service(head_seconds=0.05) as served:
        reader, writer = await served.connect()
        writer.write(GET)
        first = await answer_on(reader)
        writer.write(b"GET /ok")

        assert first[0].startswith(b"http/1.1 200 ")
        assert envelope(await until_cut(reader)) == (408, "REQUEST_TIMEOUT")
        writer.close()


async def test_time_for_work_is_not_time_for_a_head():
    async with service(head_seconds=0.01) as served:
        asyncio.get_running_loop().call_later(0.05, served.seen.door.set)

        answer = await served.exchange(LAST.replace(b"/ok", b"/wait"))

    assert answer.endswith(b"waited")


async def test_blank_lines_keep_no_connection_open():
    async with service(keep_alive=0.05) as served:
        reader, writer = await served.connect()
        writer.write(GET)
        await answer_on(reader)
        ended = asyncio.create_task(until_cut(reader))
        with contextlib.suppress(ConnectionError):
            while not ended.done():
                writer.write(b"\r\n")
                await asyncio.sleep(0.001)
        writer.close()

        assert await ended == b""


async def test_an_idle_connection_is_closed_counted_from_its_last_answer(served):
    reader, writer = await served.connect()
    timers = []
    for _ in range(2):
        writer.write(GET)
        await answer_on(reader)
        (connection,) = served.server.server_state.connections
        timers.append(connection._idle_timer)

    assert timers[0] is timers[1]
    # As the timer does, which began with the first answer.
    connection._close_idle()
    assert not connection.transport.is_closing()
    connection._idle_since -= FOREVER
    connection._close_idle()

    assert await until_cut(reader) == b""
    writer.close()


EARLY = b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\n"


async def test_who_never_sends_the_body_that_was_announced_is_cut():
    async with service(keep_alive=0.05) as served:
        reader, writer = await served.connect()
        writer.write(EARLY)
        await answer_on(reader)

        assert await until_cut(reader) == b""
        writer.close()


async def test_after_a_body_that_came_late_the_connection_is_idle(served):
    reader, writer = await served.connect()
    writer.write(EARLY)
    await answer_on(reader)
    (connection,) = served.server.server_state.connections
    # As if the time had been over while a piece of the body was timed.
    writer.write(b"fo")
    while connection._read_timer is None:
        await asyncio.sleep(0)
    connection._idle_timer.cancel()
    connection._close_idle()
    assert connection._idle_timer is None

    writer.write(b"ur")
    while connection._idle_timer is None:
        await asyncio.sleep(0)
    assert not connection.transport.is_closing()
    writer.close()


async def test_a_stop_does_not_wait_for_a_body_that_nobody_reads():
    async with service() as served:
        reader, writer = await served.connect()
        writer.write(EARLY)
        await answer_on(reader)
        served.server.should_exit = True

        assert await until_cut(reader) == b""
        writer.close()


async def test_a_head_behind_another_request_has_the_same_limit(served):
    reader, writer = await served.connect()
    writer.write(GET + b"GET /ok HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 20_000)
    await answer_on(reader)
    writer.write(b"\r\n")

    status, _ = envelope(await until_cut(reader))
    assert status == 431
    assert served.seen.paths == ["/ok"]
    writer.close()


async def test_headers_are_counted(served):
    many = b"a:\r\n" * MAX_HEADERS

    answer = await served.exchange(GET[:-2] + many + b"\r\n")
    assert envelope(answer)[0] == 431

    fewer = b"a:\r\n" * (MAX_HEADERS - 2)
    answer = await served.exchange(LAST[:-2] + fewer + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_connection_at_work_is_not_idle(served):
    reader, writer = await served.connect()
    writer.write(GET)
    await answer_on(reader)
    (connection,) = served.server.server_state.connections
    writer.write(GET.replace(b"/ok", b"/wait"))
    while connection.cycle.response_complete:
        await asyncio.sleep(0)
    connection._idle_since -= FOREVER
    connection._close_idle()
    served.seen.door.set()

    _, body = await answer_on(reader)
    assert body == b"waited"
    assert connection._idle_timer is not None
    writer.close()


async def test_the_rest_of_a_body_that_nobody_reads_has_a_deadline():
    async with service(head_seconds=0.05) as served:
        reader, writer = await served.connect()
        writer.write(b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\na")
        _, body = await answer_on(reader)
        writer.write(b"b")

        assert body == b"early"
        assert await until_cut(reader) == b""
        writer.close()


async def test_a_reader_that_stops_is_cut():
    async with service(stall_seconds=0.05) as served:
        _, writer = await served.connect()
        writer.transport.pause_reading()
        writer.write(GET.replace(b"/ok", b"/endless"))
        while not served.server.server_state.connections:
            await asyncio.sleep(0)
        while served.server.server_state.connections:
            await asyncio.sleep(0.001)
        writer.close()


async def test_during_notice_everybody_is_answered_and_told_to_leave():
    async with service(notice=FOREVER) as served:
        kept, kept_writer = await served.connect()
        kept_writer.write(GET)
        before, _ = await answer_on(kept)
        held, held_writer = await served.connect()
        held_writer.write(GET.replace(b"/ok", b"/wait"))
        while "/wait" not in served.seen.paths:
            await asyncio.sleep(0)

        served.server.handle_exit(15, None)
        kept_writer.write(GET)
        after = await kept.read()
        new = await served.exchange(GET)
        served.seen.door.set()
        last = await held.read()

        assert b"connection: close" not in before
        assert [b"connection: close" in answer.lower() for answer in (after, new, last)] == [
            True,
            True,
            True,
        ]
        assert last.endswith(b"waited")
        kept_writer.close()
        held_writer.close()


async def test_requests_on_waiting_connections_are_answered_after_the_listener_is_closed():
    async with service() as served:
        reader, writer = await served.connect()
        writer.write(GET)
        await answer_on(reader)
        late, late_writer = await served.connect()

        await served.server._stop_listening()
        for connection in list(served.server.server_state.connections):
            connection.shutdown()
        served.server._drain.draining = True
        for each_writer in (writer, late_writer):
            each_writer.write(GET)

        answers = [await until_cut(reader), await until_cut(late)]
        assert [answer.startswith(b"HTTP/1.1 200 ") for answer in answers] == [True, True]
        with pytest.raises(ConnectionRefusedError):
            await served.connect()
        writer.close()
        late_writer.close()


@pytest.mark.parametrize(("changes", "seconds"), [({}, 75), ({"keep_alive_seconds": 5}, 5)])
def test_idle_connections_stay_open_as_long_as_the_setting_says(settings_with, changes, seconds):
    config = uvicorn_config(settings_with(**changes), Starlette(), ShutdownState())

    assert config.timeout_keep_alive == seconds


async def refuse(_scope, _receive, send):
    """Answer without having read the body, and close the connection."""
    headers = [(b"content-length", b"2"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": b"no"})


LENGTH = b"Content-Length: %d\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
PIECE = b"x" * 65_536


@pytest.mark.parametrize(
    ("framing", "pieces"),
    [
        (LENGTH % 5, [b"xxxxx"]),
        (LENGTH % (1 << 20), []),
        (LENGTH % (1 << 20), [PIECE] * 16),
        (LENGTH % (1 << 24), [PIECE] * 256),
        (LENGTH % (1 << 26), [PIECE] * 1024),
        (CHUNKED, [b"10000\r\n", PIECE, b"\r\n"] * 256),
    ],
    ids=["small", "head alone", "1 MiB", "16 MiB", "64 MiB", "chunked"],
)
async def test_refusal_reaches_a_client_that_is_still_sending(framing, pieces):
    async with service(app=refuse) as running:
        reader, writer = await running.connect()
        writer.write(b"POST /read HTTP/1.1\r\n" + HOST + framing)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"\r\n\r\nno")


async def test_client_that_never_stops_sending_is_cut_off(monkeypatch):
    monkeypatch.setattr(web.server.protocol, "DISCARD_SECONDS", 0.05)
    async with service(app=refuse) as running:
        with pytest.raises(ConnectionError):
            await running.exchange(
                b"POST /read HTTP/1.1\r\n" + HOST + LENGTH % (1 << 50), *repeat(PIECE, 1 << 16)
            )


async def test_answer_to_a_pipelined_request_is_no_refusal_of_the_next():
    async with service() as running:
        answer = await running.exchange(b"GET /ok HTTP/1.1\r\n" + HOST + b"\r\n" + LAST)

    assert answer.count(b"HTTP/1.1 200 OK") == 2
