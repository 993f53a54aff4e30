"""Answers that are sent as a whole, over real connections."""

import asyncio
import gc
import weakref

import pytest

from tests.web.server.test_protocol import GET, HOST, LAST, answer_on, service, until_cut
from web.middleware.exchange import BODY, WHOLE

LARGE = b"x" * (8 << 20)
LINES = b"c: d\r\n"


def length(body):
    return (b"content-length", b"%d" % len(body))


class App:
    """Sends what `answers` are; keeps what the server said to that."""

    def __init__(self, *answers):
        self.answers = answers
        self.outcomes = []

    async def __call__(self, scope, _receive, _send):
        whole = scope["extensions"][WHOLE]
        for answer in self.answers:
            try:
                status, pairs, body = answer
                outcome = await whole(status, pairs, LINES, body)
            except RuntimeError as error:
                outcome = error
            self.outcomes.append(outcome)


async def test_status_headers_and_body_arrive_in_one_piece():
    app = App((404, [length(b"fine"), (b"a", b"b")], b"fine"))
    async with service(app=app) as served:
        reader, writer = await served.connect()
        writer.write(GET)
        piece = await reader.read(65_536)
        writer.close()

    lines = piece.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 404 Not Found"
    assert any(line.startswith(b"date: ") for line in lines)
    assert lines[-5:] == [b"content-length: 4", b"a: b", b"c: d", b"", b"fine"]
    assert app.outcomes == [None]


async def test_an_answered_request_leaves_nothing_to_the_collector():
    cycles = []

    async def app(scope, _receive, _send):
        whole = scope["extensions"][WHOLE]
        cycles.append(weakref.ref(whole.__self__))
        await whole(200, [length(b"fine")], LINES, b"fine")

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


async def test_the_connection_serves_the_next_request():
    async with service(app=App((200, [length(b"fine")], b"fine"))) as served:
        reader, writer = await served.connect()
        for _ in range(2):
            writer.write(GET)
            _, body = await answer_on(reader)
            assert body == b"fine"
        writer.close()


async def test_to_head_there_is_no_body():
    async with service(app=App((200, [length(b"fine")], b"fine"))) as served:
        answer = await served.exchange(LAST.replace(b"GET", b"HEAD"))

    assert answer.endswith(b"\r\ncontent-length: 4\r\nconnection: close\r\nc: d\r\n\r\n")


@pytest.mark.parametrize(
    ("request_", "pairs"),
    [(LAST, []), (b"GET /ok HTTP/1.0\r\n\r\n", []), (GET, [(b"connection", b"close")])],
)
async def test_the_last_answer_says_so_once_and_closes(request_, pairs):
    async with service(app=App((200, [length(b"fine"), *pairs], b"fine"))) as served:
        answer = await served.exchange(request_)

    assert answer.count(b"connection: close\r\n") == 1
    assert answer.endswith(b"\r\n\r\nfine")


@pytest.mark.parametrize(
    "pair",
    [
        (b"a", b"b\r\nset-cookie: c"),
        (b"a", b"b\rc"),
        (b"a\nb", b"c"),
        (b"a\r\n\r\nb", b"c"),
        (b"a", b"\0"),
    ],
)
async def test_a_header_that_would_be_two_is_not_sent(pair):
    app = App((200, [length(b"fine"), pair], b"fine"))
    async with service(app=app) as served:
        answer = await served.exchange(LAST)

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"cookie" not in answer
    assert isinstance(app.outcomes[0], RuntimeError)


async def test_there_is_no_second_answer():
    fine = (200, [length(b"fine")], b"fine")
    app = App(fine, fine)
    async with service(app=app) as served:
        answer = await served.exchange(LAST)

    assert answer.count(b"HTTP/1.1 ") == 1
    assert app.outcomes[0] is None
    assert isinstance(app.outcomes[1], RuntimeError)


async def test_an_answer_waits_for_a_reader_that_is_slow():
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
HERE = POST + b"Content-Length: 4\r\n\r\nfour"


async def bodies(*pieces, limit=4):
    """What is taken twice and then received, while each of the pieces has arrived."""
    found, ready = [], asyncio.Event()

    async def app(scope, receive, send):
        taken = [scope["extensions"][BODY](limit) for _ in range(2)]
        message = await receive() if taken[0] is None else {}
        found.append((*taken, message.get("body"), message.get("more_body")))
        ready.set()
        while message.get("more_body"):
            message = await receive()
        await scope["extensions"][WHOLE](200, [length(b"fine")], LINES, b"fine")

    async with service(app=app) as served:
        reader, writer = await served.connect()
        for piece in pieces:
            writer.write(piece)
            await ready.wait()
        await answer_on(reader)
        writer.close()
    return found


async def test_a_body_that_is_here_is_taken_once():
    assert await bodies(HERE) == [(b"four", None, None, None)]


async def test_a_request_without_a_body_has_an_empty_one():
    assert await bodies(GET) == [(b"", None, None, None)]


async def test_a_body_on_its_way_is_received():
    assert await bodies(HERE[:-2], HERE[-2:]) == [(None, None, b"fo", True)]


async def test_a_body_above_the_limit_is_received():
    assert await bodies(HERE, limit=3) == [(None, None, b"four", False)]


async def test_a_client_that_waits_to_be_asked_is_asked():
    expecting = HERE[:-4].replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    async with service(app=App((200, [length(b"fine")], b"fine"))) as served:
        reader, writer = await served.connect()
        writer.write(expecting)
        head, _ = await answer_on(reader)
        writer.close()

    assert head.startswith(b"http/1.1 200 ")

    taken = []

    async def asking(scope, receive, send):
        taken.append(scope["extensions"][BODY](4))
        taken.append((await receive())["body"])
        await scope["extensions"][WHOLE](200, [length(b"fine")], LINES, b"fine")

    async with service(app=asking) as served:
        reader, writer = await served.connect()
        writer.write(expecting)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"four")
        await answer_on(reader)
        writer.close()

    assert taken == [None, b"four"]


async def test_to_who_has_gone_nothing_is_sent():
    gone = asyncio.Event()
    app = App((200, [length(b"fine")], b"fine"))

    async def late(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass
        await app(scope, receive, send)
        gone.set()

    async with service(app=late) as served:
        _, writer = await served.connect()
        writer.write(b"POST /ok HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\n")
        await writer.drain()
        writer.close()
        await gone.wait()

    assert app.outcomes == [None]
