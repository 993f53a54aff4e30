"""First pieces of one upload that arrive at the same moment, from two addresses."""

import asyncio

import asyncpg
import pytest

from tests import files
from tests.databases import dsn
from tests.sending import opened, put, put_piece

UPLOADS = 8
SIZE = 60_000


async def send_whole(client, ticket, content, address):
    return await put(client, ticket, content, x_forwarded_for=address)


async def send_first_piece(client, ticket, content, address):
    said = f"bytes 0-{SIZE // 2 - 1}/{len(content)}"
    headers = {"x_forwarded_for": address, "content_range": said}
    return await put(client, ticket, content[: SIZE // 2], **headers)


@pytest.mark.parametrize("servers", [1, 2])
@pytest.mark.parametrize("send", [send_whole, send_first_piece])
async def test_upload_that_two_addresses_begin_at_once_is_stored_once(
    make_server, own_url, tmp_path, servers, send
):
    data_dir = tmp_path / "shared"
    started = [
        make_server(DATABASE_URL=own_url, DATA_DIR=str(data_dir), TRUSTED_PROXIES="127.0.0.1")
        for _ in range(servers)
    ]
    await asyncio.gather(*(server.start() for server in started))
    clients = [started[0].client(), started[-1].client()]
    addresses = ("192.0.2.1", "198.51.100.7")
    contents = [files.large_png(SIZE, color) for color in range(10, 10 + UPLOADS)]

    tickets = [
        await opened(clients[0], "PHOTO", content, contentType="image/png") for content in contents
    ]
    answers = await asyncio.gather(
        *(
            asyncio.gather(
                *(
                    send(client, ticket, content, address)
                    for client, address in zip(clients, addresses, strict=True)
                )
            )
            for ticket, content in zip(tickets, contents, strict=True)
        )
    )
    parts = list((data_dir / "uploads").iterdir())
    if send is send_first_piece:
        assert {answer.status_code for pair in answers for answer in pair} <= {202, 409}
        assert len(parts) == UPLOADS
        answers = await asyncio.gather(
            *(
                asyncio.gather(
                    *(
                        put_piece(client, ticket, content, SIZE // 2, len(content))
                        for client in clients
                    )
                )
                for ticket, content in zip(tickets, contents, strict=True)
            )
        )
    for client in clients:
        await client.aclose()

    statuses = [sorted(answer.status_code for answer in pair) for pair in answers]
    assert all(pair in ([200, 201], [201, 409]) for pair in statuses), statuses
    assert list((data_dir / "uploads").iterdir()) == []
    kept = [path for path in (data_dir / "documents").rglob("*") if path.is_file()]
    assert len(kept) == UPLOADS
    connection = await asyncpg.connect(dsn(own_url))
    stored = await connection.fetchval("SELECT count(*) FROM document WHERE stored_at IS NOT NULL")
    await connection.close()
    assert stored == UPLOADS
    assert not any('"level":"error"' in server.stderr for server in started)
