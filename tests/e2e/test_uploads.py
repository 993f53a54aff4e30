"""Uploads to real processes: slow, interrupted, killed, resumed at another server."""

import asyncio
import io
import os
import random
import signal
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests import sample_files
from tests.server_processes import ServerProcess
from tests.uploading import Ticket, open_upload, put, put_range, upload_offset

BYTES_PER_SECOND = 64 * 1024
TICK_SECONDS = 0.25


def noise(side: int) -> bytes:
    """Return an incompressible image of about 3 * side * side bytes."""
    content = io.BytesIO()
    pixels = random.Random(26).randbytes(3 * side * side)
    Image.frombytes("RGB", (side, side), pixels).save(content, "PNG", compress_level=0)
    return content.getvalue()


async def start_put(
    server: ServerProcess, ticket: Ticket, length: int, *headers: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection and send the head of a PUT request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    lines = (f"PUT {ticket.url} HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *headers)
    writer.write("\r\n".join((*lines, "", "")).encode())
    return reader, writer


async def send_until(
    server: ServerProcess, ticket: Ticket, content: bytes, *, until: int, pause: float = 0
) -> None:
    """Send the file up to byte `until`, then disconnect abruptly."""
    async with server.client() as client:
        start = await upload_offset(client, ticket)
    said = f"bytes {start}-{len(content) - 1}/{len(content)}"
    _, writer = await start_put(server, ticket, len(content) - start, f"Content-Range: {said}")
    step = round(BYTES_PER_SECOND * TICK_SECONDS)
    for place in range(start, until, step):
        writer.write(content[place : min(place + step, until)])
        await writer.drain()
        await asyncio.sleep(pause)
    async with server.client() as client:
        while await upload_offset(client, ticket) < until:
            await asyncio.sleep(0.01)
    writer.transport.abort()


def only_document(server: ServerProcess) -> bytes:
    (path,) = (server.folder / "data" / "documents" / "pending").iterdir()
    return path.read_bytes()


@pytest.mark.slow
async def test_slow_upload_of_5_mb_completes_despite_four_disconnects(make_server, own_url):
    server = make_server(DATABASE_URL=own_url)
    await server.start()
    content = noise(1_320)
    assert 5_200_000 < len(content) <= 5 * 1024 * 1024
    async with server.client() as client:
        ticket = await open_upload(client, "PHOTO", content, contentType="image/png")

        for part in range(1, 5):
            cut = part * len(content) // 5
            await send_until(server, ticket, content, until=cut, pause=TICK_SECONDS)
        rest = await upload_offset(client, ticket)
        answer = await put_range(client, ticket, content, rest, len(content))

    assert rest == 4 * len(content) // 5
    assert answer.status_code == 201
    assert sha256(only_document(server)).digest() == sha256(content).digest()


async def test_upload_continues_after_the_server_was_killed(make_server, own_url):
    server = make_server(DATABASE_URL=own_url)
    await server.start()
    content = noise(600)
    async with server.client() as client:
        ticket = await open_upload(client, "PHOTO", content, contentType="image/png")
    await send_until(server, ticket, content, until=500_000)

    await server.kill()
    await server.start()
    async with server.client() as client:
        rest = await upload_offset(client, ticket)
        answer = await put_range(client, ticket, content, rest, len(content))

    assert rest == 500_000
    assert answer.status_code == 201
    assert only_document(server) == content


async def test_upload_continues_at_another_server(make_server, own_url, tmp_path):
    shared = {
        "DATABASE_URL": own_url,
        "UPLOAD_DIR": str(tmp_path / "shared"),
        "DOCUMENT_DIR": str(tmp_path / "documents"),
    }
    servers = [make_server(**shared), make_server(**shared)]
    await asyncio.gather(*(server.start() for server in servers))
    content = noise(600)
    async with servers[0].client() as first, servers[1].client() as second:
        ticket = await open_upload(first, "PHOTO", content, contentType="image/png")
        statuses = [
            (await put_range(client, ticket, content, start, min(start + 300_000, len(content))))
            for client, start in zip(
                [first, second] * 2, range(0, len(content), 300_000), strict=True
            )
        ]

    assert [answer.status_code for answer in statuses] == [202, 202, 202, 201]
    (stored,) = (tmp_path / "documents" / "pending").iterdir()
    assert stored.read_bytes() == content


async def test_stalled_transfer_is_closed_and_can_be_resumed(make_server, own_url):
    server = make_server(DATABASE_URL=own_url, UPLOAD_STALL_SECONDS="1")
    await server.start()
    content = noise(200)
    async with server.client() as client:
        ticket = await open_upload(client, "PHOTO", content, contentType="image/png")
        reader, writer = await start_put(server, ticket, len(content))
        writer.write(content[:50_000])

        answer = (await reader.read()).decode()
        rest = await upload_offset(client, ticket)
        finished = await put_range(client, ticket, content, rest, len(content))
        writer.close()

    assert answer.startswith("HTTP/1.1 408 ")
    assert '"code":"REQUEST_TIMEOUT"' in answer
    assert rest == 50_000
    assert finished.status_code == 201


async def test_single_bytes_do_not_count_as_progress(make_server, own_url):
    server = make_server(DATABASE_URL=own_url, UPLOAD_STALL_SECONDS="1")
    await server.start()
    content = noise(200)
    async with server.client() as client:
        ticket = await open_upload(client, "PHOTO", content, contentType="image/png")
    reader, writer = await start_put(server, ticket, len(content))
    # Read only the status line: bytes sent after the response reset the connection.
    answer = asyncio.create_task(reader.readline())

    for place in range(len(content)):
        if answer.done():
            break
        writer.write(content[place : place + 1])
        await asyncio.sleep(0.02)
    writer.close()

    assert answer.result().startswith(b"HTTP/1.1 408 ")
    assert place < 1_000


async def test_whole_file_after_a_disconnect_starts_again(make_server, own_url):
    server = make_server(DATABASE_URL=own_url)
    await server.start()
    content = noise(300)
    async with server.client() as client:
        ticket = await open_upload(client, "PHOTO", content, contentType="image/png")
        await send_until(server, ticket, content, until=100_000)

        answer = await put(client, ticket, content)

    assert answer.status_code == 201
    assert only_document(server) == content


async def test_33_files_of_a_team_are_uploaded_at_once(make_server, own_url):
    server = make_server(DATABASE_URL=own_url)
    await server.start()
    contents = [sample_files.jpeg(color) for color in range(33)]

    async def upload_photo(client: httpx.AsyncClient, content: bytes) -> int:
        ticket = await open_upload(client, "PHOTO", content)
        return (await put(client, ticket, content)).status_code

    async with server.client() as client:
        statuses = await asyncio.gather(*(upload_photo(client, content) for content in contents))

    assert statuses == [201] * 33


def inspection_pids(server: ServerProcess) -> list[int]:
    """Return the server's inspection workers."""
    children = [
        int(pid)
        for path in Path(f"/proc/{server.process.pid}/task").glob("*/children")
        for pid in path.read_text().split()
    ]
    return [
        pid for pid in children if b"inspection.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


async def test_upload_behind_a_hanging_file_is_answered_in_time_and_stored_later(
    make_server, own_url
):
    server = make_server(
        DATABASE_URL=own_url, INSPECTION_PROCESSES="1", INSPECTION_SECONDS="20", REQUEST_TIMEOUT="6"
    )
    await server.start()
    contents = [sample_files.jpeg(), noise(10), noise(20), noise(30)]
    async with server.client() as client:
        tickets = [await open_upload(client, "PHOTO", content) for content in contents]
        assert (await put(client, tickets[0], contents[0])).status_code == 201
        (inspector,) = inspection_pids(server)
        os.kill(inspector, signal.SIGSTOP)

        hanging = asyncio.create_task(put(client, tickets[1], contents[1]))
        while await upload_offset(client, tickets[1]) < len(contents[1]):
            await asyncio.sleep(0.01)
        waiting = [put(client, *pair) for pair in zip(tickets[2:], contents[2:], strict=True)]
        refused = await asyncio.wait_for(asyncio.gather(*waiting), 30)
        left = [await upload_offset(client, ticket) for ticket in tickets[2:]]
        is_hanging = not hanging.done()
        os.kill(inspector, signal.SIGCONT)
        first = await hanging
        nothing = {"content_range": f"bytes */{len(contents[2])}"}
        repeats = [
            await put(client, tickets[2], b"", **nothing),
            await put(client, tickets[3], contents[3]),
        ]

    errors = [answer.json()["errors"][0]["extensions"] for answer in refused]
    assert [answer.status_code for answer in refused] == [503, 503]
    assert [answer.headers["retry-after"] for answer in refused] == ["10", "10"]
    assert {(error["code"], error["retryable"]) for error in errors} == {
        ("SERVICE_UNAVAILABLE", True)
    }
    assert left == [len(content) for content in contents[2:]]
    assert is_hanging
    assert [first.status_code, *(answer.status_code for answer in repeats)] == [201] * 3
