"""Where the bytes of uploads wait until they are whole: one file an upload, written in place."""

import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

from anyio import CancelScope, to_thread

from integrations.storage.disk import (
    MIN_FREE_BYTES,
    DiskSpace,
    delete_if_possible,
    free_bytes_at,
    run_file_io,
)
from integrations.storage.reservations import (
    PARTIAL,
    Budget,
    Reservation,
    entries,
    part_of,
    reserve,
)

FAILED = "spool_failed"
SCRATCH = ".tmp"
COPY_BYTES = 1024 * 1024
PATHS_KEPT = 1_024


class PartMissing(Exception):
    """The bytes that were there are gone: another process has finished the upload or refused it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A copy of an upload that nobody else writes to, and its hash."""

    path: Path
    sha256: bytes


class UploadBuffer:
    """A private folder, which several servers may share. Raises StorageUnavailable.

    Who writes, writes at a place of the file: two transfers of one upload, an old one that hangs
    and the one that took its place, put the same bytes to the same places.
    """

    def __init__(
        self,
        folder: Path,
        *,
        min_free_bytes: int = MIN_FREE_BYTES,
        client_bytes: int | None = None,
        measure: Callable[[Path], int] = free_bytes_at,
    ) -> None:
        """`client_bytes` is the budget of one client for uploads under way; None is none."""
        self._folder = folder
        self.space = DiskSpace(
            "uploads_disk", folder, min_free_bytes=min_free_bytes, measure=measure
        )
        self._budget = Budget(client_bytes=client_bytes)
        # Every chunk asks, and looking a file up reads the names of all.
        self._paths: dict[UUID, Path] = {}

    def path(self, upload: UUID) -> Path:
        """The file of an upload, whether it is there or not."""
        path = self._paths.get(upload)
        if path is None or not path.exists():
            if len(self._paths) >= PATHS_KEPT:
                self._paths.clear()
            path = self._paths[upload] = part_of(self._folder, upload)
        return path

    @asynccontextmanager
    async def scratch(self) -> AsyncGenerator[Path]:
        """A name for a file that is gone afterwards."""
        await run_file_io(FAILED, self._make_folder)
        path = self._folder / f"{uuid4().hex}{SCRATCH}"
        try:
            yield path
        finally:
            # Also for a request that was given up, whose further waiting would be refused.
            with CancelScope(shield=True):
                await to_thread.run_sync(delete_if_possible, FAILED, path)

    @asynccontextmanager
    async def scratch_folder(self) -> AsyncGenerator[Path]:
        """A folder that is gone afterwards, with what is in it."""
        async with self.scratch() as path:
            await run_file_io(FAILED, partial(path.mkdir, mode=0o700))
            yield path

    async def require_room(self, byte_count: int = 0) -> None:
        """To be asked before a file is begun that is no upload."""
        await run_file_io(FAILED, self._require_room, byte_count)

    async def reserve(self, wanted: Reservation, *, now: datetime) -> None:
        """Set room aside for an upload until it is discarded or its ticket ends. May be repeated.

        Raises TooManyUploads when the client's budget is spent, StorageUnavailable.
        """
        await run_file_io(FAILED, self._reserve, wanted, now.timestamp())

    async def size(self, upload: UUID) -> int:
        """Bytes that are there; 0 when there is no file."""
        return await run_file_io(FAILED, self._size, upload)

    async def write(self, upload: UUID, offset: int, chunk: bytes) -> None:
        """Write into the file, which `reserve` has begun. Raises PartMissing."""
        await run_file_io(FAILED, self._write, upload, offset, chunk)

    @asynccontextmanager
    async def snapshot(self, upload: UUID) -> AsyncGenerator[Snapshot]:
        """A copy as it is now, which is gone afterwards; the upload stays. Raises PartMissing."""
        async with self.scratch() as path:
            digest = await run_file_io(FAILED, self._copy, upload, path)
            yield Snapshot(path=path, sha256=digest)

    async def discard(self, upload: UUID) -> None:
        """Delete the bytes and give up the room."""
        await run_file_io(FAILED, self._discard, upload)

    async def sweep(self, *, older_than_seconds: float) -> int:
        """The number of deleted files that nothing had touched for so long."""
        return await run_file_io(FAILED, self._sweep, older_than_seconds)

    async def sweep_ended(self, *, now: datetime) -> int:
        """The number of deleted uploads whose tickets have ended."""
        return await run_file_io(FAILED, self._sweep_ended, now.timestamp())

    def _reserve(self, wanted: Reservation, now: float) -> None:
        self._make_folder()
        reserve(self._folder, wanted, self.space, self._budget, now=now)

    def _size(self, upload: UUID) -> int:
        try:
            return self.path(upload).stat().st_size
        except FileNotFoundError:
            return 0

    def _write(self, upload: UUID, offset: int, chunk: bytes) -> None:
        self._make_folder()
        self.space.require(len(chunk))
        try:
            file = os.open(self.path(upload), os.O_WRONLY)
        except FileNotFoundError:
            raise PartMissing from None
        try:
            view = memoryview(chunk)
            while view:
                written = os.pwrite(file, view, offset)
                view, offset = view[written:], offset + written
        finally:
            os.close(file)

    def _copy(self, upload: UUID, target: Path) -> bytes:
        """The hash of what was copied."""
        digest = sha256()
        try:
            source = self.path(upload).open("rb")
        except FileNotFoundError:
            raise PartMissing from None
        with source, target.open("xb") as copy:
            target.chmod(0o600)
            while chunk := source.read(COPY_BYTES):
                self.space.require(len(chunk))
                digest.update(chunk)
                copy.write(chunk)
        return digest.digest()

    def _discard(self, upload: UUID) -> None:
        self._paths.pop(upload, None)
        for path in self._folder.glob(f"{upload.hex}*{PARTIAL}"):
            path.unlink(missing_ok=True)

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _require_room(self, byte_count: int) -> None:
        self._make_folder()
        self.space.require(byte_count)

    def _sweep(self, older_than_seconds: float) -> int:
        before = time.time() - older_than_seconds
        old = [
            path
            for path in self._folder.glob("*")
            if path.suffix in {PARTIAL, SCRATCH} and _modified_at(path) < before
        ]
        for path in old:
            delete_if_possible(FAILED, path)
        return len(old)

    def _sweep_ended(self, now: float) -> int:
        ended = [entry for entry in entries(self._folder) if entry.reservation.expires_at <= now]
        for entry in ended:
            entry.path.unlink(missing_ok=True)
        return len(ended)


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
