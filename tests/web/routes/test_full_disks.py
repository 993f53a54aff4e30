"""Disks that refuse to be written are told as such, and nothing half-written stays."""

import gc
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from domain.auth.roles import Role
from domain.errors.exceptions import StorageUnavailable
from integrations.storage.base import Folder
from integrations.storage.cloudinary_store import CloudinaryStore
from integrations.storage.disk import DiskSpace
from integrations.storage.folder import FolderStore
from integrations.storage.upload_buffer import PART_SUFFIX, UploadBuffer
from resilience.breaker_states import BreakerState
from resilience.circuit_breaker import ServiceGuard, ServiceGuardOptions
from resolvers.documents import uploads
from resolvers.documents.links import create_link
from resolvers.exports.workbook import Workbook
from tests import factories, sample_files
from tests.accounts import bearer_headers, new_caller
from tests.cloudinary import CloudinaryStandIn
from tests.disks import fill_disk, limit_file_size, mount_small_disk, read_only_disk
from tests.graphql_client import app_client, check_envelope, data, execute
from tests.integrations.storage.test_upload_buffer import begin
from tests.uploading import open_upload, put, put_range, upload
from tests.web.routes.test_exports import link

SIZE = 300_000
CONTENT = sample_files.large_png(SIZE)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def unavailable(response) -> bool:
    """Whether it is a 503 for the storage, with its whole envelope, that says when to come back."""
    check_envelope(response.json())
    (error,) = response.json()["errors"]
    code = error["extensions"]["code"]
    seen = (response.status_code, code, response.headers["Retry-After"])
    return seen == (503, "STORAGE_UNAVAILABLE", "60")


async def test_upload_that_cannot_be_written_goes_on_later(client, settings, sql):
    ticket = await open_upload(client, "PHOTO", CONTENT, contentType="image/png")

    with limit_file_size():
        refused = await put(client, ticket, CONTENT)
    (part,) = names(settings.data_dir / "uploads")
    again = await put(client, ticket, CONTENT)

    assert unavailable(refused)
    assert part.endswith(PART_SUFFIX)
    assert again.status_code == 201
    assert names(settings.data_dir / "uploads") == []
    assert len(names(settings.data_dir / "documents")) == 1
    assert await sql.fetchval("SELECT count(*) FROM document") == 1


async def test_upload_that_cannot_be_copied_is_finished_later(client, settings, services, sql):
    ticket = await open_upload(client, "PHOTO", CONTENT, contentType="image/png")
    document_id = uploads.read_ticket(services, ticket.url[9:]).document_id
    await put_range(client, ticket, CONTENT, 0, SIZE - 1)
    await services.storage.upload_buffer.write(document_id, SIZE - 1, CONTENT[-1:])
    before = names(settings.data_dir / "uploads")

    with limit_file_size():
        refused = await put(client, ticket, b"", content_range=f"bytes */{SIZE}")
    after = names(settings.data_dir / "uploads")
    again = await put(client, ticket, b"", content_range=f"bytes */{SIZE}")

    assert unavailable(refused)
    assert (len(before), after) == (1, before)
    assert again.status_code == 201
    assert await sql.fetchval("SELECT count(*) FROM document WHERE stored_at IS NOT NULL") == 1


async def test_document_that_cannot_be_copied_is_shown_later(client, services, settings, clock):
    players = factories.players()
    document_id = await upload(client, "IDENTITY_PROOF", sample_files.jpeg())
    players[0]["documents"] = [{"kind": "IDENTITY_PROOF", "documentId": document_id}]
    data(await execute(client, factories.REGISTER, {"input": factories.team(players=players)}))
    (path,) = (settings.data_dir / "documents" / "pending").iterdir()
    path.write_bytes(bytes(SIZE))
    from datetime import UTC, datetime  # noqa: PLC0415 - the clock of the application

    clock.now = datetime.now(UTC)
    url, _ = create_link(services, await new_caller(services, Role.REVIEWER), UUID(document_id))

    with limit_file_size():
        refused = await client.get(url)
    again = await client.get(url)

    assert unavailable(refused)
    assert (again.status_code, again.content) == (200, bytes(SIZE))
    assert names(settings.data_dir / "uploads") == []


@contextmanager
def _limited(_folder: Path):
    with limit_file_size():
        yield


@contextmanager
def disk_that_is(state: str, folder: Path):
    if state == "limited":
        yield _limited
        return
    with mount_small_disk(folder):
        yield {"full": fill_disk, "read-only": read_only_disk}[state]


@pytest.fixture(params=["limited", "full", "read-only"])
def broken(request, tmp_path):
    """A folder and what makes its disk refuse to be written."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with disk_that_is(request.param, folder) as breaking:
        yield folder, breaking


def spool_in(folder: Path) -> UploadBuffer:
    """One that learns from the disk itself that there is no room."""
    return UploadBuffer(folder / "uploads", min_free_bytes=0, measure=lambda _: 1 << 40)


async def refused(folder: Path, breaking, call) -> bool:
    """Whether the call is refused on a broken disk and leaves its files as they were."""
    before = names(folder)
    with breaking(folder):
        with pytest.raises(StorageUnavailable) as raised:
            await call()
        after = [name for name in names(folder) if name != "filler"]
    return raised.value.retry_after_seconds == 60 and after == before


async def test_document_that_cannot_be_saved_leaves_nothing(broken, tmp_path):
    folder, breaking = broken
    (tmp_path / "source").write_bytes(CONTENT)
    media, name = FolderStore(folder / "documents", min_free_bytes=0), uuid4().hex
    await media.check()

    assert await refused(
        folder, breaking, lambda: media.save(name, Folder.PENDING, tmp_path / "source")
    )
    await media.save(name, Folder.PENDING, tmp_path / "source")
    assert names(folder) == [f"documents/pending/{name}"]


async def test_snapshot_that_cannot_be_made_leaves_the_upload(broken):
    folder, breaking = broken
    spool, upload = spool_in(folder), uuid4()
    await begin(spool, upload)
    await spool.write(upload, 0, CONTENT)

    async def copy() -> None:
        async with spool.snapshot(upload):
            pass

    assert await refused(folder, breaking, copy)
    await copy()
    assert await spool.size(upload) == SIZE


# The library leaves to the collector what it was writing.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_workbook_that_cannot_be_written_leaves_nothing(broken):
    folder, breaking = broken
    spool = spool_in(folder)
    (folder / "uploads").mkdir()
    columns = ()

    async def write() -> None:
        async with spool.scratch_folder() as scratch, Workbook.open(scratch) as workbook:
            await workbook.add_sheet("Teams", columns)
            await _fill(workbook)

    assert await refused(folder, breaking, write)
    gc.collect()


async def _fill(workbook: Workbook) -> None:
    """Rows that compress badly."""
    from resolvers.exports.columns import Column  # noqa: PLC0415 - beside what uses it

    column = Column(header="Name", value=lambda text: text, width=10)
    await workbook.add_sheet("Many", [column])
    await workbook.add_rows("Many", [uuid4().hex * 20 for _ in range(3_000)])


async def test_download_that_cannot_be_written_is_no_failure_of_cloudinary(broken):
    folder, breaking = broken
    options = ServiceGuardOptions(attempts=3, timeout_seconds=5, retry_wait_seconds=0, failures=1)
    guard = ServiceGuard(
        "cloudinary",
        options,
        transient=CloudinaryStore.TRANSIENT,
        unavailable=StorageUnavailable,
    )
    spool, name = spool_in(folder), uuid4().hex
    with CloudinaryStandIn() as stand_in:
        media = CloudinaryStore(stand_in.url, guard, timeout_seconds=5)
        stand_in.assets["raw", "authenticated", f"pending/{name}"] = CONTENT

        async def fetch() -> None:
            async with spool.scratch() as path:
                await media.fetch(name, Folder.PENDING, path)

        (folder / "uploads").mkdir()
        assert await refused(folder, breaking, fetch)
        assert guard.state == BreakerState.CLOSED
        assert stand_in.calls["download"] <= 1
        await fetch()


async def test_export_on_a_full_disk_is_refused_and_leaves_nothing(client, services, settings):
    reviewer = await bearer_headers(services, Role.REVIEWER)
    data(await execute(client, factories.REGISTER, {"input": factories.team()}))
    url = await link(client, reviewer, "XLSX")
    (settings.data_dir / "uploads").write_bytes(b"a file where the folder should be")

    answer = await client.get(url)

    assert unavailable(answer)
    (settings.data_dir / "uploads").unlink()
    assert (await client.get(url)).status_code == 200
    assert names(settings.data_dir / "uploads") == []


@pytest.mark.parametrize("free", [-1, -(1 << 40), 0, 1])
async def test_disk_below_its_reserve_is_not_well(tmp_path, free):
    space = DiskSpace(
        "uploads_disk", tmp_path / "not" / "there", min_free_bytes=100, measure=lambda _: 100 + free
    )

    assert await space.is_healthy() is (free >= 0)


async def test_health_names_a_disk_below_its_reserve(database, database_url, settings, tmp_path):
    with mount_small_disk(tmp_path / "disk") as folder:
        changes = {"upload_dir": folder / "uploads", "document_dir": folder / "documents"}
        async with app_client(settings.model_copy(update=changes), database_url) as client:
            pages = [(await client.get(path)) for path in ("/health", "/readyz")]
            asked = data(await execute(client, "{ health { status checks { name status } } }"))
            ticket = await open_upload(client, "PHOTO", CONTENT, contentType="image/png")
            sent = await put(client, ticket, CONTENT)
            registered = await execute(client, factories.REGISTER, {"input": factories.team()})

        checks = asked["health"]["checks"]
        assert [page.status_code for page in pages] == [200, 200]
        assert {page.json()["status"] for page in pages} == {"DEGRADED"}
        assert asked["health"]["status"] == "DEGRADED"
        assert {one["name"]: one["status"] for one in checks} == {
            "database": "OK",
            "uploads_disk": "DEGRADED",
            "documents_disk": "DEGRADED",
        }
        assert unavailable(sent)
        assert names(folder) == []
        assert data(registered)["registerTeam"]["team"]["code"] == "ICCT-001"


async def test_budget_of_a_client_is_told_with_when_to_come_back(settings, database, database_url):
    changes = {"upload_bytes_per_client": 2 << 20}
    async with app_client(settings.model_copy(update=changes), database_url) as client:
        tickets = [
            await open_upload(client, "PHOTO", CONTENT, contentType="image/png") for _ in range(3)
        ]
        begun = [await put_range(client, one, CONTENT, 0, 1) for one in tickets]
        finished = await put_range(client, tickets[0], CONTENT, 1, SIZE)
        again = await put_range(client, tickets[2], CONTENT, 0, 1)

    assert [answer.status_code for answer in begun] == [202, 202, 429]
    assert begun[2].headers["Retry-After"] == "30"
    assert begun[2].json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert (finished.status_code, again.status_code) == (201, 202)
