"""Room set aside for uploads under way, by the names of their files.

The file of an upload is called by its id, announced size, end of its ticket and client. So all
servers that share the folder see the same reservations, also after a restart, and a reservation
ends with its file.
"""

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from domain.errors.exceptions import TooManyUploads
from integrations.storage.disk import DiskSpace

PARTIAL = ".part"
# The bytes as they come, and two copies while they are checked and stored.
COPIES = 3
# So much of the free room is for uploads of one client: others can always begin one.
CLIENT_SHARE = 2
# A small file counts as so many bytes, which bounds the number of files too.
LEAST_BYTES = 1024 * 1024

_NAME = re.compile(r"([0-9a-f]{32})-([0-9]{1,10})-([0-9]{1,12})-([0-9a-f]{16})\.part")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """An upload under way. `expires_at` is in seconds since 1970; `client` is 16 hex digits."""

    upload: UUID
    byte_size: int
    expires_at: int
    client: str

    @property
    def name(self) -> str:
        return f"{self.upload.hex}-{self.byte_size}-{self.expires_at}-{self.client}{PARTIAL}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most bytes that one client may have announced and not finished; None: any number."""

    client_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A reservation, its file and the bytes that are in it."""

    reservation: Reservation
    path: Path
    byte_count: int

    @property
    def outstanding(self) -> int:
        """Bytes that are still to be written for it."""
        return max(0, COPIES * self.reservation.byte_size - self.byte_count)


def part_of(folder: Path, upload: UUID) -> Path:
    """The file of an upload; one without a reservation when there is none."""
    names = sorted(folder.glob(f"{upload.hex}*{PARTIAL}"))
    return names[0] if names else folder / f"{upload.hex}{PARTIAL}"


def reserve(
    folder: Path, wanted: Reservation, space: DiskSpace, budget: Budget, *, now: float
) -> None:
    """Begin the file of an upload where there is room for all that are under way.

    One at a time: an upload has one file, whatever several clients or processes reserve for it at
    the same moment. Files whose tickets have ended are deleted. Raises TooManyUploads, OSError.
    """
    with _locked(folder):
        begun = part_of(folder, wanted.upload)
        is_new = not begun.exists()
        if is_new:
            begun = folder / wanted.name
            os.close(os.open(begun, os.O_WRONLY | os.O_CREAT, 0o600))
        try:
            _check(_under_way(folder, now), wanted.client, space, budget)
        except BaseException:
            if is_new:
                begun.unlink(missing_ok=True)
            raise


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep all others out, in other processes too. The lock ends with the process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def entries(folder: Path) -> Iterator[Entry]:
    """Every reservation of the folder."""
    try:
        with os.scandir(folder) as files:
            for file in files:
                match = _NAME.fullmatch(file.name)
                if match is None:
                    continue
                try:
                    byte_count = file.stat(follow_symlinks=False).st_size
                except FileNotFoundError:
                    continue
                reservation = Reservation(
                    upload=UUID(match[1]),
                    byte_size=int(match[2]),
                    expires_at=int(match[3]),
                    client=match[4],
                )
                yield Entry(reservation=reservation, path=Path(file.path), byte_count=byte_count)
    except FileNotFoundError:
        return


def _under_way(folder: Path, now: float) -> list[Entry]:
    going_on = []
    for entry in entries(folder):
        if entry.reservation.expires_at <= now:
            entry.path.unlink(missing_ok=True)
        else:
            going_on.append(entry)
    return going_on


def _check(going_on: list[Entry], client: str, space: DiskSpace, budget: Budget) -> None:
    """Raises TooManyUploads, OSError."""
    own = [entry for entry in going_on if entry.reservation.client == client]
    announced = sum(max(entry.reservation.byte_size, LEAST_BYTES) for entry in own)
    if budget.client_bytes is not None and announced > budget.client_bytes:
        raise TooManyUploads
    free = space.free_bytes()
    outstanding = sum(entry.outstanding for entry in going_on)
    share = (free + sum(entry.byte_count for entry in own)) // CLIENT_SHARE
    if outstanding > free or sum(COPIES * one.reservation.byte_size for one in own) > share:
        raise OSError(errno.ENOSPC, "the disk has no room for another upload")
