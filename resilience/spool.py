"""Where the bytes of uploads wait until they are whole: one file an upload, written in place."""

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from uuid import UUID, uuid4

from resilience.disk import disk_errors, on_disk

# What the disk keeps free for everything else that writes to it.
MIN_FREE_BYTES = 256 * 1024 * 1024
FAILED = "spool_failed"
PARTIAL = ".part"
SCRATCH = ".tmp"


class Spool:
    """A private folder, which several servers may share. Raises StorageUnavailable.

    Who writes, writes at a place of the file: two transfers of one upload, an old one that hangs
    and the one that took its place, put the same bytes to the same places.
    """

    def __init__(self, folder: Path, *, min_free_bytes: int = MIN_FREE_BYTES) -> None:
        self._folder = folder
        self._min_free_bytes = min_free_bytes

    def path(self, upload: UUID) -> Path:
        return self._folder / f"{upload.hex}{PARTIAL}"

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A name for a file that is gone afterwards."""
        with disk_errors(FAILED):
            self._make_folder()
        path = self._folder / f"{uuid4().hex}{SCRATCH}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def scratch_folder(self) -> Iterator[Path]:
        """A folder that is gone afterwards, with what is in it."""
        with self.scratch() as path:
            with disk_errors(FAILED):
                path.mkdir(mode=0o700)
            try:
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)

    async def require_room(self) -> None:
        """To be asked before a file is begun."""
        await on_disk(FAILED, self._require_room)

    async def size(self, upload: UUID) -> int:
        """Bytes that are there; 0 when there is no file."""
        return await on_disk(FAILED, _size, self.path(upload))

    async def write(self, upload: UUID, offset: int, chunk: bytes) -> None:
        await on_disk(FAILED, self._write, upload, offset, chunk)

    async def sha256(self, upload: UUID) -> bytes | None:
        """None when there is no file."""
        return await on_disk(FAILED, _sha256, self.path(upload))

    async def discard(self, upload: UUID) -> None:
        await on_disk(FAILED, self.path(upload).unlink, missing_ok=True)

    async def sweep(self, *, older_than_seconds: float) -> int:
        """How many files that nothing has touched for so long were deleted."""
        return await on_disk(FAILED, self._sweep, older_than_seconds)

    def _write(self, upload: UUID, offset: int, chunk: bytes) -> None:
        self._make_folder()
        file = os.open(self.path(upload), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            view = memoryview(chunk)
            while view:
                written = os.pwrite(file, view, offset)
                view, offset = view[written:], offset + written
        finally:
            os.close(file)

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _require_room(self) -> None:
        self._make_folder()
        if shutil.disk_usage(self._folder).free < self._min_free_bytes:
            raise OSError(errno.ENOSPC, "the disk is nearly full")

    def _sweep(self, older_than_seconds: float) -> int:
        before = time.time() - older_than_seconds
        old = [
            path
            for path in self._folder.glob("*")
            if path.suffix in {PARTIAL, SCRATCH} and _modified_at(path) < before
        ]
        for path in old:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return len(old)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sha256(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").digest()
    except FileNotFoundError:
        return None


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
