"""Document store in a local folder. A file appears under its name only when it is complete."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from integrations.storage.base import (
    FileMissing,
    Folder,
    StoredFile,
    is_valid_name,
    require_valid_name,
)
from integrations.storage.disk import MIN_FREE_BYTES, DiskSpace, run_file_io

STORE_FAILED = "folder_store_failed"
PARTIAL_SUFFIX = ".new"


class FolderStore:
    name = "folder"
    late_effect_seconds = 0.0

    def __init__(self, root: Path, *, min_free_bytes: int = MIN_FREE_BYTES) -> None:
        self.root = root
        self.space = DiskSpace("documents_disk", root, min_free_bytes=min_free_bytes)

    async def save(self, name: str, folder: Folder, source: Path) -> None:
        await run_file_io(STORE_FAILED, self._save, self._path(name, folder), source)

    async def fetch(self, name: str, folder: Folder, target: Path) -> None:
        await run_file_io(STORE_FAILED, _copy, self._path(name, folder), target)

    async def move(self, name: str, source: Folder, target: Folder) -> None:
        await run_file_io(STORE_FAILED, _move, self._path(name, source), self._path(name, target))

    async def holds(self, name: str, folder: Folder) -> bool:
        return await run_file_io(STORE_FAILED, self._path(name, folder).is_file)

    async def delete(self, name: str, folder: Folder) -> bool:
        return await run_file_io(STORE_FAILED, _delete, self._path(name, folder))

    async def files(self) -> list[StoredFile]:
        return await run_file_io(STORE_FAILED, self._files)

    async def sweep(self, *, older_than_seconds: float) -> int:
        return await run_file_io(STORE_FAILED, self._sweep, older_than_seconds)

    async def check(self) -> None:
        """Write a file and delete it."""
        await run_file_io(STORE_FAILED, self._check)

    def _path(self, name: str, folder: Folder) -> Path:
        return self.root / folder / require_valid_name(name)

    def _save(self, path: Path, source: Path) -> None:
        self.space.require(source.stat().st_size)
        with _partial_file(path) as partial_path:
            with source.open("rb") as content, partial_path.open("xb") as copy:
                partial_path.chmod(0o600)
                shutil.copyfileobj(content, copy)
                copy.flush()
                os.fsync(copy.fileno())
            partial_path.replace(path)
        _fsync_folder(path.parent)

    def _files(self) -> list[StoredFile]:
        return [
            StoredFile(name=entry.name, folder=folder, age_seconds=age)
            for folder in Folder
            for entry, age in _entries(self.root / folder)
            if is_valid_name(entry.name)
        ]

    def _sweep(self, older_than_seconds: float) -> int:
        paths = [
            Path(entry.path)
            for folder in Folder
            for entry, age in _entries(self.root / folder)
            if entry.name.endswith(PARTIAL_SUFFIX) and age > older_than_seconds
        ]
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)

    def _check(self) -> None:
        with _partial_file(self.root / Folder.PENDING / "check") as probe:
            probe.write_bytes(b"check")


@contextmanager
def _partial_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; delete it on exit unless it was renamed."""
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial_path = path.with_name(f"{path.name}.{uuid4().hex}{PARTIAL_SUFFIX}")
    try:
        yield partial_path
    finally:
        partial_path.unlink(missing_ok=True)


def _copy(path: Path, target: Path) -> None:
    try:
        content = path.open("rb")
    except FileNotFoundError:
        raise FileMissing from None
    with content, target.open("wb") as copy:
        shutil.copyfileobj(content, copy)


def _delete(path: Path) -> bool:
    for partial_path in path.parent.glob(f"{path.name}.*{PARTIAL_SUFFIX}"):
        partial_path.unlink(missing_ok=True)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    _fsync_folder(path.parent)
    return True


def _entries(folder: Path) -> Iterator[tuple[os.DirEntry[str], float]]:
    """Yield the files of a folder with their ages in seconds; none if the folder is missing."""
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
    _fsync_folder(target.parent)
    _fsync_folder(source.parent)


def _fsync_folder(folder: Path) -> None:
    """Make changes of names in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
