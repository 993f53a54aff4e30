"""Sending a file: whole, in pieces, again, and everything that is no such file."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from domain.documents import MAX_FILE_BYTES, DocumentKind, UploadRequest
from resolvers.documents import uploads
from tests import factories, sample_files
from tests.graphql_client import (
    UNREACHABLE_DATABASE,
    app_client,
    check_envelope,
    data,
    error_extensions,
    execute,
)
from tests.integrations.storage.inspection.test_worker_pool import HOSTILE
from tests.integrations.storage.test_upload_buffer import begin
from tests.uploading import (
    OPEN_UPLOAD,
    open_upload,
    put,
    put_range,
    upload_input,
    upload_offset,
    with_wrong_signature,
)

OPEN_TRANSACTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
"""
ROWS = "SELECT kind, format, byte_size, sha256, folder, store, stored_at IS NOT NULL FROM document"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The folders of uploads and of documents."""

    spool: Path
    stored: Path

    def files(self) -> tuple[int, int]:
        return len(names(self.spool)), len(names(self.stored))


@pytest.fixture
def disk(settings) -> Disk:
    return Disk(spool=settings.data_dir / "uploads", stored=settings.data_dir / "documents")


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def nothing_is_left(sql, disk: Disk) -> bool:
    return await sql.fetchval("SELECT count(*) FROM document") == 0 and disk.files() == (0, 0)


def code(response) -> str:
    check_envelope(response.json())
    return response.json()["errors"][0]["extensions"]["code"]


async def test_a_ticket_says_where_how_and_until_when(client):
    answer = await execute(
        client, OPEN_UPLOAD, {"input": upload_input("PASTOR_LETTER", sample_files.pdf())}
    )

    ticket = data(answer)["openUpload"]["ticket"]
    assert ticket["method"] == "PUT"
    assert ticket["headers"] == [{"name": "Content-Type", "value": "application/pdf"}]
    assert ticket["url"].startswith("/uploads/")
    assert len(ticket["documentId"]) == 32


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"byteSize": 0}, "FILE_EMPTY"),
        ({"byteSize": MAX_FILE_BYTES + 1}, "FILE_TOO_LARGE"),
        ({"contentType": "application/x-msdownload"}, "FILE_TYPE_NOT_ALLOWED"),
        ({"contentType": "image/heic"}, "FILE_TYPE_NOT_ALLOWED"),
        ({"fileName": "../.."}, "VALIDATION_FAILED"),
        ({"sha256": "no hash"}, "VALIDATION_FAILED"),
    ],
)
async def test_no_ticket_is_given_for_a_file_against_the_rules(client, changes, expected):
    file = upload_input("PASTOR_LETTER", sample_files.pdf(), **changes)

    answer = await execute(client, OPEN_UPLOAD, {"input": file})

    assert error_extensions(answer)["code"] == expected


@pytest.mark.parametrize(
    ("said", "header"),
    [
        ("image/jpg", "image/jpeg"),
        ("Image/PJPEG; name=x", "image/jpeg"),
        ("", "application/octet-stream"),
        ("application/octet-stream", "application/octet-stream"),
        ("image", "application/octet-stream"),
    ],
)
async def test_file_of_any_announced_type_is_stored_as_what_it_is(client, sql, said, header):
    content = sample_files.png()
    changes = {"contentType": said, "fileName": "C:\\fakepath\\photo.heic"}
    answer = await execute(
        client, OPEN_UPLOAD, {"input": upload_input("GROUP_PHOTO", content, **changes)}
    )
    ticket = data(answer)["openUpload"]["ticket"]

    stored = await client.put(
        ticket["url"],
        content=content,
        headers={one["name"]: one["value"] for one in ticket["headers"]},
    )

    assert ticket["headers"] == [{"name": "Content-Type", "value": header}]
    assert stored.status_code == 201
    assert await sql.fetchval("SELECT format FROM document") == "PNG"


async def test_a_whole_file_is_stored(client, sql, disk):
    content = sample_files.jpeg()
    ticket = await open_upload(client, "GROUP_PHOTO", content)

    answer = await put(client, ticket, content, content_type="image/jpeg")

    assert answer.status_code == 201
    assert answer.json() == {"documentId": ticket.document_id, "isComplete": True}
    size = str(len(content))
    assert (answer.headers["Upload-Offset"], answer.headers["Upload-Length"]) == (size, size)
    (row,) = await sql.fetch(ROWS)
    assert tuple(row) == (
        "GROUP_PHOTO",
        "JPEG",
        len(content),
        sha256(content).digest(),
        "pending",
        "folder",
        True,
    )
    assert disk.files() == (0, 1)


async def test_the_content_says_the_format_whatever_was_announced(client, sql):
    content = sample_files.png()
    ticket = await open_upload(client, "GROUP_PHOTO", content)

    answer = await put(client, ticket, content)

    assert answer.status_code == 201
    assert await sql.fetchval("SELECT format FROM document") == "PNG"


async def test_a_repeated_complete_put_is_harmless(client, sql, disk):
    content = sample_files.jpeg()
    ticket = await open_upload(client, "PHOTO", content)
    await put(client, ticket, content)
    before = (await sql.fetch("SELECT * FROM document"), names(disk.stored))

    answer = await put(client, ticket, content)

    assert answer.status_code == 200
    assert answer.json() == {"documentId": ticket.document_id, "isComplete": True}
    assert (await sql.fetch("SELECT * FROM document"), names(disk.stored)) == before


async def test_head_says_how_much_is_there(client):
    content = sample_files.large_png(200_000)
    ticket = await open_upload(client, "PHOTO", content)

    before = await client.head(ticket.url)
    await put_range(client, ticket, content, 0, 150_000)
    between = await client.head(ticket.url)
    await put_range(client, ticket, content, 150_000, 200_000)
    after = await client.head(ticket.url)

    seen = [
        (a.headers["Upload-Offset"], a.headers["Upload-Length"]) for a in (before, between, after)
    ]
    assert seen == [("0", "200000"), ("150000", "200000"), ("200000", "200000")]
    assert {a.status_code for a in (before, between, after)} == {200}


async def test_pieces_make_the_file(client, disk):
    content = sample_files.large_png(100_000)
    ticket = await open_upload(client, "PHOTO", content)

    statuses = [
        (await put_range(client, ticket, content, start, min(start + 30_000, 100_000))).status_code
        for start in range(0, 100_000, 30_000)
    ]

    assert statuses == [202, 202, 202, 201]
    assert disk.files() == (0, 1)


@pytest.mark.parametrize(("start", "end"), [(0, 10), (49_999, 60_000), (50_001, 60_000)])
async def test_a_piece_that_does_not_continue_is_told_where_to_go_on(client, start, end):
    content = sample_files.large_png(100_000)
    ticket = await open_upload(client, "PHOTO", content)
    await put_range(client, ticket, content, 0, 50_000)

    answer = await put_range(client, ticket, content, start, end)

    assert (answer.status_code, code(answer)) == (409, "UPLOAD_OFFSET_MISMATCH")
    assert answer.headers["Upload-Offset"] == "50000"
    assert await upload_offset(client, ticket) == 50_000


async def test_a_file_that_is_all_there_is_finished_without_sending_it_again(
    client, settings, services, sql
):
    content = sample_files.jpeg()
    ticket = await open_upload(client, "PHOTO", content)
    upload = uploads.read_ticket(services, ticket.url[9:]).document_id
    await begin(services.storage.upload_buffer, upload)
    await services.storage.upload_buffer.write(upload, 0, content)

    answer = await put(client, ticket, b"", content_range=f"bytes */{len(content)}")

    assert answer.status_code == 201
    assert await sql.fetchval("SELECT count(*) FROM document WHERE stored_at IS NOT NULL") == 1


async def test_finishing_what_is_not_all_there_is_refused(client):
    content = sample_files.jpeg()
    ticket = await open_upload(client, "PHOTO", content)

    answer = await put(client, ticket, b"", content_range=f"bytes */{len(content)}")

    assert (answer.status_code, code(answer)) == (409, "UPLOAD_OFFSET_MISMATCH")
    assert answer.headers["Upload-Offset"] == "0"


@pytest.mark.parametrize(
    "said",
    [
        "bytes 0-9",
        "bytes 0-9/11",
        "bytes 9-0/10",
        "bytes 0-10/10",
        "items 0-9/10",
        "bytes */9",
        "x",
    ],
)
async def test_a_content_range_that_says_something_else_is_refused(client, said):
    content = b"0123456789"
    ticket = await open_upload(client, "PASTOR_LETTER", content)

    answer = await put(client, ticket, content, content_range=said)

    assert (answer.status_code, code(answer)) == (400, "BAD_USER_INPUT")
    assert await upload_offset(client, ticket) == 0


async def test_more_bytes_than_the_piece_has_are_refused(client):
    content = sample_files.large_png(100_000)
    ticket = await open_upload(client, "PHOTO", content)

    answer = await put(client, ticket, content[:20], content_range="bytes 0-9/100000")

    assert (answer.status_code, code(answer)) == (400, "BAD_USER_INPUT")


async def endless(chunk: bytes):
    while True:
        yield chunk


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (lambda _: b"", (400, "FILE_EMPTY")),
        (lambda content: content[:-1], (400, "FILE_CONTENT_MISMATCH")),
        (lambda content: content[:-1] + b"?", (400, "FILE_CONTENT_MISMATCH")),
        (lambda content: content + b"?", (413, "FILE_TOO_LARGE")),
        (endless, (413, "FILE_TOO_LARGE")),
    ],
    ids=["nothing", "a byte less", "another byte", "a byte more", "without end"],
)
async def test_other_bytes_than_announced_are_refused_and_leave_nothing(
    client, sql, disk, sent, expected
):
    content = sample_files.jpeg()
    ticket = await open_upload(client, "PHOTO", content)

    answer = await put(client, ticket, sent(content))

    assert (answer.status_code, code(answer)) == expected
    assert await nothing_is_left(sql, disk)
    assert await upload_offset(client, ticket) == 0


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("PASTOR_LETTER", b"MZ\x90\0" + b"\0" * 500),
        ("GROUP_PHOTO", b"<!doctype html><script>alert(1)</script>"),
        ("GROUP_PHOTO", sample_files.pdf()),
        ("PHOTO", sample_files.jpeg()[:-200]),
        ("PHOTO", HOSTILE["a bomb"]),
        ("PASTOR_LETTER", HOSTILE["a PDF with a script"]),
    ],
    ids=[
        "program as a letter",
        "page as a photo",
        "letter as a photo",
        "half a photo",
        "bomb",
        "letter with a script",
    ],
)
async def test_content_that_is_something_else_is_refused_and_leaves_nothing(
    client, sql, disk, kind, content
):
    said = "application/pdf" if kind == "PASTOR_LETTER" else "image/png"
    ticket = await open_upload(client, kind, content, contentType=said)

    answer = await put(client, ticket, content)

    assert (answer.status_code, code(answer)) == (400, "FILE_CONTENT_MISMATCH")
    assert await nothing_is_left(sql, disk)


async def test_a_ticket_that_was_guessed_or_changed_leads_nowhere(client, sql):
    ticket = await open_upload(client, "PHOTO", sample_files.jpeg())
    changed = with_wrong_signature(ticket.url)

    answers = [
        await client.request(method, url, content=sample_files.jpeg() if method == "PUT" else None)
        for url in (changed, "/uploads/x", "/uploads/..%2f..%2fetc%2fpasswd", "/uploads/")
        for method in ("PUT", "HEAD")
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert {code(answer) for answer in answers if answer.request.method == "PUT"} == {"NOT_FOUND"}
    assert await sql.fetchval("SELECT count(*) FROM document") == 0


async def test_a_ticket_ends(client, services, clock, sql, disk):
    content = sample_files.jpeg()
    clock.now -= timedelta(days=500)
    _, text = uploads.open_upload(
        services,
        UploadRequest(
            kind=DocumentKind.PHOTO,
            file_name="photo.jpg",
            content_type="image/jpeg",
            byte_size=len(content),
            sha256=sha256(content).hexdigest(),
        ),
    )

    answer = await client.put(f"/uploads/{text}", content=content)

    assert (answer.status_code, code(answer)) == (410, "UPLOAD_EXPIRED")
    assert await nothing_is_left(sql, disk)


async def test_other_methods_are_told_what_is_possible(client):
    ticket = await open_upload(client, "PHOTO", sample_files.jpeg())

    answer = await client.post(ticket.url, content=b"x")

    assert (answer.status_code, code(answer)) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "HEAD, PUT"


async def test_ten_transfers_of_one_upload_at_once_store_it_once(client, sql, disk):
    content = sample_files.large_png(300_000)
    ticket = await open_upload(client, "PHOTO", content)

    answers = await asyncio.gather(*(put(client, ticket, content) for _ in range(10)))

    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert await sql.fetchval("SELECT count(*) FROM document") == 1
    assert disk.files() == (0, 1)


async def test_without_the_database_nothing_is_taken_and_the_ticket_stays_good(
    client, settings, database_url
):
    content = sample_files.jpeg()
    ticket = await open_upload(client, "PHOTO", content)

    async with app_client(settings, UNREACHABLE_DATABASE) as cut_off:
        away = await put(cut_off, ticket, content)
    back = await put(client, ticket, content)

    assert (away.status_code, code(away)) == (503, "SERVICE_UNAVAILABLE")
    assert back.status_code == 201


async def test_a_spool_that_cannot_be_written_is_told_and_nothing_is_lost(client, disk, sql):
    content = sample_files.jpeg()
    ticket = await open_upload(client, "PHOTO", content)
    disk.spool.write_bytes(b"a file where the folder should be")

    refusal = await put(client, ticket, content)
    disk.spool.unlink()
    answer = await put(client, ticket, content)

    assert (refusal.status_code, code(refusal)) == (503, "STORAGE_UNAVAILABLE")
    assert refusal.headers["Retry-After"] == "60"
    assert answer.status_code == 201


async def test_a_store_that_cannot_be_written_costs_no_byte(client, disk, sql):
    content = sample_files.jpeg()
    ticket = await open_upload(client, "PHOTO", content)
    disk.stored.write_bytes(b"a file where the folder should be")

    refusal = await put(client, ticket, content)
    standing = await upload_offset(client, ticket)
    disk.stored.unlink()
    answer = await put(client, ticket, b"", content_range=f"bytes */{len(content)}")

    assert (refusal.status_code, code(refusal)) == (503, "STORAGE_UNAVAILABLE")
    assert standing == len(content)
    assert answer.status_code == 201
    assert disk.files() == (0, 1)
    assert await sql.fetchval("SELECT count(*) FROM document WHERE stored_at IS NOT NULL") == 1


async def test_uploads_have_a_rate_of_their_own(settings, database, database_url):
    limited = settings.model_copy(
        update={"enable_rate_limiting": True, "rate_limit_requests": 1, "rate_limit_uploads": 5}
    )
    async with app_client(limited, database_url) as client:
        content = sample_files.jpeg()
        tickets = [await open_upload(client, "PHOTO", content) for _ in range(3)]
        sent = [await put(client, ticket, content) for ticket in tickets]
        again = await put(client, tickets[0], content)

    assert [answer.status_code for answer in sent] == [201, 201, 429]
    assert code(sent[2]) == "RATE_LIMITED"
    assert again.status_code == 200


async def test_each_opened_upload_of_a_document_counts(settings, database, database_url):
    limited = settings.model_copy(update={"enable_rate_limiting": True, "rate_limit_uploads": 2})
    file = upload_input("PHOTO", sample_files.jpeg())
    fields = " ".join(
        f"u{n}: openUpload(input: $input) {{ ticket {{ documentId }} }}" for n in range(4)
    )
    query = f"mutation Open($input: OpenUploadInput!) {{ {fields} }}"
    async with app_client(limited, database_url) as client:
        body = (await execute(client, query, {"input": file})).json()

    assert [body["data"][f"u{n}"] is not None for n in range(4)] == [True, True, False, False]
    assert {error["extensions"]["code"] for error in body["errors"]} == {"RATE_LIMITED"}


async def test_33_transfers_hold_no_connection_and_no_lock(client, settings, sql):
    assert (settings.database_pool_size, settings.database_max_overflow) == (5, 0)
    content, go_on = sample_files.large_png(100_000), asyncio.Event()
    tickets = [await open_upload(client, "PHOTO", content) for _ in range(33)]

    async def halting():
        yield content[:50_000]
        await go_on.wait()
        yield content[50_000:]

    async with asyncio.TaskGroup() as group:
        sending = [group.create_task(put(client, ticket, halting())) for ticket in tickets]
        for ticket in tickets:
            while await upload_offset(client, ticket) < 50_000:
                await asyncio.sleep(0)
        open_transactions = await sql.fetchval(OPEN_TRANSACTIONS)
        registered = data(await execute(client, factories.REGISTER, {"input": factories.team()}))
        go_on.set()

    assert open_transactions == 0
    assert registered["registerTeam"]["team"]["code"] == "ICCT-001"
    assert {task.result().status_code for task in sending} == {201}
    assert await sql.fetchval("SELECT count(*) FROM document WHERE stored_at IS NOT NULL") == 33
