"""Interface of document stores, and operations over all folders of a store."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from domain.errors.exceptions import StorageUnavailable

MAX_DELETION_PASSES = 5

_NAME = re.compile(r"[0-9a-f]{16,64}")


class Folder(StrEnum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"


class FileMissing(Exception):
    """The store does not hold the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file in a store's listing. `age_seconds` counts from when it was saved."""

    name: str
    folder: Folder
    age_seconds: float


class DocumentStore(Protocol):
    """A store of files with random hexadecimal names.

    All methods are safe to repeat and raise StorageUnavailable. `name` is stored with every
    document. A call that was cancelled or has timed out may still take effect for
    `late_effect_seconds`.
    """

    name: str
    late_effect_seconds: float

    async def save(self, name: str, folder: Folder, source: Path) -> None:
        """Store a copy of `source`, replacing a file of the same name."""

    async def fetch(self, name: str, folder: Folder, target: Path) -> None:
        """Write a copy to `target`. Raises FileMissing."""

    async def holds(self, name: str, folder: Folder) -> bool:
        """Return whether the file is in this folder."""

    async def move(self, name: str, source: Folder, target: Folder) -> None:
        """Move a file; do nothing if it is at the target. Raises FileMissing if in neither."""

    async def delete(self, name: str, folder: Folder) -> bool:
        """Delete a file and its unfinished copies. Return whether the file existed."""

    async def files(self) -> Sequence[StoredFile]:
        """List all files with valid names. A file that is being moved may appear twice or never."""

    async def sweep(self, *, older_than_seconds: float) -> int:
        """Delete unfinished copies left by killed processes; return their number."""

    async def check(self) -> None:
        """Return if the store works."""


def is_valid_name(name: str) -> bool:
    return bool(_NAME.fullmatch(name))


def require_valid_name(name: str) -> str:
    """Return the name. Raises ValueError for any other text, such as a path."""
    if not is_valid_name(name):
        raise ValueError("not the name of a stored file")
    return name


async def delete_everywhere(store: DocumentStore, name: str) -> bool:
    """Delete the file from all folders until a pass finds none. Return whether it existed.

    Raises StorageUnavailable, also if the file reappears in every pass.
    """
    for attempt in range(MAX_DELETION_PASSES):
        # A list, because any() with a generator would stop at the first folder.
        deleted = [await store.delete(name, folder) for folder in Folder]
        if not any(deleted):
            return attempt > 0
    raise StorageUnavailable


async def find_folder(store: DocumentStore, name: str, likely: Folder) -> Folder | None:
    """Return the folder that holds the file. Search twice, in case the file is being moved."""
    for folder in _search_order(likely):
        if await store.holds(name, folder):
            return folder
    return None


async def fetch_from_any_folder(
    store: DocumentStore, name: str, likely: Folder, target: Path
) -> Folder:
    """Write a copy to `target`. Return the folder that held the file. Raises FileMissing.

    It does not ask first where the file is: that would be a second call for every file.
    """
    for folder in _search_order(likely):
        with suppress(FileMissing):
            await store.fetch(name, folder, target)
            return folder
    raise FileMissing


def _search_order(likely: Folder) -> Sequence[Folder]:
    """All folders, twice: a file that is being moved can be missed once."""
    return (likely, *(folder for folder in Folder if folder != likely)) * 2
