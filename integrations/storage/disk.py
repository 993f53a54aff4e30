"""Work on files: in a thread, never below the reserve of the disk, refused in our words."""

import asyncio
import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import structlog
from anyio import to_thread

from domain.errors.exceptions import StorageUnavailable

# Free bytes that are left to everything else that writes to the disk.
MIN_FREE_BYTES = 256 * 1024 * 1024
# For a disk to say how it is; a share of the network that hangs never does.
ANSWER_SECONDS = 1.0
# As long as one answer serves all who ask.
ANSWER_KEPT_SECONDS = 5.0

log = structlog.get_logger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


def free_bytes_at(folder: Path) -> int:
    """Free bytes of the disk, as an ordinary user may have them."""
    return shutil.disk_usage(folder).free


class _Reading:
    """One look at a disk, in a thread of its own, which does not keep the process from ending."""

    def __init__(self, name: str, look: Callable[[], bool]) -> None:
        self.begun_at = self._ended_at = time.monotonic()
        self._look = look
        self._answer: Future[bool] = Future()
        # Nobody who gives up waiting takes the answer from the others.
        self._answer.set_running_or_notify_cancel()
        threading.Thread(target=self._run, name=f"look at {name}", daemon=True).start()

    @property
    def is_outdated(self) -> bool:
        """False while it goes on, however long."""
        return self._answer.done() and time.monotonic() - self._ended_at >= ANSWER_KEPT_SECONDS

    async def is_healthy(self) -> bool:
        """False without an answer within ANSWER_SECONDS of the beginning."""
        left = self.begun_at + ANSWER_SECONDS - time.monotonic()
        if not self._answer.done() and left > 0:
            await asyncio.wait([asyncio.wrap_future(self._answer)], timeout=left)
        return self._answer.done() and self._answer.result()

    def _run(self) -> None:
        is_well = self._look()
        self._ended_at = time.monotonic()
        self._answer.set_result(is_well and self._ended_at - self.begun_at <= ANSWER_SECONDS)


class DiskSpace:
    """The room on the disk of a folder, which need not be there yet.

    `name` is for health; `measure` tells the free bytes at a folder.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        min_free_bytes: int = MIN_FREE_BYTES,
        measure: Callable[[Path], int] = free_bytes_at,
    ) -> None:
        self.name = name
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self._measure = measure
        self._reading: _Reading | None = None

    async def is_healthy(self) -> bool:
        """False when the disk is below its reserve, read-only or does not answer in time.

        An answer serves for ANSWER_KEPT_SECONDS. At most one thread waits for the disk.
        """
        if self._reading is None or self._reading.is_outdated:
            self._reading = _Reading(self.name, self._look)
        return await self._reading.is_healthy()

    def _look(self) -> bool:
        try:
            is_read_only = os.statvfs(self._existing()).f_flag & os.ST_RDONLY
            return not is_read_only and self.free_bytes() >= 0
        except OSError:
            return False

    def free_bytes(self) -> int:
        """Bytes that may be written; negative below the reserve. Raises OSError."""
        return self._measure(self._existing()) - self._min_free_bytes

    def require(self, byte_count: int) -> None:
        """Raises OSError when so many bytes would touch the reserve."""
        if self.free_bytes() < byte_count:
            raise OSError(errno.ENOSPC, "the disk is nearly full")

    def _existing(self) -> Path:
        folder = self._folder
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        return folder


async def run_file_io(event: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `call`. Raises StorageUnavailable, logged as `event`."""
    with disk_errors(event):
        return await to_thread.run_sync(partial(call, *args, **kwargs))


@contextmanager
def disk_errors(event: str) -> Iterator[None]:
    """Raises StorageUnavailable for any OSError, logged as `event`."""
    try:
        yield
    except OSError as error:
        log.warning(event, error=type(error).__name__, errno=error.errno)
        raise StorageUnavailable from error


def delete_if_possible(event: str, path: Path) -> None:
    """Delete a file or a folder; what the disk refuses is logged as `event`."""
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        log.warning(event, error=type(error).__name__, errno=error.errno)
