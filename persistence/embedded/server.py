"""An embedded PostgreSQL server in the data folder, shared by all processes that use the folder."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self
from urllib.parse import quote

from persistence.embedded.binaries import Version, find_binaries
from persistence.embedded.cluster import PORT, Cluster, PidFile
from persistence.embedded.errors import EmbeddedPostgresError
from persistence.embedded.os_user import chown_to_parent_owner, open_private, select_os_user
from persistence.embedded.postmaster import POLL_SECONDS, STOP_TIMEOUT_SECONDS, Postmaster

DATABASE = "icct26"
START_LOCK_TIMEOUT_SECONDS = 120


class EmbeddedPostgres:
    """The server of a data folder: started by the first process that uses it, stopped by the last.

    Each process holds a shared file lock while it uses the server. A second, exclusive lock lets
    one process at a time start or stop the server. If all its users are killed, the server keeps
    running, and the next user adopts it.

    `version` is PostgreSQL's; each version has its own data. `binaries_cache` is the folder for a
    copy of the programs, which is made if the server's user cannot read the installed ones.
    """

    def __init__(
        self, data_dir: Path, *, version: Version = "18", binaries_cache: Path | None = None
    ) -> None:
        self._data_dir = data_dir.expanduser().absolute()
        self._home = self._data_dir / f"postgres{version}"
        self._version: Version = version
        self._binaries_cache = binaries_cache
        self._postmaster: Postmaster | None = None
        # Descriptor with the shared lock, while this process uses the server.
        self._holders_lock: int | None = None
        self._is_stopping = Event()
        # Time for a clean shutdown when the last user stops the server.
        self.stop_seconds: float = STOP_TIMEOUT_SECONDS

    def start(self) -> str:
        """Start or adopt the server. Returns the database's URL, for SQLAlchemy.

        Called again it restarts a server that was killed, with the same URL. Raises
        EmbeddedPostgresError.
        """
        self._is_stopping.clear()
        return self._start()

    def ensure_running(self) -> bool:
        """Restart the server if it was killed. Returns whether it was. Blocks.

        Raises EmbeddedPostgresError, also after `stop`.
        """
        if self._is_running():
            return False
        self._start()
        return True

    def _start(self) -> str:
        with _mapping_os_errors(self._data_dir):
            self._make_folders()
            with self._start_lock():
                if self._is_stopping.is_set():
                    raise EmbeddedPostgresError(f"The database in {self._home} was stopped.")
                if self._holders_lock is None:
                    self._lock_and_serve()
                else:
                    self._serve()
        return self.connected_url(DATABASE)

    def stop(self) -> None:
        """Stop using the server; the last user shuts it down.

        Cancels a `start` that is under way in another thread. Raises EmbeddedPostgresError.
        """
        self._is_stopping.set()
        if self._holders_lock is None:
            return
        with _mapping_os_errors(self._data_dir), self._start_lock():
            holders_lock, self._holders_lock = self._holders_lock, None
            if holders_lock is not None:
                self._release(holders_lock)

    @property
    def data_dir(self) -> Path:
        return self._data_dir

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def connected_url(self, database: str) -> str:
        """SQLAlchemy's URL of a database of the server."""
        # The port is part of the socket's file name. Without it PGPORT of the environment counts.
        query = f"host={quote(str(self.socket_dir), safe='/')}&port={PORT}"
        return f"postgresql+asyncpg://postgres@/{quote(database, safe='')}?{query}"

    @property
    def socket_dir(self) -> Path:
        """The socket's folder. It stays the same while this process uses the server."""
        folder = None
        if self._postmaster is not None and self._holders_lock is not None:
            server = self._postmaster.find_server()
            folder = server.socket_dir if server else self._postmaster.cluster.last_socket_folder()
        return folder or self._require_server().socket_dir

    @property
    def postmaster_pid(self) -> int:
        return self._require_server().pid

    def _is_running(self) -> bool:
        return self._postmaster is not None and self._postmaster.find_server() is not None

    def _require_server(self) -> PidFile:
        is_user = self._holders_lock is not None
        server = self._postmaster.find_server() if self._postmaster and is_user else None
        if server is None:
            raise EmbeddedPostgresError(f"The database in {self._home} is not running.")
        return server

    def _lock_and_serve(self) -> None:
        holders_lock = open_private(self._home / "holders.lock", os.O_RDWR)
        try:
            fcntl.flock(holders_lock, fcntl.LOCK_SH)
            self._serve()
        except BaseException:
            self._release(holders_lock)
            raise
        self._holders_lock = holders_lock

    def _serve(self) -> None:
        os_user = select_os_user(self._data_dir, self._home / "cluster")
        cluster = Cluster(
            home=self._home,
            version=self._version,
            os_user=os_user,
            binaries=find_binaries(self._version, os_user, self._binaries_cache),
        )
        self._postmaster = Postmaster(cluster=cluster, is_cancelled=self._is_stopping.is_set)
        self._postmaster.serve(DATABASE)

    def _release(self, holders_lock: int) -> None:
        """Release the shared lock; shut the server down if no other process has it.

        The caller holds the start lock.
        """
        try:
            with suppress(BlockingIOError):
                fcntl.flock(holders_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._postmaster is not None:
                    self._postmaster.stop(self.stop_seconds)
        finally:
            os.close(holders_lock)

    def _make_folders(self) -> None:
        """Create missing folders as private ones. Existing folders keep their modes."""
        for folder in (self._data_dir, self._home):
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700, parents=True)
                chown_to_parent_owner(folder)
            if not folder.is_dir():
                raise EmbeddedPostgresError(f"{folder} is not a folder.")

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        descriptor = open_private(self._home / "start.lock", os.O_RDWR)
        try:
            deadline = time.monotonic() + START_LOCK_TIMEOUT_SECONDS
            while not _try_lock(descriptor):
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresError(
                        f"Another process has been starting the database in {self._home} "
                        f"for {START_LOCK_TIMEOUT_SECONDS} seconds."
                    )
                time.sleep(POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _mapping_os_errors(data_dir: Path) -> Iterator[None]:
    """Raise EmbeddedPostgresError for OSError, with the file's name."""
    try:
        yield
    except OSError as error:
        path = error.filename or data_dir
        raise EmbeddedPostgresError(
            f"The database in {data_dir} cannot be used: {path}: {error.strerror}."
        ) from error
