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

log = structlog.get_logger(__name__)


class WorkerFailed(Exception):
    """A process ended before it was ready. A new process would fail too."""


class RestartDelay:
    """The delay before the next start: 1 second, doubled for each restart up to the maximum.

    After MAX_RESTART_DELAY_SECONDS without a start there is none.
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
    """The supervisor of all: runs `python -c code FD` anew whenever that ends.

    `message` is sent to the process over the connection FD, which it answers with READY once all
    serve. The end of this process ends the connection, which tells the others to end. All processes
    of the family hold the other end: it is over when the last of them has ended.
    """

    def __init__(self, code: str, message: object) -> None:
        self._code = code
        self._message = message
        self._pipes: list[Connection] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False

    async def run(self, stop: asyncio.Event, *, stop_seconds: float) -> None:
        """Until `stop`; then all have `stop_seconds` to end.

        Raises WorkerFailed when the first start fails.
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
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-c", self._code, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
            )
        self._pipes.append(ours)
        ours.send(self._message)
        if self._is_ready:
            log.warning("workers_started_anew", process=self._process.pid)

    async def _end(self, seconds: float) -> None:
        """Also those whose own parent was killed: the end of their pipe tells them."""
        deadline = time.monotonic() + seconds
        orphaned = self._pipes
        if self._process is not None:
            self._process.terminate()
            orphaned = self._pipes[:-1]
        for pipe in orphaned:
            _end_sending(pipe)
        while time.monotonic() < deadline and not all(map(_is_over, self._pipes)):  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for pipe in self._pipes:
            pipe.close()


def _received(pipe: Connection) -> bytes | None:
    """None at the end of the pipe."""
    try:
        return pipe.recv_bytes()
    except (EOFError, OSError):
        return None


def _end_sending(pipe: Connection) -> None:
    """The other end reads the end of the pipe; what it does with its own is still read here."""
    with socket.socket(fileno=os.dup(pipe.fileno())) as ours, suppress(OSError):
        ours.shutdown(socket.SHUT_WR)


def _is_over(pipe: Connection) -> bool:
    while pipe.poll():
        if _received(pipe) is None:
            return True
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPipes:
    """Connections of a serving process; a pipe ends with the process behind it."""

    parent: Connection
    supervisor: Connection


@dataclass(slots=True)
class Worker:
    """`pipe` is ours of a pair: the process says on it that it serves, and its end ends it."""

    pid: int
    pipe: Connection
    is_ready: bool = False
    status: int | None = None

    def look(self) -> bool:
        """Whether it lives; from now on it is known whether it serves."""
        if not self.is_ready and not self.pipe.closed and self.pipe.poll():
            self.is_ready = _received(self.pipe) == READY
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is None

    def end(self, seconds: float) -> None:
        """Killed if it takes longer."""
        deadline = time.monotonic() + seconds
        while self.look() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS / 2)
        if self.look():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.pipe.close()


class Workers:
    """Processes forked from this one, which has one thread and has imported what they need.

    `target` is called in each with its pipes; `supervisor` is the pipe of this process.
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
        self._forgotten_at = 0.0

    def run(self, announce: Callable[[], None], *, stop_seconds: float) -> bool:
        """Until SIGTERM or the end of the supervisor, after which True is returned.

        Raises WorkerFailed for one that ends before all have served once.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        try:
            self._workers = [self._start() for _ in range(self._count)]
            while not self._is_stopped and not wait([self._supervisor], POLL_SECONDS):
                self._replace()
                if not self._is_announced and all(each.is_ready for each in self._workers):
                    announce()
                    self._supervisor.send_bytes(READY)
                    self._is_announced = True
        finally:
            self._end(stop_seconds)
        return not self._is_stopped

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._is_stopped = True

    def _replace(self) -> None:
        """Start another for each that has ended, ever later while that goes on."""
        for worker in [each for each in self._workers if not each.look()]:
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
            self._forgotten_at = 0.0
        if time.monotonic() > self._forgotten_at + GAUGE_CLEANUP_SECONDS:
            # Also those of a process like this one that was killed.
            remove_dead_process_gauges()
            self._forgotten_at = time.monotonic()
        if len(self._workers) < self._count and self._restart_delay.is_over():
            self._workers.append(self._start())

    def _start(self) -> Worker:
        ours, theirs = Pipe()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        pid = os.fork()
        if pid == 0:
            # Each end of a pipe is held by one process alone, so that its end is noticed.
            for pipe in (ours, *(each.pipe for each in self._workers)):
                pipe.close()
            _call(self._target, WorkerPipes(parent=theirs, supervisor=self._supervisor))
        theirs.close()
        return Worker(pid, ours)

    def _end(self, seconds: float) -> None:
        for worker in self._workers:
            if worker.look():
                os.kill(worker.pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        for worker in self._workers:
            worker.end(deadline - time.monotonic())


def _call(target: Callable[[WorkerPipes], None], pipes: WorkerPipes) -> NoReturn:
    """Never return to what the parent was doing."""
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        target(pipes)
        status = 0
    except BaseException:  # noqa: BLE001 - it ends with the process
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
    """Raises OSError for a port that somebody listens on, whatever of ours could share it."""
    with _bound(host, port):
        return


def reuseport_socket(host: str, port: int) -> socket.socket:
    """One of several that listen on the port; the system hands each its part of the clients."""
    return _bound(host, port, socket.SO_REUSEPORT)


def _bound(host: str, port: int, *options: int) -> socket.socket:
    """Raises OSError. Of several addresses that a name has, the first one."""
    family, kind, _, _, address = socket.getaddrinfo(
        host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
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
