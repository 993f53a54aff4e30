"""The buffer of unfinished uploads."""

import asyncio
import os
import threading
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from anyio import create_task_group
from structlog.testing import capture_logs

from domain.errors.exceptions import StorageUnavailable
from integrations.storage import disk
from integrations.storage.reservations import Reservation
from integrations.storage.upload_buffer import PartMissing, UploadBuffer


async def begin(spool, upload):
    ends = datetime(2100, 1, 1, tzinfo=UTC)
    wanted = Reservation(
        upload=upload, byte_size=10, expires_at=int(ends.timestamp()), client="0" * 16
    )
    await spool.reserve(wanted, now=datetime.now(UTC))


async def test_upload_that_was_not_reserved_or_is_over_takes_no_bytes(tmp_path):
    spool, upload = UploadBuffer(tmp_path / "uploads"), uuid4()
    with pytest.raises(PartMissing):
        await spool.write(upload, 0, b"01234")
    await begin(spool, upload)
    await spool.write(upload, 0, b"01234")
    await spool.discard(upload)
    for offset in (0, 5):
        with pytest.raises(PartMissing):
            await spool.write(upload, offset, b"01234")

    assert list((tmp_path / "uploads").iterdir()) == []


async def test_chunks_may_arrive_in_any_order(tmp_path):
    spool, upload = UploadBuffer(tmp_path / "uploads"), uuid4()

    await begin(spool, upload)
    await spool.write(upload, 0, b"01234")
    await spool.write(upload, 5, b"56789")
    await spool.write(upload, 0, b"012")

    assert await spool.size(upload) == 10
    assert spool.path(upload).read_bytes() == b"0123456789"
    assert oct(spool.path(upload).stat().st_mode & 0o777) == "0o600"
    assert oct((tmp_path / "uploads").stat().st_mode & 0o777) == "0o700"


async def test_unknown_upload_is_empty_and_has_no_snapshot(tmp_path):
    spool, upload = UploadBuffer(tmp_path / "uploads"), uuid4()

    assert await spool.size(upload) == 0
    with pytest.raises(PartMissing):
        async with spool.snapshot(upload):
            pass
    await spool.discard(upload)
    assert list((tmp_path / "uploads").iterdir()) == []


async def test_nearly_full_disk_accepts_no_file(tmp_path):
    spool = UploadBuffer(tmp_path / "uploads", min_free_bytes=1 << 62)

    with capture_logs() as events, pytest.raises(StorageUnavailable):
        await spool.require_room()

    assert [(event["event"], event["error"]) for event in events] == [
        ("upload_buffer_failed", "OSError")
    ]
    await UploadBuffer(tmp_path / "uploads").require_room()


async def test_scratch_files_are_deleted_on_exit(tmp_path):
    spool = UploadBuffer(tmp_path / "uploads")

    async with spool.scratch() as path:
        path.write_bytes(b"x")
        assert path.exists()

    assert list((tmp_path / "uploads").iterdir()) == []


async def test_only_old_buffer_files_are_swept(tmp_path):
    spool, old, fresh = UploadBuffer(tmp_path), uuid4(), uuid4()
    await begin(spool, old)
    await begin(spool, fresh)
    await spool.write(old, 0, b"x")
    await spool.write(fresh, 0, b"x")
    (tmp_path / "of somebody").write_bytes(b"x")
    for path in (spool.path(old), tmp_path / "of somebody"):
        os.utime(path, (0, 0))

    assert await spool.sweep(older_than_seconds=3_600) == 1
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted(["of somebody", spool.path(fresh).name])


@pytest.mark.parametrize("ending", ["return", "error", "cancel", "scope"])
@pytest.mark.parametrize("kind", ["scratch", "scratch_folder"])
async def test_scratch_file_is_deleted_in_a_thread_after_any_exit(
    tmp_path, monkeypatch, kind, ending
):
    spool, threads = UploadBuffer(tmp_path / "uploads"), []
    delete = disk.delete_if_possible

    def deleted(*args):
        threads.append(threading.current_thread())
        delete(*args)

    monkeypatch.setattr("integrations.storage.upload_buffer.delete_if_possible", deleted)
    begun = asyncio.Event()

    async def use():
        async with getattr(spool, kind)() as path:
            (path / "file" if kind == "scratch_folder" else path).write_bytes(b"x")
            begun.set()
            if ending == "error":
                raise RuntimeError
            if ending != "return":
                await asyncio.Event().wait()

    if ending == "scope":
        async with create_task_group() as group:
            group.start_soon(use)
            await begun.wait()
            group.cancel_scope.cancel()
    else:
        task = asyncio.create_task(use())
        await begun.wait()
        if ending == "cancel":
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert list((tmp_path / "uploads").iterdir()) == []
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
