"""File I/O in threads, free-space checks and probes of disks, OSError as StorageUnavailable."""

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

# Free bytes reserved for other users of the disk.
MIN_FREE_BYTES = 256 * 1024 * 1024
# A hanging network share never answers.
PROBE_TIMEOUT_SECONDS = 1.0
PROBE_TTL_SECONDS = 5.0

log = structlog.get_logger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


def free_bytes_at(folder: Path) -> int:
    """Return the free bytes of the disk for unprivileged users."""
    return shutil.disk_usage(folder).free


class _Probe:
    """One check of a disk in a daemon thread, so that a hanging disk does not prevent exit."""

    def __init__(self, name: str, check: Callable[[], bool]) -> None:
        self._started_at = self._ended_at = time.monotonic()
        self._check = check
        self._result: Future[bool] = Future()
        # Makes the future uncancellable: a waiter that is cancelled must not cancel the others.
        self._result.set_running_or_notify_cancel()
        threading.Thread(target=self._run, name=f"probe {name}", daemon=True).start()

    @property
    def is_outdated(self) -> bool:
        """False for a running probe of any age."""
        return self._result.done() and time.monotonic() - self._ended_at >= PROBE_TTL_SECONDS

    async def is_healthy(self) -> bool:
        """Return False without a result within PROBE_TIMEOUT_SECONDS of the start."""
        remaining = self._started_at + PROBE_TIMEOUT_SECONDS - time.monotonic()
        if not self._result.done() and remaining > 0:
            await asyncio.wait([asyncio.wrap_future(self._result)], timeout=remaining)
        return self._result.done() and self._result.result()

    def _run(self) -> None:
        is_healthy = self._check()
        self._ended_at = time.monotonic()
        is_in_time = self._ended_at - self._started_at <= PROBE_TIMEOUT_SECONDS
        self._result.set_result(is_healthy and is_in_time)


class DiskSpace:
    """Free space and health of the disk of a folder, which need not exist yet.

    `name` is the component's name in health reports. `measure` returns the free bytes at a folder.
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
        self._probe: _Probe | None = None

    def start_probe(self) -> None:
        """Look at the disk unless the last result is recent. At most one thread waits for it."""
        self._current_probe()

    async def is_healthy(self) -> bool:
        """Return False if the disk is below its reserve, read-only or does not answer in time.

        Results are cached for PROBE_TTL_SECONDS.
        """
        return await self._current_probe().is_healthy()

    def _current_probe(self) -> _Probe:
        if self._probe is None or self._probe.is_outdated:
            self._probe = _Probe(self.name, self._check)
        return self._probe

    def _check(self) -> bool:
        try:
            is_read_only = os.statvfs(self._existing_folder()).f_flag & os.ST_RDONLY
            return not is_read_only and self.free_bytes() >= 0
        except OSError:
            return False

    def free_bytes(self) -> int:
        """Return the writable bytes, negative below the reserve. Raises OSError."""
        return self._measure(self._existing_folder()) - self._min_free_bytes

    def require(self, byte_count: int) -> None:
        """Raises OSError if writing so many bytes would use up the reserve."""
        if self.free_bytes() < byte_count:
            raise OSError(errno.ENOSPC, "the disk is nearly full")

    def _existing_folder(self) -> Path:
        folder = self._folder
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        return folder


async def run_file_io(event: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `call` in a thread. Raises StorageUnavailable for OSError, logged as `event`."""
    with disk_errors(event):
        return await to_thread.run_sync(partial(call, *args, **kwargs))


@contextmanager
def disk_errors(event: str) -> Iterator[None]:
    """Raise StorageUnavailable for any OSError, logged as `event`."""
    try:
        yield
    except OSError as error:
        log.warning(event, error=type(error).__name__, errno=error.errno)
        raise StorageUnavailable from error


def delete_if_possible(event: str, path: Path) -> None:
    """Delete a file or folder; log an OSError as `event`."""
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        log.warning(event, error=type(error).__name__, errno=error.errno)
