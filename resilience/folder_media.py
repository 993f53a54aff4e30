"""Documents in a folder: whole under their name, or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from resilience.disk import on_disk
from resilience.media import FileMissing, Folder, checked_name

FAILED = "folder_store_failed"
UNFINISHED = ".new"


class FolderMedia:
    name = "folder"

    def __init__(self, root: Path) -> None:
        self.root = root

    async def save(self, name: str, folder: Folder, source: Path) -> None:
        await on_disk(FAILED, self._save, self._path(name, folder), source)

    async def fetch(self, name: str, folder: Folder, target: Path) -> None:
        await on_disk(FAILED, _copy, self._path(name, folder), target)

    async def move(self, name: str, source: Folder, target: Folder) -> None:
        await on_disk(FAILED, _move, self._path(name, source), self._path(name, target))

    async def delete(self, name: str, folder: Folder) -> None:
        await on_disk(FAILED, self._path(name, folder).unlink, missing_ok=True)

    async def check(self) -> None:
        """Writes a file and deletes it."""
        await on_disk(FAILED, self._check)

    def _path(self, name: str, folder: Folder) -> Path:
        return self.root / folder / checked_name(name)

    def _save(self, path: Path, source: Path) -> None:
        with _unfinished(path) as unfinished:
            with source.open("rb") as content, unfinished.open("xb") as copy:
                unfinished.chmod(0o600)
                shutil.copyfileobj(content, copy)
                copy.flush()
                os.fsync(copy.fileno())
            unfinished.replace(path)
        _sync(path.parent)

    def _check(self) -> None:
        with _unfinished(self.root / Folder.PENDING / "check") as probe:
            probe.write_bytes(b"check")


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """A name beside `path`, gone afterwards unless it has become `path`."""
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f"{uuid4().hex}{UNFINISHED}")
    try:
        yield unfinished
    finally:
        unfinished.unlink(missing_ok=True)


def _copy(path: Path, target: Path) -> None:
    if not path.is_file():
        raise FileMissing
    shutil.copyfile(path, target)


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
