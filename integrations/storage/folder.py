"""Documents in a folder: whole under their name, or not at all."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from integrations.storage.base import FileMissing, Folder, StoredFile, checked_name, is_name
from integrations.storage.disk import MIN_FREE_BYTES, DiskSpace, run_file_io

FAILED = "folder_store_failed"
UNFINISHED = ".new"


class FolderStore:
    name = "folder"
    late_seconds = 0.0

    def __init__(self, root: Path, *, min_free_bytes: int = MIN_FREE_BYTES) -> None:
        self.root = root
        self.space = DiskSpace("documents_disk", root, min_free_bytes=min_free_bytes)

    async def save(self, name: str, folder: Folder, source: Path) -> None:
        await run_file_io(FAILED, self._save, self._path(name, folder), source)

    async def fetch(self, name: str, folder: Folder, target: Path) -> None:
        await run_file_io(FAILED, _copy, self._path(name, folder), target)

    async def move(self, name: str, source: Folder, target: Folder) -> None:
        await run_file_io(FAILED, _move, self._path(name, source), self._path(name, target))

    async def holds(self, name: str, folder: Folder) -> bool:
        return await run_file_io(FAILED, self._path(name, folder).is_file)

    async def delete(self, name: str, folder: Folder) -> bool:
        return await run_file_io(FAILED, _delete, self._path(name, folder))

    async def files(self) -> list[StoredFile]:
        return await run_file_io(FAILED, self._files)

    async def sweep(self, *, older_than_seconds: float) -> int:
        return await run_file_io(FAILED, self._sweep, older_than_seconds)

    async def check(self) -> None:
        """Writes a file and deletes it."""
        await run_file_io(FAILED, self._check)

    def _path(self, name: str, folder: Folder) -> Path:
        return self.root / folder / checked_name(name)

    def _save(self, path: Path, source: Path) -> None:
        self.space.require(source.stat().st_size)
        with _unfinished(path) as unfinished:
            with source.open("rb") as content, unfinished.open("xb") as copy:
                unfinished.chmod(0o600)
                shutil.copyfileobj(content, copy)
                copy.flush()
                os.fsync(copy.fileno())
            unfinished.replace(path)
        _sync(path.parent)

    def _files(self) -> list[StoredFile]:
        return [
            StoredFile(name=entry.name, folder=folder, age_seconds=age)
            for folder in Folder
            for entry, age in _entries(self.root / folder)
            if is_name(entry.name)
        ]

    def _sweep(self, older_than_seconds: float) -> int:
        left = [
            Path(entry.path)
            for folder in Folder
            for entry, age in _entries(self.root / folder)
            if entry.name.endswith(UNFINISHED) and age > older_than_seconds
        ]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def _check(self) -> None:
        with _unfinished(self.root / Folder.PENDING / "check") as probe:
            probe.write_bytes(b"check")


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """A name beside `path`, gone afterwards unless it has become `path`."""
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{uuid4().hex}{UNFINISHED}")
    try:
        yield unfinished
    finally:
        unfinished.unlink(missing_ok=True)


def _copy(path: Path, target: Path) -> None:
    try:
        content = path.open("rb")
    except FileNotFoundError:
        raise FileMissing from None
    with content, target.open("wb") as copy:
        shutil.copyfileobj(content, copy)


def _delete(path: Path) -> bool:
    for unfinished in path.parent.glob(f"{path.name}.*{UNFINISHED}"):
        unfinished.unlink(missing_ok=True)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    _sync(path.parent)
    return True


def _entries(folder: Path) -> Iterator[tuple[os.DirEntry[str], float]]:
    """Files of a folder and their ages in seconds; none without the folder."""
    now = time.time()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_file(follow_symlinks=False):
                        yield entry, now - entry.stat(follow_symlinks=False).st_mtime
                except FileNotFoundError:
                    continue
    except FileNotFoundError:
        return


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        source.replace(target)
    except FileNotFoundError:
        if not target.exists():
            raise FileMissing from None
        return
    _sync(target.parent)
    _sync(source.parent)


def _sync(folder: Path) -> None:
    """A name is on the disk only when its folder is."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
