"""Space reserved for uploads, shared by all processes of a folder."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from domain.errors.exceptions import StorageUnavailable, TooManyUploads
from integrations.storage.reservations import COPIES, MIN_COUNTED_BYTES, Reservation
from integrations.storage.upload_buffer import PartMissing, UploadBuffer

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
END = int(NOW.timestamp()) + 7_200
RESERVE = 1_000
SIZE = 100_000


def small_disk(capacity: int) -> Callable[[Path], int]:
    """Return the free bytes of a disk of this size that holds only the folder."""

    def free(folder: Path) -> int:
        return capacity - sum(map(size, folder.glob("*")))

    def size(path: Path) -> int:
        """Zero for a file that another process has deleted meanwhile."""
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return 0

    return free


def buffer_for(folder: Path, *, room_for: float, client_bytes: int | None = None) -> UploadBuffer:
    """Create a buffer with space for so many uploads of SIZE."""
    capacity = RESERVE + int(room_for * COPIES * SIZE)
    return UploadBuffer(
        folder,
        min_free_bytes=RESERVE,
        client_bytes=client_bytes,
        measure=small_disk(capacity),
    )


def reservation(
    *, upload: UUID | None = None, size: int = SIZE, end: int = END, client: int = 0
) -> Reservation:
    return Reservation(
        upload=upload or uuid4(), byte_size=size, expires_at=end, client=f"{client:016x}"
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*"))


async def can_start(opened: UploadBuffer, request: Reservation, *, now: datetime = NOW) -> bool:
    """Return whether one byte of the upload could be written."""
    try:
        await opened.reserve(request, now=now)
    except StorageUnavailable:
        return False
    await opened.write(request.upload, 0, b"x")
    return True


async def test_started_uploads_never_use_the_disks_reserve(tmp_path):
    opened = buffer_for(tmp_path, room_for=10.5)
    uploads = [reservation(client=number) for number in range(60)]

    accepted = [request for request in uploads if await can_start(opened, request)]
    for request in accepted:
        await opened.reserve(request, now=NOW)
        await opened.write(request.upload, 1, bytes(SIZE - 1))
        async with opened.snapshot(request.upload) as snapshot:
            assert snapshot.path.stat().st_size == SIZE

    assert len(accepted) == 10
    assert opened.space.free_bytes() >= 0
    assert len(names(tmp_path)) == 10


async def test_one_client_leaves_half_of_the_space_to_others(tmp_path):
    opened = buffer_for(tmp_path, room_for=10.5)

    of_one = [await can_start(opened, reservation(client=1)) for _ in range(20)]
    of_others = [
        await can_start(opened, reservation(client=client)) for client in (2, 3, 4, 5, 6, 7)
    ]

    assert (of_one.count(True), of_others.count(True)) == (5, 5)


@pytest.mark.parametrize("clients", [1, 2, 5, 20, 60])
async def test_concurrent_reservations_do_not_exceed_the_space(tmp_path, clients):
    spools = [buffer_for(tmp_path, room_for=8.5) for _ in range(4)]
    uploads = [reservation(client=number % clients) for number in range(60)]

    done = await asyncio.gather(
        *(can_start(spools[number % 4], request) for number, request in enumerate(uploads))
    )

    assert done.count(True) <= 8
    assert len(names(tmp_path)) == done.count(True)
    assert await can_start(spools[0], reservation(client=100)) is (done.count(True) < 8)


RESERVING = """
import asyncio, sys
from pathlib import Path
from datetime import datetime, UTC
from tests.integrations.storage.test_reservations import NOW, buffer_for, can_start, reservation
async def main():
    opened = buffer_for(Path(sys.argv[1]), room_for=12.5)
    first = int(sys.argv[2])
    print(sum([await can_start(opened, reservation(client=first + n)) for n in range(20)]))
asyncio.run(main())
"""


async def test_processes_sharing_a_folder_count_together(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RESERVING, str(tmp_path), str(100 * number)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    outputs = [(await asyncio.to_thread(process.communicate))[0] for process in processes]
    counts = [int(output.splitlines()[-1]) for output in outputs]

    assert sum(counts) <= 12
    assert len(names(tmp_path)) == sum(counts)
    assert [process.returncode for process in processes] == [0, 0, 0]


@pytest.mark.parametrize(
    ("size", "allowed"),
    [
        (1, 4),
        (MIN_COUNTED_BYTES - 1, 4),
        (MIN_COUNTED_BYTES, 4),
        (2 * MIN_COUNTED_BYTES, 2),
        (3 * MIN_COUNTED_BYTES, 1),
    ],
)
async def test_client_budget_limits_unfinished_bytes(tmp_path, size, allowed):
    opened = UploadBuffer(tmp_path, client_bytes=4 * MIN_COUNTED_BYTES, measure=lambda _: 1 << 50)
    uploads = [reservation(size=size, client=1) for _ in range(allowed)]
    for request in uploads:
        await opened.reserve(request, now=NOW)

    with pytest.raises(TooManyUploads) as refused:
        await opened.reserve(reservation(size=size, client=1), now=NOW)
    refused_names = names(tmp_path)
    await opened.reserve(reservation(size=size, client=2), now=NOW)
    await opened.discard(uploads[0].upload)
    await opened.reserve(reservation(size=size, client=1), now=NOW)

    assert refused.value.retry_after_seconds == 30
    assert refused_names == sorted(request.name for request in uploads)


async def test_default_budget_allows_twenty_complete_teams_at_once(tmp_path):
    from settings import Settings  # noqa: PLC0415 - for its default alone

    budget = Settings.model_fields["upload_bytes_per_client"].default

    assert budget >= 20 * 33 * 5 * 1024 * 1024


@pytest.mark.parametrize("seconds", [0, 1, 3_600])
async def test_expired_upload_releases_its_space_in_all_processes(tmp_path, seconds):
    before, after = buffer_for(tmp_path, room_for=2.5), buffer_for(tmp_path, room_for=2.5)
    old = [reservation(client=1), reservation(client=2)]
    for request in old:
        assert await can_start(before, request)
    assert not await can_start(after, reservation(client=3))

    later = datetime.fromtimestamp(END + seconds, UTC)
    new = reservation(client=3, end=END + 7_200)

    assert await can_start(after, new, now=later)
    assert names(tmp_path) == [new.name]
    with pytest.raises(PartMissing):
        await before.write(old[0].upload, 1, b"x")
    assert names(tmp_path) == [new.name]


async def test_only_expired_uploads_are_swept(tmp_path):
    opened = UploadBuffer(tmp_path)
    ended, going_on = reservation(), reservation(end=END + 1)
    for request in (ended, going_on):
        await can_start(opened, request)
    (tmp_path / f"{uuid4().hex}.part").write_bytes(b"of an earlier version")
    (tmp_path / "of somebody").write_bytes(b"x")

    swept = await opened.sweep_ended(now=datetime.fromtimestamp(END, UTC))

    assert swept == 1
    assert going_on.name in names(tmp_path)
    assert len(names(tmp_path)) == 3


async def test_upload_resumed_from_another_address_is_counted_once(tmp_path):
    opened = buffer_for(tmp_path, room_for=4.5)
    upload = uuid4()
    await can_start(opened, reservation(upload=upload, client=1))

    await opened.reserve(reservation(upload=upload, client=2), now=NOW)
    await opened.write(upload, 1, b"yz")

    assert len(names(tmp_path)) == 1
    assert opened.path(upload).read_bytes() == b"xyz"


@pytest.mark.parametrize("room", [0, 1, -1_000])
async def test_disk_filled_by_others_accepts_no_byte(tmp_path, room):
    free = [10 * COPIES * SIZE]
    opened = UploadBuffer(tmp_path, min_free_bytes=0, measure=lambda _: free[0])
    request = reservation()
    assert await can_start(opened, request)

    free[0] = room
    for call in (
        opened.write(request.upload, 1, b"yz"),
        opened.reserve(request, now=NOW),
        opened.reserve(reservation(), now=NOW),
    ):
        with pytest.raises(StorageUnavailable) as refused:
            await call

    assert refused.value.retry_after_seconds == 60
    assert names(tmp_path) == [request.name]
    assert opened.path(request.upload).read_bytes() == b"x"
    assert await opened.space.is_healthy() is (room >= 0)


async def test_write_after_discard_creates_no_sparse_file(tmp_path):
    opened, request = UploadBuffer(tmp_path), reservation()
    await can_start(opened, request)
    await opened.discard(request.upload)

    with pytest.raises(PartMissing):
        await opened.write(request.upload, 1, b"x")

    assert names(tmp_path) == []
