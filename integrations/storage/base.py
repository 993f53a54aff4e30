"""Where documents are kept, whoever keeps them."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from domain.errors.exceptions import StorageUnavailable

DELETION_PASSES = 5

_NAME = re.compile(r"[0-9a-f]{16,64}")


class Folder(StrEnum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"


class FileMissing(Exception):
    """The store does not hold the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file that a store lists. `age_seconds` counts from when it was saved."""

    name: str
    folder: Folder
    age_seconds: float


class DocumentStore(Protocol):
    """Files by random hexadecimal names. Everything may be repeated and raises StorageUnavailable.

    `name` is kept with every document. A call that was given up may still take effect for
    `late_seconds`.
    """

    name: str
    late_seconds: float

    async def save(self, name: str, folder: Folder, source: Path) -> None:
        """Keep a copy of `source`; another copy of the same file takes its place."""

    async def fetch(self, name: str, folder: Folder, target: Path) -> None:
        """Write a copy to `target`. Raises FileMissing."""

    async def holds(self, name: str, folder: Folder) -> bool:
        """Whether the file is in this folder."""

    async def move(self, name: str, source: Folder, target: Folder) -> None:
        """A file that is at the target already stays. Raises FileMissing if it is in neither."""

    async def delete(self, name: str, folder: Folder) -> bool:
        """True when it was there. What was left of saving it goes too."""

    async def files(self) -> Sequence[StoredFile]:
        """All files with names of ours. One that moves meanwhile may be listed twice, or not."""

    async def sweep(self, *, older_than_seconds: float) -> int:
        """Delete what was left of saving by processes that were killed; the number of files."""

    async def check(self) -> None:
        """Returns when the store works."""


def is_name(name: str) -> bool:
    """Whether a stored file may be called so."""
    return bool(_NAME.fullmatch(name))


def checked_name(name: str) -> str:
    """Raises ValueError for what was not made by us, such as a path."""
    if not is_name(name):
        raise ValueError("not the name of a stored file")
    return name


async def delete_everywhere(media: DocumentStore, name: str) -> bool:
    """Delete the file in every folder until a look at all of them finds it in none.

    True when there was one. Raises StorageUnavailable, also when it comes back every time.
    """
    for attempt in range(DELETION_PASSES):
        # No comprehension in any(): every folder is asked.
        were_there = [await media.delete(name, folder) for folder in Folder]
        if not any(were_there):
            return attempt > 0
    raise StorageUnavailable


async def find_folder(media: DocumentStore, name: str, likely: Folder) -> Folder | None:
    """The folder that holds the file, looked for twice in case it moves meanwhile."""
    for folder in _search_order(likely):
        if await media.holds(name, folder):
            return folder
    return None


async def fetch_from_any_folder(
    media: DocumentStore, name: str, likely: Folder, target: Path
) -> Folder:
    """Write a copy to `target`; the folder that held the file. Raises FileMissing.

    One call where the file is in the likely folder: to ask for it first would be another one.
    """
    for folder in _search_order(likely):
        with suppress(FileMissing):
            await media.fetch(name, folder, target)
            return folder
    raise FileMissing


def _search_order(likely: Folder) -> Sequence[Folder]:
    """All folders, twice: a file that is being moved can be missed once."""
    return (likely, *(folder for folder in Folder if folder != likely)) * 2
