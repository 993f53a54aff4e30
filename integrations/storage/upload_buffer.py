"""Buffer of unfinished uploads: one file for each upload, written at the offset of each chunk."""

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
    PART_SUFFIX,
    Reservation,
    delete_expired,
    part_path,
    reserve,
)

BUFFER_FAILED = "upload_buffer_failed"
SCRATCH_SUFFIX = ".tmp"
COPY_BYTES = 1024 * 1024
MAX_CACHED_PATHS = 1_024


class PartMissing(Exception):
    """The upload's file is gone: another process has stored or refused the upload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A private copy of an upload and its hash."""

    path: Path
    sha256: bytes


class UploadBuffer:
    """A folder of unfinished uploads and temporary files, which several servers may share.

    Chunks are written at their offset, never appended: a hanging transfer and its successor write
    the same bytes at the same offsets. Methods raise StorageUnavailable.
    """

    def __init__(
        self,
        folder: Path,
        *,
        min_free_bytes: int = MIN_FREE_BYTES,
        client_bytes: int | None = None,
        measure: Callable[[Path], int] = free_bytes_at,
    ) -> None:
        """Create a buffer. `client_bytes` limits the unfinished bytes of a client, if not None."""
        self._folder = folder
        self.space = DiskSpace(
            "uploads_disk", folder, min_free_bytes=min_free_bytes, measure=measure
        )
        self._client_bytes = client_bytes
        # Cached, because every chunk needs the path and a look-up lists the whole folder.
        self._paths: dict[UUID, Path] = {}

    def path(self, upload: UUID) -> Path:
        """Return the path of an upload's file, which need not exist."""
        path = self._paths.get(upload)
        if path is None or not path.exists():
            if len(self._paths) >= MAX_CACHED_PATHS:
                self._paths.clear()
            path = self._paths[upload] = part_path(self._folder, upload)
        return path

    @asynccontextmanager
    async def scratch(self) -> AsyncGenerator[Path]:
        """Yield a path for a temporary file or folder, which is deleted on exit."""
        await run_file_io(BUFFER_FAILED, self._make_folder)
        path = self._folder / f"{uuid4().hex}{SCRATCH_SUFFIX}"
        try:
            yield path
        finally:
            # Shielded, because a cancelled request has to delete it too.
            with CancelScope(shield=True):
                await to_thread.run_sync(delete_if_possible, BUFFER_FAILED, path)

    @asynccontextmanager
    async def scratch_folder(self) -> AsyncGenerator[Path]:
        """Yield a temporary folder, which is deleted on exit."""
        async with self.scratch() as path:
            await run_file_io(BUFFER_FAILED, partial(path.mkdir, mode=0o700))
            yield path

    async def require_room(self, byte_count: int = 0) -> None:
        """Raise StorageUnavailable if there is no space for a temporary file."""
        await run_file_io(BUFFER_FAILED, self._require_room, byte_count)

    async def reserve(self, reservation: Reservation, *, now: datetime) -> None:
        """Reserve space for an upload until it is discarded or its ticket expires. Idempotent.

        Raises TooManyUploads if the client's budget is spent; StorageUnavailable.
        """
        await run_file_io(BUFFER_FAILED, self._reserve, reservation, now.timestamp())

    async def size(self, upload: UUID) -> int:
        """Return the number of received bytes, 0 without a file."""
        return await run_file_io(BUFFER_FAILED, self._size, upload)

    async def write(self, upload: UUID, offset: int, chunk: bytes) -> None:
        """Write a chunk into the file that `reserve` has created. Raises PartMissing."""
        await run_file_io(BUFFER_FAILED, self._write, upload, offset, chunk)

    @asynccontextmanager
    async def snapshot(self, upload: UUID) -> AsyncGenerator[Snapshot]:
        """Yield a copy, which is deleted on exit. Raises PartMissing."""
        async with self.scratch() as path:
            digest = await run_file_io(BUFFER_FAILED, self._copy, upload, path)
            yield Snapshot(path=path, sha256=digest)

    async def discard(self, upload: UUID) -> None:
        """Delete the upload's file and with it the reservation."""
        await run_file_io(BUFFER_FAILED, self._discard, upload)

    async def sweep(self, *, older_than_seconds: float) -> int:
        """Delete files not modified for so long; return their number."""
        return await run_file_io(BUFFER_FAILED, self._sweep, older_than_seconds)

    async def sweep_ended(self, *, now: datetime) -> int:
        """Delete uploads with expired tickets; return their number."""
        return await run_file_io(BUFFER_FAILED, self._sweep_ended, now.timestamp())

    def _reserve(self, reservation: Reservation, now: float) -> None:
        self._make_folder()
        reserve(self._folder, reservation, self.space, self._client_bytes, now=now)

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
        """Return the SHA-256 hash of the copy."""
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
        for path in self._folder.glob(f"{upload.hex}*{PART_SUFFIX}"):
            path.unlink(missing_ok=True)

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _require_room(self, byte_count: int) -> None:
        self._make_folder()
        self.space.require(byte_count)

    def _sweep(self, older_than_seconds: float) -> int:
        before = time.time() - older_than_seconds
        paths = [
            path
            for path in self._folder.glob("*")
            if path.suffix in {PART_SUFFIX, SCRATCH_SUFFIX} and _modified_at(path) < before
        ]
        for path in paths:
            delete_if_possible(BUFFER_FAILED, path)
        return len(paths)

    def _sweep_ended(self, now: float) -> int:
        _, deleted = delete_expired(self._folder, now)
        return deleted


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
