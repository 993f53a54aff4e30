"""A PostgreSQL of our own in the data folder, shared by all processes that use the folder."""

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
from persistence.embedded.os_user import (
    EmbeddedPostgresError,
    chown_to_parent_owner,
    open_private,
    select_os_user,
)
from persistence.embedded.postmaster import STOP_SECONDS, Postmaster

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]

DATABASE = "icct26"
START_LOCK_SECONDS = 120


class EmbeddedPostgres:
    """The server of one data folder: started by the first process, stopped by the last.

    Every process holds a shared lock while it uses the server; a second lock lets one at a time
    start or stop it. A server whose processes were all killed goes on, and the next one adopts it.
    `version` is of the programs, which read only data of their own version. `binaries_cache` is
    where a copy of the programs goes if the user that must run them cannot read the installed.
    """

    def __init__(
        self, data_dir: Path, *, version: Version = "18", binaries_cache: Path | None = None
    ) -> None:
        self._data_dir = data_dir.expanduser().absolute()
        self._home = self._data_dir / f"postgres{version}"
        self._version: Version = version
        self._binaries_cache = binaries_cache
        self._postmaster: Postmaster | None = None
        self._holding: int | None = None
        self._leaving = Event()
        # For a server to end in order when its last user leaves.
        self.stop_seconds: float = STOP_SECONDS

    def start(self) -> str:
        """The address of the database, for SQLAlchemy. Raises EmbeddedPostgresError.

        Called again it revives a server that was killed, at the address that it had.
        """
        self._leaving.clear()
        return self._start()

    def ensure_running(self) -> bool:
        """Start the server again if it was killed; whether that was so. Blocks.

        Raises EmbeddedPostgresError, also after `stop`.
        """
        if self._is_running():
            return False
        self._start()
        return True

    def _start(self) -> str:
        with _named_failures(self._data_dir):
            self._make_folders()
            with self._start_lock():
                if self._leaving.is_set():
                    raise EmbeddedPostgresError(f"The database in {self._home} was left.")
                if self._holding is None:
                    self._hold_and_serve()
                else:
                    self._serve()
        return self.connected_url(DATABASE)

    def stop(self) -> None:
        """Leaves the server; the last process ends it, after which the data is at rest.

        A start that goes on in another thread is given up.
        """
        self._leaving.set()
        if self._holding is None:
            return
        with _named_failures(self._data_dir), self._start_lock():
            holding, self._holding = self._holding, None
            if holding is not None:
                self._leave(holding)

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
        """SQLAlchemy's address of any database of the server."""
        # The port names the socket's file; left out, PGPORT of the environment would.
        place = f"host={quote(str(self.socket_dir), safe='/')}&port={PORT}"
        return f"postgresql+asyncpg://postgres@/{quote(database, safe='')}?{place}"

    @property
    def socket_dir(self) -> Path:
        """The same while this process holds the server, also while no server runs."""
        folder = None
        if self._postmaster is not None and self._holding is not None:
            server = self._postmaster.server()
            folder = server.socket_dir if server else self._postmaster.cluster.last_socket_folder()
        return folder or self._running().socket_dir

    @property
    def postmaster_pid(self) -> int:
        return self._running().pid

    def _is_running(self) -> bool:
        return self._postmaster is not None and self._postmaster.server() is not None

    def _running(self) -> PidFile:
        holds = self._holding is not None
        server = self._postmaster.server() if self._postmaster and holds else None
        if server is None:
            raise EmbeddedPostgresError(f"The database in {self._home} is not running.")
        return server

    def _hold_and_serve(self) -> None:
        holding = open_private(self._home / "holders.lock", os.O_RDWR)
        try:
            fcntl.flock(holding, fcntl.LOCK_SH)
            self._serve()
        except BaseException:
            self._leave(holding)
            raise
        self._holding = holding

    def _serve(self) -> None:
        account = select_os_user(self._data_dir, self._home / "cluster")
        cluster = Cluster(
            home=self._home,
            version=self._version,
            account=account,
            binaries=find_binaries(self._version, account, self._binaries_cache),
        )
        self._postmaster = Postmaster(cluster=cluster, is_cancelled=self._leaving.is_set)
        self._postmaster.serve(DATABASE)

    def _leave(self, holding: int) -> None:
        """Ends the server if nobody else holds it. The caller has the start lock."""
        try:
            with suppress(BlockingIOError):
                fcntl.flock(holding, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._postmaster is not None:
                    self._postmaster.end(self.stop_seconds)
        finally:
            os.close(holding)

    def _make_folders(self) -> None:
        """Private ones where none are; those that exist keep their modes."""
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
            deadline = time.monotonic() + START_LOCK_SECONDS
            while not _locked(descriptor):
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresError(
                        f"Another process has been starting the database in {self._home} "
                        f"for {START_LOCK_SECONDS} seconds."
                    )
                time.sleep(0.02)
            yield
        finally:
            os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _named_failures(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = error.filename or data_dir
        raise EmbeddedPostgresError(
            f"The database in {data_dir} cannot be used: {place}: {error.strerror}."
        ) from error
