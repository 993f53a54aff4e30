"""Answers that are sent as a whole, over real connections."""

import asyncio

import pytest

from tests.web.test_connections import GET, HOST, LAST, answer_on, service, until_cut
from web.exchange import WHOLE

LARGE = b"x" * (8 << 20)


def length(body):
    return (b"content-length", b"%d" % len(body))


class App:
    """Sends what `answers` are; keeps what the server said to that."""

    def __init__(self, *answers):
        self.answers = answers
        self.outcomes = []

    async def __call__(self, scope, _receive, _send):
        for answer in self.answers:
            try:
                outcome = await scope["extensions"][WHOLE](*answer)
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
    assert lines[-4:] == [b"content-length: 4", b"a: b", b"", b"fine"]
    assert app.outcomes == [None]


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

    assert answer.endswith(b"\r\ncontent-length: 4\r\nconnection: close\r\n\r\n")


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
    [(b"a", b"b\r\nset-cookie: c"), (b"a", b"b\rc"), (b"a\nb", b"c"), (b"a\r\n\r\nb", b"c")],
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
