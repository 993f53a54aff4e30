"""The embedded server's process: found, started, made ready and ended, by one caller at a time."""

import fcntl
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread

from persistence.embedded.cluster import PREFIX, Cluster, PidFile
from persistence.embedded.os_user import (
    EmbeddedPostgresError,
    Process,
    find_process,
    list_processes,
    may_use_cluster,
    open_private,
)

READY_SECONDS = 30
RECOVERY_SECONDS = 60
LEFT_OVER_SECONDS = 5
# For the children of a killed server to notice that they have to end.
ORPHAN_SECONDS = 1
STOP_SECONDS = 30
QUIT_SECONDS = 2
LAUNCHES = 3
POLL_SECONDS = 0.02

CREATE_DATABASE = """
SELECT 'CREATE DATABASE "{0}"' WHERE NOT EXISTS (
    SELECT FROM pg_database WHERE datname = '{0}'
) \\gexec
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postmaster:
    """The server of a cluster. Callers of `serve` and `end` exclude each other.

    All processes of the server hold a lock, which tells that it lives even where they cannot be
    seen, as from another container. `is_cancelled` is asked while a server starts: a caller that is
    about to leave need not wait for it.
    """

    cluster: Cluster
    is_cancelled: Callable[[], bool] = lambda: False

    def serve(self, database: str) -> None:
        """Adopts or starts the server, and returns when `database` answers."""
        self.cluster.require_usable()
        unclean = self.cluster.pid_file.exists()
        deadline = time.monotonic() + (RECOVERY_SECONDS if unclean else READY_SECONDS)
        launches = 0
        while not self.is_cancelled():
            server = self.server() or self._adopt_or_reap()
            if server is None:
                launches += 1
                server = self._launch(deadline)
            refusal = self.cluster.ask(server.socket_dir, CREATE_DATABASE.format(database))
            if refusal is None:
                return
            if time.monotonic() > deadline or launches > LAUNCHES:
                raise self.cluster.failure(f"did not get ready: {refusal}")
            time.sleep(POLL_SECONDS)
        raise EmbeddedPostgresError("The database was not started: its user is about to leave.")

    def server(self) -> PidFile | None:
        """The one that runs, ready or not. Raises if a PostgreSQL that is not ours has the data."""
        recorded = self.cluster.recorded()
        if recorded is None:
            return None
        process = find_process(recorded.pid)
        if process is None:
            return None
        if self._is_ours(process):
            return recorded
        # Another cluster's mark proves a stranger, to which the pid has passed.
        if f"cluster_name={PREFIX}" not in process.command and may_use_cluster(
            process, self.cluster.folder
        ):
            raise EmbeddedPostgresError(
                f"Another PostgreSQL, process {process.pid}, may be using {self.cluster.folder}: "
                "stop it first."
            )
        return None

    def end(self, seconds: float = STOP_SECONDS) -> None:
        """Fast shutdown; if that takes longer than `seconds`, ends with recovery at the next start.

        A server whose own process is gone has its children ended.
        """
        if self.server() is None and not self._left_over():
            if not self._lives():
                self.cluster.forget_socket_folder()
            return
        for number, patience in (
            (signal.SIGINT, seconds),
            (signal.SIGQUIT, QUIT_SECONDS),
            (signal.SIGKILL, QUIT_SECONDS),
        ):
            server = self.server()
            if server is not None:
                _send(number, server.pid)
            elif number != signal.SIGINT:
                for process in self._left_over():
                    _send(number, process.pid)
            # Children of a killed server end by themselves, but for the busy ones.
            wait = patience if server is not None else min(patience, ORPHAN_SECONDS)
            if _wait_until(lambda: not self._lives(), wait):
                self.cluster.forget_socket_folder()
                return
        raise self.cluster.failure("did not stop")

    def _launch(self, deadline: float) -> PidFile:
        socket_dir = self.cluster.make_socket_folder()
        self.cluster.pid_file.unlink(missing_ok=True)
        lock = self._open_lock()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            child = self.cluster.spawn(socket_dir, kept_open=lock)
        finally:
            os.close(lock)
        # It may outlive this process's use of it; somebody must collect it when it ends.
        Thread(target=child.wait, name="embedded-postgres", daemon=True).start()
        try:
            _wait_until(
                lambda: (
                    child.returncode is not None or self.server() is not None or self.is_cancelled()
                ),
                deadline - time.monotonic(),
            )
        except BaseException:
            # Interrupted: until it has written who it is, nobody else could end it.
            child.send_signal(signal.SIGINT)
            child.wait(STOP_SECONDS)
            raise
        server = self.server()
        if server is None:
            child.kill()
            raise self.cluster.failure("did not start")
        return server

    def _adopt_or_reap(self) -> PidFile | None:
        """The server, if one turns out to live; None when all of a dead one's children have ended.

        They still have the data open after their server was killed.
        """
        for number, seconds in (
            (None, ORPHAN_SECONDS),
            (signal.SIGQUIT, ORPHAN_SECONDS),
            (signal.SIGKILL, LEFT_OVER_SECONDS),
        ):
            for process in self._left_over():
                _send(number, process.pid)
            _wait_until(lambda: not self._lives() or self.server() is not None, seconds)
            server = self.server()
            if server is not None or not self._lives():
                return server
        raise self.cluster.failure("is in use by processes that cannot be ended from here")

    def _lives(self) -> bool:
        """Whether any process of a server of this cluster runs."""
        lock = self._open_lock()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return bool(self._left_over())

    def _left_over(self) -> list[Process]:
        return [process for process in list_processes() if self._is_ours(process)]

    def _is_ours(self, process: Process) -> bool:
        return (
            process.is_postgres
            and process.uid == self.cluster.account.uid
            and self.cluster.mark in process.command.replace("=", " ").replace(":", " ").split()
        )

    def _open_lock(self) -> int:
        return open_private(self.cluster.home / "server.lock", os.O_RDWR)


def _send(number: signal.Signals | None, pid: int) -> None:
    if number is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
