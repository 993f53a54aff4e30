"""Run several worker processes that share one port.

`Supervisor` runs in the main process. It starts one process that imports the program and runs
`Workers`, which forks the workers: the processes that serve. A worker that ends is replaced. When
the process that forks them ends, it is started again, with new workers.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from types import FrameType
from typing import NoReturn

import structlog

from observability.metrics import remove_dead_process_gauges
from resilience.backoff import Backoff

POLL_SECONDS = 0.1
MAX_RESTART_DELAY_SECONDS = 30
GAUGE_CLEANUP_SECONDS = 5
READY = b"ready"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

log = structlog.get_logger(__name__)


class WorkerFailed(Exception):
    """A process ended before it was ready. A new process would fail too."""


class RestartDelay:
    """Space out restarts: 1 second after a start, doubled each time up to the maximum.

    The first start, and one after a long time without failures, has no delay.
    """

    def __init__(self) -> None:
        self._backoff = Backoff(1, MAX_RESTART_DELAY_SECONDS)
        self._next_start = 0.0

    def is_over(self) -> bool:
        """Return whether a process may be started, and count it as started now if so."""
        now = time.monotonic()
        if now < self._next_start:
            return False
        if now > self._next_start + MAX_RESTART_DELAY_SECONDS:
            self._backoff.reset()
        self._next_start = now + self._backoff.next()
        return True


class Supervisor:
    """Run `python -c code FD`, and start it again whenever it ends.

    FD is the file descriptor of a pipe. `message` is sent over it, and the process answers READY
    once all workers serve. The pipe closes when this process ends, which tells the others to stop.
    All of them hold its other end, so it is closed there once the last of them has ended.
    """

    def __init__(self, code: str, message: object) -> None:
        self._code = code
        self._message = message
        self._pipes: list[Connection] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False

    async def run(self, stop: asyncio.Event, *, stop_seconds: float) -> None:
        """Run until `stop` is set, then give all processes `stop_seconds` to end.

        Raises WorkerFailed if the first start fails.
        """
        delay = RestartDelay()
        try:
            while not stop.is_set():
                if self._has_ended() and delay.is_over():
                    self._spawn()
                await _wait(stop, POLL_SECONDS)
        finally:
            await self._end(stop_seconds)

    def _has_ended(self) -> bool:
        if self._process is None:
            return True
        if not self._is_ready and self._pipes[-1].poll():
            self._is_ready = _received(self._pipes[-1]) == READY
        status = self._process.poll()
        if status is None:
            return False
        if not self._is_ready:
            raise WorkerFailed
        log.warning("workers_parent_ended", process=self._process.pid, exit_code=status)
        self._process = None
        return True

    def _spawn(self) -> None:
        ours, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - fixed arguments
                [sys.executable, "-c", self._code, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
            )
        self._pipes.append(ours)
        ours.send(self._message)
        if self._is_ready:
            log.warning("workers_restarted", process=self._process.pid)

    async def _end(self, seconds: float) -> None:
        """Stop all processes, also orphaned workers, which stop when their pipe is closed."""
        deadline = time.monotonic() + seconds
        orphaned = self._pipes
        # A parent that was killed a moment ago has left its workers without notice.
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            orphaned = self._pipes[:-1]
        for pipe in orphaned:
            _close_for_writing(pipe)
        while time.monotonic() < deadline and not all(map(_is_closed, self._pipes)):  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for pipe in self._pipes:
            pipe.close()


def _received(pipe: Connection) -> bytes | None:
    """Return the next message; None if the other end is closed."""
    try:
        return pipe.recv_bytes()
    except (EOFError, OSError):
        return None


def _close_for_writing(pipe: Connection) -> None:
    """Close the pipe for writing. The other end sees it closed, and can still write."""
    with socket.socket(fileno=os.dup(pipe.fileno())) as ours, suppress(OSError):
        ours.shutdown(socket.SHUT_WR)


def _is_closed(pipe: Connection) -> bool:
    while pipe.poll():
        if _received(pipe) is None:
            return True
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPipes:
    """The pipes of a worker. Each is closed when the process at its other end has ended."""

    parent: Connection
    supervisor: Connection


@dataclass(slots=True)
class Worker:
    """A worker as its parent sees it.

    The worker sends READY over `pipe` once it serves, and stops when `pipe` is closed. `status` is
    its exit code; None while it runs.
    """

    pid: int
    pipe: Connection
    is_ready: bool = False
    status: int | None = None

    def poll(self) -> bool:
        """Update `is_ready` and `status`. Return whether the process is running."""
        if not self.is_ready and not self.pipe.closed and self.pipe.poll():
            self.is_ready = _received(self.pipe) == READY
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is None

    def end(self, seconds: float) -> None:
        """Wait for the process to end, and kill it after `seconds`."""
        deadline = time.monotonic() + seconds
        while self.poll() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS / 2)
        if self.poll():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.pipe.close()


class Workers:
    """Fork `count` workers from this process, and replace those that end.

    This process must have one thread and have imported the modules that workers need. `target` is
    called in each worker with its pipes. `supervisor` is the pipe to the supervisor.
    """

    def __init__(
        self, target: Callable[[WorkerPipes], None], *, count: int, supervisor: Connection
    ) -> None:
        self._target = target
        self._count = count
        self._supervisor = supervisor
        self._workers: list[Worker] = []
        self._is_announced = False
        self._is_stopped = False
        self._restart_delay = RestartDelay()
        self._gauges_cleaned_at = 0.0

    def run(self, announce: Callable[[], None], *, stop_seconds: float) -> bool:
        """Run until a signal or the end of the supervisor. Return True in the latter case.

        `announce` is called once, when all workers are ready. Raises WorkerFailed if a worker ends
        before that.
        """
        for number in STOP_SIGNALS:
            signal.signal(number, self._stop)
        try:
            self._workers = [self._start() for _ in range(self._count)]
            while not self._is_stopped and not wait([self._supervisor], POLL_SECONDS):
                self._replace()
                if not self._is_announced and all(worker.is_ready for worker in self._workers):
                    announce()
                    # A supervisor that was killed meanwhile is noticed by `wait`.
                    with suppress(BrokenPipeError):
                        self._supervisor.send_bytes(READY)
                    self._is_announced = True
        finally:
            self._end(stop_seconds)
        return not self._is_stopped

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._is_stopped = True

    def _replace(self) -> None:
        """Start a new worker for each that has ended, with growing delays between the starts."""
        for worker in [worker for worker in self._workers if not worker.poll()]:
            if not self._is_announced:
                raise WorkerFailed
            log.warning(
                "worker_ended",
                worker=worker.pid,
                exit_code=worker.status,
                served=worker.is_ready,
            )
            worker.pipe.close()
            self._workers.remove(worker)
            self._gauges_cleaned_at = 0.0
        if time.monotonic() > self._gauges_cleaned_at + GAUGE_CLEANUP_SECONDS:
            # Include the workers of an earlier parent process that was killed.
            remove_dead_process_gauges()
            self._gauges_cleaned_at = time.monotonic()
        if len(self._workers) < self._count and self._restart_delay.is_over():
            self._workers.append(self._start())

    def _start(self) -> Worker:
        ours, theirs = Pipe()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        # The worker inherits handlers that would stop only this process: `_call` removes them and
        # unblocks the signals.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                # A pipe is closed only when no process holds its end: close the fork's copies.
                for pipe in (ours, *(worker.pipe for worker in self._workers)):
                    pipe.close()
                _call(self._target, WorkerPipes(parent=theirs, supervisor=self._supervisor))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()
        return Worker(pid, ours)

    def _end(self, seconds: float) -> None:
        for worker in self._workers:
            if worker.poll():
                os.kill(worker.pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        for worker in self._workers:
            worker.end(deadline - time.monotonic())


def _call(target: Callable[[WorkerPipes], None], pipes: WorkerPipes) -> NoReturn:
    """Run `target` in a forked process and exit, so that no code of the parent runs on."""
    status = 1
    try:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        target(pipes)
        status = 0
    except BaseException:  # noqa: BLE001 - the process exits
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


def check_port_free(host: str, port: int) -> None:
    """Raises OSError if a process listens on the port, even with SO_REUSEPORT."""
    with _bound(host, port):
        return


def reuseport_socket(host: str, port: int) -> socket.socket:
    """Return a socket that shares the port with others; the system spreads connections on them."""
    return _bound(host, port, socket.SO_REUSEPORT)


def _bound(host: str, port: int, *options: int) -> socket.socket:
    """Return a socket bound to the first address of `host`. Raises OSError."""
    family, kind, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind)
    if family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    for option in (socket.SO_REUSEADDR, *options):
        bound.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    bound.set_inheritable(True)
    return bound
