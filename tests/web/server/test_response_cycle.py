"""Responses of any ASGI application over real connections, sent in one piece where possible."""

import asyncio
import gc
import weakref

import pytest

from tests.web.server.test_protocol import GET, HOST, LAST, answer_on, service, until_cut

LARGE = b"x" * (8 << 20)


def length(body):
    return (b"content-length", b"%d" % len(body))


class App:
    """Sends `responses` of status, headers and parts of a body; keeps the error of each."""

    def __init__(self, *responses):
        self.responses = responses
        self.outcomes = []

    async def __call__(self, _scope, _receive, send):
        for status, headers, *parts in self.responses:
            try:
                await send({"type": "http.response.start", "status": status, "headers": headers})
                for number, part in enumerate(parts, 1):
                    more_body = number < len(parts)
                    body = {"type": "http.response.body", "body": part, "more_body": more_body}
                    await send(body)
                self.outcomes.append(None)
            except RuntimeError as error:
                self.outcomes.append(error)


class Writes:
    """The pieces in which a server writes to its connections."""

    def __init__(self, served):
        self._server = served.server
        self.pieces = []

    def record(self):
        (connection,) = self._server.server_state.connections
        transport, pieces = connection.transport, self.pieces

        class Recorder:
            def __getattr__(self, name):
                return getattr(transport, name)

            def write(self, content):
                pieces.append(bytes(content))
                transport.write(content)

        connection.transport = Recorder()


async def pieces_of(app, request=GET):
    """The pieces in which the response to a request is written."""
    async with service(app=app) as served:
        _, writer = await served.connect()
        writes = Writes(served)
        while not served.server.server_state.connections:
            await asyncio.sleep(0)
        writes.record()
        writer.write(request)
        while not app.outcomes:
            await asyncio.sleep(0)
        writer.close()
    return writes.pieces


async def test_status_headers_and_body_are_written_at_once():
    app = App((404, [length(b"fine"), (b"a", b"b")], b"fine"))

    (piece,) = await pieces_of(app)

    lines = piece.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 404 Not Found"
    assert any(line.startswith(b"date: ") for line in lines)
    assert lines[-4:] == [b"content-length: 4", b"a: b", b"", b"fine"]
    assert app.outcomes == [None]


@pytest.mark.parametrize("status", [204, 304])
async def test_response_without_a_body_is_written_at_once(status):
    (piece,) = await pieces_of(App((status, [(b"a", b"b")], b"")))

    assert piece.startswith(b"HTTP/1.1 %d " % status)
    assert piece.endswith(b"\r\na: b\r\n\r\n")
    assert b"transfer-encoding" not in piece


@pytest.mark.parametrize(
    ("headers", "parts", "body"),
    [
        ([], [b"a", b"b"], b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"),
        ([], [b"ab"], b"2\r\nab\r\n0\r\n\r\n"),
        ([length(b"ab")], [b"a", b"b"], b"ab"),
        ([(b"transfer-encoding", b"chunked")], [b"ab"], b"2\r\nab\r\n0\r\n\r\n"),
        ([(b"Content-Length", b"2")], [b"ab"], b"ab"),
    ],
    ids=["parts", "no length", "parts with length", "chunked", "name in capitals"],
)
async def test_other_framing_is_left_to_uvicorn(headers, parts, body):
    async with service(app=App((200, headers, *parts))) as served:
        answer = await served.exchange(LAST)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.partition(b"\r\n\r\n")[2] == body


async def test_start_waits_for_the_body():
    sent, go_on = asyncio.Event(), asyncio.Event()

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [length(b"a")]})
        sent.set()
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"a"})

    async with service(app=app) as served:
        reader, writer = await served.connect()
        writer.write(GET)
        await sent.wait()
        (connection,) = served.server.server_state.connections
        assert not connection.cycle.response_started
        go_on.set()
        _, body = await answer_on(reader)
        writer.close()

    assert body == b"a"


@pytest.mark.parametrize("raises", [True, False])
async def test_start_without_a_body_becomes_a_server_error(raises):
    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [length(b"a")]})
        if raises:
            raise RuntimeError

    async with service(app=app) as served:
        answer = await served.exchange(LAST)

    assert answer.startswith(b"HTTP/1.1 500 ")


async def test_answered_request_leaves_nothing_to_the_collector():
    cycles = []
    fine = App((200, [length(b"fine")], b"fine"))

    async def app(scope, receive, send):
        cycles.append(weakref.ref(send.__self__))
        await fine(scope, receive, send)

    gc.disable()
    try:
        async with service(app=app) as served:
            reader, writer = await served.connect()
            for _ in range(3):
                writer.write(GET)
                await answer_on(reader)
            writer.close()
            assert [cycle() is None for cycle in cycles[:2]] == [True, True]
    finally:
        gc.enable()


async def test_connection_serves_the_next_request():
    async with service(app=App((200, [length(b"fine")], b"fine"))) as served:
        reader, writer = await served.connect()
        for _ in range(2):
            writer.write(GET)
            _, body = await answer_on(reader)
            assert body == b"fine"
        writer.close()


async def test_response_to_head_has_no_body():
    async with service(app=App((200, [length(b"fine")], b"fine"))) as served:
        answer = await served.exchange(LAST.replace(b"GET", b"HEAD"))

    assert answer.endswith(b"\r\ncontent-length: 4\r\nconnection: close\r\n\r\n")


@pytest.mark.parametrize(
    ("request_", "headers"),
    [(LAST, []), (b"GET /ok HTTP/1.0\r\n\r\n", []), (GET, [(b"connection", b"close")])],
)
async def test_last_response_says_so_once_and_closes(request_, headers):
    async with service(app=App((200, [length(b"fine"), *headers], b"fine"))) as served:
        answer = await served.exchange(request_)

    assert answer.count(b"connection: close\r\n") == 1
    assert answer.endswith(b"\r\n\r\nfine")


@pytest.mark.parametrize(
    "header",
    [
        (b"a", b"b\r\nset-cookie: c"),
        (b"a", b"b\rc"),
        (b"a\nb", b"c"),
        (b"a\r\n\r\nb", b"c"),
        (b"a", b"\0"),
        (b"a", b"\x7f"),
        (b"a b", b"c"),
        (b"a:", b"b"),
    ],
)
async def test_header_that_would_be_two_is_not_sent(header):
    app = App((200, [length(b"fine"), header], b"fine"))
    async with service(app=app) as served:
        answer = await served.exchange(LAST)

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"cookie" not in answer
    assert isinstance(app.outcomes[0], RuntimeError)


@pytest.mark.parametrize(("body", "declared"), [(b"fine", 3), (b"fine", 5)])
async def test_body_of_another_length_is_an_error(body, declared):
    app = App((200, [(b"content-length", b"%d" % declared)], body))
    async with service(app=app) as served:
        await served.exchange(LAST)

    assert isinstance(app.outcomes[0], RuntimeError)


async def test_second_response_is_an_error():
    fine = (200, [length(b"fine")], b"fine")
    app = App(fine, fine)
    async with service(app=app) as served:
        answer = await served.exchange(LAST)

    assert answer.count(b"HTTP/1.1 ") == 1
    assert app.outcomes[0] is None
    assert isinstance(app.outcomes[1], RuntimeError)


async def test_response_waits_for_a_slow_reader():
    app = App((200, [length(LARGE)], LARGE))
    async with service(app=app) as served:
        reader, writer = await served.connect()
        writer.transport.pause_reading()
        writer.write(GET + LAST)
        while not app.outcomes:
            await asyncio.sleep(0)
        (connection,) = served.server.server_state.connections
        while not connection.cycle.scope["headers"]:
            await asyncio.sleep(0)
        assert connection.flow.write_paused
        assert len(app.outcomes) == 1

        writer.transport.resume_reading()
        answers = await until_cut(reader)
        writer.close()

    assert answers.count(LARGE) == 2
    assert app.outcomes == [None, None]


POST = b"POST /ok HTTP/1.1\r\n" + HOST


async def test_client_that_waits_for_permission_to_send_is_answered():
    expecting = POST + b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    fine = App((200, [length(b"fine")], b"fine"))
    async with service(app=fine) as served:
        reader, writer = await served.connect()
        writer.write(expecting)
        head, _ = await answer_on(reader)
        writer.close()

    assert head.startswith(b"http/1.1 200 ")

    received = []

    async def reading(scope, receive, send):
        received.append((await receive())["body"])
        await fine(scope, receive, send)

    async with service(app=reading) as served:
        reader, writer = await served.connect()
        writer.write(expecting)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"four")
        await answer_on(reader)
        writer.close()

    assert received == [b"four"]


async def test_nothing_is_sent_to_a_client_that_has_left():
    has_left = asyncio.Event()
    app = App((200, [length(b"fine")], b"fine"))

    async def late(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass
        await app(scope, receive, send)
        has_left.set()

    async with service(app=late) as served:
        _, writer = await served.connect()
        writer.write(POST + b"Content-Length: 4\r\n\r\n")
        await writer.drain()
        writer.close()
        await has_left.wait()

    assert app.outcomes == [None]
