"""Stalled client connections."""

import asyncio

from tests import factories
from tests.server_processes import register, team_codes, team_or_error_code

EACH = 25
HEAD = b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
HEADS = [b"", b"G", b"\r\n", b"GET /livez HTTP/1.1\r\n", HEAD + b"X-Slow: a"]
BODIES = [
    HEAD + b"Content-Length: 100\r\n\r\n",
    HEAD + b'Content-Length: 100\r\n\r\n{"query"',
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n7\r\n{",
    HEAD + b"Origin: https://a.example\r\nContent-Length: 9\r\n\r\n",
]


async def stalled_connection(port, sent):
    """Open a connection and send this much."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    await writer.drain()
    return reader, writer


async def test_fifty_stalled_connections_are_closed_while_others_are_served(make_server, own_url):
    server = make_server(
        DATABASE_URL=own_url,
        HEADER_TIMEOUT_SECONDS="3",
        RECEIVE_TIMEOUT_SECONDS="3",
        CORS_ORIGINS="https://a.example",
    )
    await server.start()
    beginnings = [*HEADS, *BODIES] * (EACH // len(HEADS))
    held = [await stalled_connection(server.port, sent) for sent in beginnings]
    results = [asyncio.create_task(reader.read()) for reader, _ in held]

    async with server.client() as client:
        answers = []
        while not any(end.done() for end in results):
            answers.append(await register(client, factories.team(len(answers))))
        cut = await asyncio.gather(*results)
        answers.append(await register(client, factories.team(len(answers))))
    for _, writer in held:
        writer.close()

    assert len(held) == 2 * EACH
    assert [team_or_error_code(answer) for answer in answers] == team_codes(1, len(answers))
    assert len(answers) > 1
    for sent, answer in zip(beginnings, cut, strict=True):
        if not sent.strip():
            assert answer == b""
            continue
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"REQUEST_TIMEOUT"' in answer
        assert b"nosniff" in answer
        assert (b"access-control-allow-origin: https://a.example" in answer) == (b"Origin" in sent)
