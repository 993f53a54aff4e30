"""First pieces of one upload that arrive at the same moment, from two addresses."""

import asyncio

import asyncpg
import pytest

from tests import sample_files
from tests.databases import dsn
from tests.uploading import open_upload, put

UPLOADS = 8
SIZE = 60_000
ADDRESSES = ("192.0.2.1", "198.51.100.7")


async def send_whole(client, ticket, content, address):
    return await put(client, ticket, content, x_forwarded_for=address)


async def send_piece(client, ticket, content, address, start, end):
    said = f"bytes {start}-{end - 1}/{len(content)}"
    headers = {"x_forwarded_for": address, "content_range": said}
    return await put(client, ticket, content[start:end], **headers)


async def send_first_piece(client, ticket, content, address):
    return await send_piece(client, ticket, content, address, 0, SIZE // 2)


async def send_last_piece(client, ticket, content, address):
    return await send_piece(client, ticket, content, address, SIZE // 2, len(content))


async def at_once(send, clients, sent):
    """The answers to both clients, for each ticket with its content."""

    async def pair(ticket, content):
        both = zip(clients, ADDRESSES, strict=True)
        return await asyncio.gather(*(send(one, ticket, content, address) for one, address in both))

    return await asyncio.gather(*(pair(*each) for each in sent))


async def stored_count(url):
    connection = await asyncpg.connect(dsn(url))
    try:
        return await connection.fetchval(
            "SELECT count(*) FROM document WHERE stored_at IS NOT NULL"
        )
    finally:
        await connection.close()


@pytest.mark.parametrize("servers", [1, 2])
@pytest.mark.parametrize("send", [send_whole, send_first_piece])
async def test_upload_that_two_addresses_begin_at_once_is_stored_once(
    make_server, own_url, tmp_path, servers, send
):
    folder = tmp_path / "shared"
    variables = {"DATABASE_URL": own_url, "DATA_DIR": str(folder), "TRUSTED_PROXIES": "127.0.0.1"}
    started = [make_server(**variables) for _ in range(servers)]
    await asyncio.gather(*(server.start() for server in started))
    async with started[0].client() as one, started[-1].client() as other:
        contents = [sample_files.large_png(SIZE, color) for color in range(10, 10 + UPLOADS)]
        sent = [
            (await open_upload(one, "PHOTO", content, contentType="image/png"), content)
            for content in contents
        ]

        answers = await at_once(send, (one, other), sent)
        if send is send_first_piece:
            assert {answer.status_code for pair in answers for answer in pair} <= {202, 409}
            assert len(list((folder / "uploads").iterdir())) == UPLOADS
            answers = await at_once(send_last_piece, (one, other), sent)

    statuses = [sorted(answer.status_code for answer in pair) for pair in answers]
    assert all(pair in ([200, 201], [201, 409]) for pair in statuses), statuses
    assert list((folder / "uploads").iterdir()) == []
    kept = [path for path in (folder / "documents").rglob("*") if path.is_file()]
    assert (len(kept), await stored_count(own_url)) == (UPLOADS, UPLOADS)
    assert not any('"level":"error"' in server.stderr for server in started)
