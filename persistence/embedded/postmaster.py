"""Find, start and stop the embedded server's processes. One caller at a time."""

import fcntl
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread

from persistence.embedded.cluster import PREFIX, Cluster, PidFile
from persistence.embedded.errors import EmbeddedPostgresError
from persistence.embedded.os_user import (
    Process,
    find_process,
    list_processes,
    may_use_cluster,
    open_private,
)

START_TIMEOUT_SECONDS = 30
RECOVERY_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 30
QUIT_TIMEOUT_SECONDS = 2
# Children of a killed server notice that they are orphans within this time, unless they are busy.
ORPHAN_TIMEOUT_SECONDS = 1
KILLED_ORPHAN_TIMEOUT_SECONDS = 5
MAX_LAUNCHES = 3
POLL_SECONDS = 0.02

CREATE_DATABASE = """
SELECT 'CREATE DATABASE "{0}"' WHERE NOT EXISTS (
    SELECT FROM pg_database WHERE datname = '{0}'
) \\gexec
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postmaster:
    """The server of a cluster. The caller has to exclude concurrent calls of `serve` and `stop`.

    All processes of the server hold an inherited file lock. It shows that the server is running
    even where its processes are not visible, for example from another container.

    `is_cancelled` ends `serve` early, when the caller is about to stop.
    """

    cluster: Cluster
    is_cancelled: Callable[[], bool] = lambda: False

    def serve(self, database: str) -> None:
        """Adopt the running server or start one; return when `database` accepts connections.

        Raises EmbeddedPostgresError.
        """
        self.cluster.require_usable()
        needs_recovery = self.cluster.pid_file.exists()
        timeout_seconds = RECOVERY_TIMEOUT_SECONDS if needs_recovery else START_TIMEOUT_SECONDS
        deadline = time.monotonic() + timeout_seconds
        launches = 0
        while not self.is_cancelled():
            server = self.find_server() or self._adopt_or_reap()
            if server is None:
                launches += 1
                server = self._launch(deadline)
            error = self.cluster.run_sql(server.socket_dir, CREATE_DATABASE.format(database))
            if error is None:
                return
            if time.monotonic() > deadline or launches > MAX_LAUNCHES:
                raise self.cluster.failure(f"did not get ready: {error}")
            time.sleep(POLL_SECONDS)
        raise EmbeddedPostgresError("The database was not started: the service is stopping.")

    def find_server(self) -> PidFile | None:
        """The running server, ready or not.

        Raises EmbeddedPostgresError if a PostgreSQL that was not started here may use the data.
        """
        pid_file = self.cluster.read_pid_file()
        if pid_file is None:
            return None
        process = find_process(pid_file.pid)
        if process is None:
            return None
        if self._is_ours(process):
            return pid_file
        # The name of another cluster shows that the process id has been reused by its server.
        is_other_cluster = f"cluster_name={PREFIX}" in process.command
        if not is_other_cluster and may_use_cluster(process, self.cluster.folder):
            raise EmbeddedPostgresError(
                f"Another PostgreSQL, process {process.pid}, may be using {self.cluster.folder}: "
                "stop it first."
            )
        return None

    def stop(self, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> None:
        """Stop the server: a fast shutdown, after the timeout an immediate one.

        After an immediate shutdown the next start recovers the data. Orphaned children of a killed
        server are ended too. Raises EmbeddedPostgresError.
        """
        if self.find_server() is None and not self._own_processes():
            if not self._is_running():
                self.cluster.forget_socket_folder()
            return
        for number, step_seconds in (
            (signal.SIGINT, timeout_seconds),
            (signal.SIGQUIT, QUIT_TIMEOUT_SECONDS),
            (signal.SIGKILL, QUIT_TIMEOUT_SECONDS),
        ):
            server = self.find_server()
            if server is not None:
                _send(number, server.pid)
            elif number != signal.SIGINT:
                for process in self._own_processes():
                    _send(number, process.pid)
            # Without a server its children end by themselves, except for busy ones.
            wait = step_seconds if server else min(step_seconds, ORPHAN_TIMEOUT_SECONDS)
            if _wait_until(lambda: not self._is_running(), wait):
                self.cluster.forget_socket_folder()
                return
        raise self.cluster.failure("did not stop")

    def _launch(self, deadline: float) -> PidFile:
        socket_dir = self.cluster.make_socket_folder()
        self.cluster.pid_file.unlink(missing_ok=True)
        lock = self._open_lock()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            child = self.cluster.spawn(socket_dir, inherited_fd=lock)
        finally:
            os.close(lock)
        # Reaps the server when it ends, which may be long after this method.
        Thread(target=child.wait, name="embedded-postgres", daemon=True).start()
        try:
            _wait_until(
                lambda: (
                    child.returncode is not None
                    or self.find_server() is not None
                    or self.is_cancelled()
                ),
                deadline - time.monotonic(),
            )
        except BaseException:
            # Interrupted before the server has written its pid file: only we can stop it.
            child.send_signal(signal.SIGINT)
            child.wait(STOP_TIMEOUT_SECONDS)
            raise
        server = self.find_server()
        if server is None:
            child.kill()
            raise self.cluster.failure("did not start")
        return server

    def _adopt_or_reap(self) -> PidFile | None:
        """A server that is just starting, or None once all processes of a dead one have ended.

        Children of a killed server still have its data files open; they are ended if necessary.
        """
        for number, timeout_seconds in (
            (None, ORPHAN_TIMEOUT_SECONDS),
            (signal.SIGQUIT, ORPHAN_TIMEOUT_SECONDS),
            (signal.SIGKILL, KILLED_ORPHAN_TIMEOUT_SECONDS),
        ):
            if number is not None:
                for process in self._own_processes():
                    _send(number, process.pid)
            _wait_until(
                lambda: not self._is_running() or self.find_server() is not None, timeout_seconds
            )
            server = self.find_server()
            if server is not None or not self._is_running():
                return server
        raise self.cluster.failure("is in use by processes that cannot be ended from here")

    def _is_running(self) -> bool:
        """Whether any process of the server is running, visible or not."""
        lock = self._open_lock()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return bool(self._own_processes())

    def _own_processes(self) -> list[Process]:
        return [process for process in list_processes() if self._is_ours(process)]

    def _is_ours(self, process: Process) -> bool:
        words = process.command.replace("=", " ").replace(":", " ").split()
        return (
            process.is_postgres
            and process.uid == self.cluster.os_user.uid
            and self.cluster.cluster_name in words
        )

    def _open_lock(self) -> int:
        return open_private(self.cluster.home / "server.lock", os.O_RDWR)


def _send(number: signal.Signals, pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait_until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    """Poll `condition`. False when it is not true in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
