"""Disk space reserved for uploads in progress, encoded in the names of their files.

The name of an upload's file holds its id, announced size, expiry of its ticket and client. All
servers that share the folder therefore see the same reservations, also after a restart, and a
reservation ends with its file.
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

PART_SUFFIX = ".part"
# The upload, its snapshot and its sanitized copy.
COPIES = 3
# A client may use one half of the free space, so that others can always start an upload.
CLIENT_SHARE = 2
# Smaller files count as so many bytes, which also bounds the number of files.
MIN_COUNTED_BYTES = 1024 * 1024

_NAME = re.compile(r"([0-9a-f]{32})-([0-9]{1,10})-([0-9]{1,12})-([0-9a-f]{16})\.part")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """An upload in progress. `expires_at` is Unix time; `client` is 16 hexadecimal digits."""

    upload: UUID
    byte_size: int
    expires_at: int
    client: str

    @property
    def name(self) -> str:
        return f"{self.upload.hex}-{self.byte_size}-{self.expires_at}-{self.client}{PART_SUFFIX}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedFile:
    """A reservation, its file and the file's current size."""

    reservation: Reservation
    path: Path
    byte_count: int

    @property
    def outstanding(self) -> int:
        """Bytes still to be written, copies included."""
        return max(0, COPIES * self.reservation.byte_size - self.byte_count)


def part_path(folder: Path, upload: UUID) -> Path:
    """Return the path of an upload's file; a path without a reservation if there is none."""
    paths = sorted(folder.glob(f"{upload.hex}*{PART_SUFFIX}"))
    return paths[0] if paths else folder / f"{upload.hex}{PART_SUFFIX}"


def reserve(
    folder: Path,
    reservation: Reservation,
    space: DiskSpace,
    client_bytes: int | None,
    *,
    now: float,
) -> None:
    """Create the upload's file if there is space for all uploads in progress.

    Reservations are made one at a time, also between processes, so that an upload has one file.
    Files with expired tickets are deleted. `client_bytes` is the budget of one client for
    announced, unfinished bytes; None means no limit.

    Raises TooManyUploads, OSError.
    """
    with _locked(folder):
        path = part_path(folder, reservation.upload)
        is_new = not path.exists()
        if is_new:
            path = folder / reservation.name
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        try:
            active, _ = delete_expired(folder, now)
            _require_room(active, reservation.client, space, client_bytes)
        except BaseException:
            if is_new:
                path.unlink(missing_ok=True)
            raise


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder against other threads and processes. The lock ends with the process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def reserved_files(folder: Path) -> Iterator[ReservedFile]:
    """Yield every reservation of the folder."""
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
                yield ReservedFile(
                    reservation=reservation, path=Path(file.path), byte_count=byte_count
                )
    except FileNotFoundError:
        return


def delete_expired(folder: Path, now: float) -> tuple[list[ReservedFile], int]:
    """Delete files with expired tickets. Return the others, and the number of deleted files."""
    files = list(reserved_files(folder))
    active = [file for file in files if file.reservation.expires_at > now]
    for file in files:
        if file not in active:
            file.path.unlink(missing_ok=True)
    return active, len(files) - len(active)


def _require_room(
    active: list[ReservedFile], client: str, space: DiskSpace, client_bytes: int | None
) -> None:
    """Raises TooManyUploads, OSError."""
    own = [file for file in active if file.reservation.client == client]
    announced = sum(max(file.reservation.byte_size, MIN_COUNTED_BYTES) for file in own)
    if client_bytes is not None and announced > client_bytes:
        raise TooManyUploads
    free = space.free_bytes()
    outstanding = sum(file.outstanding for file in active)
    own_limit = (free + sum(file.byte_count for file in own)) // CLIENT_SHARE
    own_total = sum(COPIES * file.reservation.byte_size for file in own)
    if outstanding > free or own_total > own_limit:
        raise OSError(errno.ENOSPC, "the disk has no room for another upload")
