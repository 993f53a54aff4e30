"""Uploads that take too long: the client is told to retry, and the bytes stay."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from hashlib import sha256

import pytest

from domain.documents import DocumentKind, UploadRequest
from domain.errors.exceptions import ServiceUnavailable
from integrations.storage.inspection.worker_pool import InspectionOptions, inspection_queue
from resolvers.documents import uploads
from resolvers.documents.uploads import ByteRange
from tests import sample_files
from tests.server_processes import wait_until

SHORT, LONG = 0.3, 600
CONTENT = sample_files.jpeg()


def patient(services, *, max_wait: float, finish: float, processes: int = 2):
    inspection = InspectionOptions(processes=processes, max_wait_seconds=max_wait)
    storage = replace(services.storage, inspection=inspection, finish_seconds=finish)
    return replace(services, storage=storage)


async def chunks(content: bytes):
    if content:
        yield content


async def send(services, ticket, content: bytes = CONTENT, *, client: str = "captain"):
    """Send the whole file, or nothing if all bytes have been received."""
    now = await uploads.upload_progress(services, ticket)
    piece = None if content else ByteRange(start=len(CONTENT), end=len(CONTENT))
    return await uploads.receive(services, ticket, now, chunks(content), piece, client=client)


def opened(services, content: bytes = CONTENT):
    announced = UploadRequest(
        kind=DocumentKind.PHOTO,
        file_name="photo.jpg",
        content_type="image/jpeg",
        byte_size=len(content),
        sha256=sha256(content).hexdigest(),
    )
    return uploads.open_upload(services, announced)[0]


@pytest.fixture
async def busy():
    """Take every turn of the inspection queue until exit."""
    async with AsyncExitStack() as stack:

        async def take_all(services):
            options = services.storage.inspection
            for number in range(options.processes):
                await stack.enter_async_context(inspection_queue(options).slot(f"other{number}"))
            return stack

        yield take_all


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize(
    ("patience", "finish", "message"),
    [
        (SHORT, LONG, "Many files are being checked. Try again in a moment."),
        (LONG, SHORT, "The file has arrived and is not stored yet. Try again in a moment."),
    ],
)
async def test_upload_that_waits_too_long_is_refused_and_succeeds_later(
    services, sql, busy, patience, finish, message, processes
):
    hurried = patient(services, max_wait=patience, finish=finish, processes=processes)
    stack = await busy(hurried)
    ticket = opened(hurried)

    with pytest.raises(ServiceUnavailable) as refused:
        await send(hurried, ticket)
    standing = await uploads.upload_progress(hurried, ticket)
    waiting = inspection_queue(hurried.storage.inspection).waiting
    rows = await sql.fetchval("SELECT count(*) FROM document")
    await stack.aclose()
    calm = replace(hurried, storage=replace(hurried.storage, finish_seconds=LONG))
    after = await send(calm, ticket, b"")

    assert (refused.value.message, refused.value.retry_after_seconds) == (message, 10)
    assert (standing.offset, standing.is_stored) == (len(CONTENT), False)
    assert (waiting, rows) == (0, 0)
    assert (after.offset, after.is_stored, after.is_new) == (len(CONTENT), True, True)
    assert inspection_queue(hurried.storage.inspection)._running.total() == 0


async def test_queued_uploads_of_one_client_are_all_refused_in_time(services, busy):
    hurried = patient(services, max_wait=SHORT, finish=LONG)
    stack = await busy(hurried)
    tickets = [opened(hurried) for _ in range(6)]

    answers = await asyncio.gather(
        *(send(hurried, ticket) for ticket in tickets), return_exceptions=True
    )
    await stack.aclose()
    patience = patient(services, max_wait=LONG, finish=LONG)
    stored = [await send(patience, ticket, b"") for ticket in tickets]

    assert [type(answer) for answer in answers] == [ServiceUnavailable] * 6
    assert [item.is_new for item in stored] == [True] * 6


async def test_retry_during_a_waiting_upload_is_refused_in_time(services, busy):
    slow = patient(services, max_wait=LONG, finish=LONG)
    stack = await busy(slow)
    ticket = opened(slow)
    first = asyncio.create_task(send(slow, ticket))
    await wait_until(
        lambda: inspection_queue(slow.storage.inspection).waiting == 1, "the file waits"
    )
    hurried = replace(slow, storage=replace(slow.storage, finish_seconds=SHORT))

    with pytest.raises(ServiceUnavailable):
        await send(hurried, ticket, b"")
    await stack.aclose()

    assert (await first).is_new


@pytest.mark.parametrize("harness", ["cloudinary"], indirect=True)
async def test_hanging_store_is_not_awaited_and_receives_the_file_later(
    stored_services, harness, stand_in, sql
):
    stand_in.held = {"upload"}
    stand_in.gate.clear()
    hurried = patient(stored_services, max_wait=LONG, finish=2)
    ticket = opened(hurried)

    with pytest.raises(ServiceUnavailable) as refused:
        await send(hurried, ticket)
    row = await sql.fetchrow("SELECT stored_at, storage_name FROM document")
    standing = await uploads.upload_progress(hurried, ticket)
    stand_in.gate.set()
    after = await send(stored_services, ticket, b"")

    assert refused.value.retry_after_seconds == 10
    assert (row["stored_at"], standing.offset) == (None, len(CONTENT))
    assert after.is_new
    assert harness.names() == [f"pending/{row['storage_name']}"]
