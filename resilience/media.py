"""Where documents are kept, whoever keeps them."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Protocol

_NAME = re.compile(r"[0-9a-f]{16,64}")


class Folder(StrEnum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"


class FileMissing(Exception):
    """The store does not hold the file."""


class Media(Protocol):
    """Files by random hexadecimal names. Everything may be repeated and raises StorageUnavailable.

    `name` is kept with every document.
    """

    name: str

    async def save(self, name: str, folder: Folder, source: Path) -> None:
        """Keep a copy of `source`; another copy of the same file takes its place."""

    async def fetch(self, name: str, folder: Folder, target: Path) -> None:
        """Write a copy to `target`. Raises FileMissing."""

    async def move(self, name: str, source: Folder, target: Folder) -> None:
        """A file that is at the target already stays. Raises FileMissing if it is in neither."""

    async def delete(self, name: str, folder: Folder) -> None:
        """Nothing happens when it is not there."""

    async def check(self) -> None:
        """Returns when the store works."""


def checked_name(name: str) -> str:
    """Raises ValueError for what was not made by us, such as a path."""
    if not _NAME.fullmatch(name):
        raise ValueError("not the name of a stored file")
    return name
