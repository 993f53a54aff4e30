"""Bytes that are stored are bytes that were hashed, whatever is sent at the same moment."""

import asyncio
import io
import os
import threading
from pathlib import Path

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from tests import sample_files
from tests.cloudinary import CloudinaryStandIn
from tests.document_stores import clear_orphans
from tests.graphql_client import app_client
from tests.server_processes import wait_until
from tests.uploading import Ticket, open_upload, put, put_range, upload_offset

SIZE = 300_000
ANNOUNCED, OTHER = 10, 250


def picture(color: int) -> bytes:
    return sample_files.large_png(SIZE, color)


def color_of(content: bytes) -> int:
    with Image.open(io.BytesIO(content)) as image:
        red, *_ = image.getpixel((0, 0))
        return red


@pytest.fixture
def stand_in():
    with CloudinaryStandIn() as running:
        yield running


@pytest.fixture
async def held(settings, database, database_url, stand_in):
    """The application, whose store does not take a file before the gate is opened."""
    changes = {"cloudinary_url": SecretStr(stand_in.url), "outside_attempts": 1}
    stand_in.held = {"upload"}
    stand_in.gate.clear()
    async with app_client(settings.model_copy(update=changes), database_url) as client:
        yield client


def left(settings) -> list[str]:
    return sorted(path.name for path in (settings.data_dir / "uploads").glob("*"))


async def whole(client: httpx.AsyncClient, ticket: Ticket) -> int:
    """Other bytes for the same ticket, in one piece."""
    return (await put(client, ticket, picture(OTHER))).status_code


async def shorter(client: httpx.AsyncClient, ticket: Ticket) -> int:
    return (await put(client, ticket, picture(OTHER)[:1_000])).status_code


async def longer(client: httpx.AsyncClient, ticket: Ticket) -> int:
    return (await put(client, ticket, picture(OTHER) + b"?")).status_code


async def first_piece(client: httpx.AsyncClient, ticket: Ticket) -> int:
    return (await put_range(client, ticket, picture(OTHER), 0, 100_000)).status_code


async def last_piece(client: httpx.AsyncClient, ticket: Ticket) -> int:
    return (await put_range(client, ticket, picture(OTHER), SIZE - 10, SIZE)).status_code


async def head(client: httpx.AsyncClient, ticket: Ticket) -> int:
    return await upload_offset(client, ticket)


async def nothing(client: httpx.AsyncClient, ticket: Ticket) -> int:
    return (await put(client, ticket, b"")).status_code


DISTURBANCES = [whole, shorter, longer, first_piece, last_piece, head, nothing]


@pytest.mark.parametrize("disturb", DISTURBANCES)
async def test_bytes_sent_while_an_upload_is_stored_change_nothing(
    held, stand_in, settings, sql, disturb
):
    ticket = await open_upload(held, "PHOTO", picture(ANNOUNCED), contentType="image/png")
    first = asyncio.create_task(put(held, ticket, picture(ANNOUNCED)))
    await wait_until(lambda: stand_in.calls["upload"] == 1, "the file is being stored")

    second = asyncio.create_task(disturb(held, ticket))
    await asyncio.wait([second], timeout=1)
    stand_in.gate.set()
    answer = await first
    await second

    assert answer.status_code == 201
    assert [color_of(content) for content in stand_in.assets.values()] == [ANNOUNCED]
    assert await sql.fetchval("SELECT count(*) FROM document WHERE stored_at IS NOT NULL") == 1
    assert left(settings) == []
    assert (await put(held, ticket, picture(OTHER))).status_code == 200
    assert [color_of(content) for content in stand_in.assets.values()] == [ANNOUNCED]
    assert left(settings) == []


async def test_two_tickets_for_one_picture_do_not_disturb_each_other(held, stand_in, settings):
    tickets = [
        await open_upload(held, "PHOTO", picture(color), contentType="image/png")
        for color in (ANNOUNCED, OTHER)
    ]
    sending = [
        asyncio.create_task(put(held, ticket, picture(color)))
        for ticket, color in zip(tickets, (ANNOUNCED, OTHER), strict=True)
    ]
    await wait_until(lambda: stand_in.calls["upload"] == 2, "both are being stored")
    stand_in.gate.set()

    assert [(await one).status_code for one in sending] == [201, 201]
    assert sorted(color_of(one) for one in stand_in.assets.values()) == [ANNOUNCED, OTHER]
    assert left(settings) == []


async def test_store_that_was_away_gets_the_same_bytes_later(held, stand_in, settings, sql):
    stand_in.gate.set()
    stand_in.mood = "503"
    ticket = await open_upload(held, "PHOTO", picture(ANNOUNCED), contentType="image/png")
    away = await put(held, ticket, picture(ANNOUNCED))
    waiting = (await upload_offset(held, ticket), len(left(settings)))

    stand_in.mood = "healthy"
    said = f"bytes */{SIZE}"
    answer = await put(held, ticket, b"", content_range=said)

    assert (away.status_code, away.headers["Retry-After"]) == (503, "60")
    assert waiting == (SIZE, 1)
    assert answer.status_code == 201
    assert [color_of(one) for one in stand_in.assets.values()] == [ANNOUNCED]
    assert left(settings) == []


async def test_bytes_changed_while_the_store_is_away_are_refused(held, stand_in, settings, sql):
    stand_in.gate.set()
    stand_in.mood = "503"
    ticket = await open_upload(held, "PHOTO", picture(ANNOUNCED), contentType="image/png")
    await put(held, ticket, picture(ANNOUNCED))
    stand_in.mood = "healthy"

    answer = await put(held, ticket, picture(OTHER))

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["code"] == "FILE_CONTENT_MISMATCH"
    assert stand_in.assets == {}
    assert left(settings) == []
    assert await sql.fetchval("SELECT count(*) FROM document WHERE stored_at IS NOT NULL") == 0


class Writer(threading.Thread):
    """Writes other bytes to the files of uploads again and again, as another server could."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self.ended = threading.Event()
        self.count = 0

    def run(self) -> None:
        content = picture(OTHER)
        while not self.ended.is_set():
            for path in self._folder.glob("*.part"):
                try:
                    file = os.open(path, os.O_WRONLY)
                except FileNotFoundError:
                    continue
                os.pwrite(file, content, 0)
                os.close(file)
                self.count += 1


async def test_no_file_is_stored_that_was_not_announced_while_another_writer_races(
    client, settings, sql
):
    (settings.data_dir / "uploads").mkdir()
    writer = Writer(settings.data_dir / "uploads")
    writer.start()
    statuses = []
    try:
        for _ in range(20):
            ticket = await open_upload(client, "PHOTO", picture(ANNOUNCED), contentType="image/png")
            statuses.append((await put(client, ticket, picture(ANNOUNCED))).status_code)
    finally:
        writer.ended.set()
        writer.join()

    stored = [path for path in (settings.data_dir / "documents").rglob("*") if path.is_file()]
    assert writer.count > 0
    assert set(statuses) <= {201, 400}
    assert {color_of(path.read_bytes()) for path in stored} <= {ANNOUNCED}
    assert len(stored) == statuses.count(201)
    assert left(settings) == []


async def test_document_given_up_while_it_is_saved_leaves_no_file(
    held, stand_in, services, sql, settings
):
    ticket = await open_upload(held, "PHOTO", picture(ANNOUNCED), contentType="image/png")
    sending = asyncio.create_task(put(held, ticket, picture(ANNOUNCED)))
    await wait_until(lambda: stand_in.calls["upload"] == 1, "the file is being stored")
    await sql.execute("DELETE FROM document")

    stand_in.gate.set()
    answer = await sending

    assert answer.status_code == 410
    assert stand_in.assets == {}
    assert await clear_orphans(services) == 0
