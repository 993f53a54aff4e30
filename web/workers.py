"""Several processes that serve one port: started, replaced when they end, stopped together."""

import asyncio
import multiprocessing
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import structlog

from resilience.metrics import forget_process

POLL_SECONDS = 0.1
PAUSE_MAX_SECONDS = 30
JOIN_SECONDS = 1
READY = b"ready"

log = structlog.get_logger(__name__)


class WorkerFailed(Exception):
    """A process ended before it served: another one would do the same."""


@dataclass(slots=True)
class Worker:
    """`line` is ours of a pair: the process says on it that it serves, and its end ends it."""

    process: BaseProcess
    line: Connection
    is_ready: bool = False

    def look(self) -> bool:
        """Whether it lives; from now on it is known whether it serves."""
        if not self.is_ready and self.line.poll():
            try:
                self.is_ready = self.line.recv_bytes() == READY
            except EOFError:
                self.end(JOIN_SECONDS)
        return self.process.is_alive()

    def end(self, seconds: float) -> None:
        """Killed if it takes longer."""
        self.process.join(seconds)
        self.process.kill()
        self.process.join()
        self.line.close()


class Workers:
    """`target` is called in each process with `arguments` and its end of the line.

    The processes are forked from one that has imported `modules`, so that they share its memory.
    """

    def __init__(
        self,
        target: Callable[..., None],
        arguments: tuple[object, ...],
        *,
        count: int,
        modules: Collection[str],
    ) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(modules))
        self._target = target
        self._arguments = arguments
        self._count = count
        self._workers: list[Worker] = []
        self._is_announced = False
        self._pause = 1.0
        self._next_start = 0.0

    async def run(
        self, stop: asyncio.Event, announce: Callable[[], None], *, stop_seconds: float
    ) -> None:
        """Until `stop`; then they have `stop_seconds` to end.

        Raises WorkerFailed for one that ends before all have served once.
        """
        try:
            self._workers = [self._start() for _ in range(self._count)]
            while not stop.is_set():
                self._replace()
                if not self._is_announced and all(one.is_ready for one in self._workers):
                    announce()
                    self._is_announced = True
                await _wait(stop, POLL_SECONDS)
        finally:
            await asyncio.to_thread(self._end, stop_seconds)

    def _replace(self) -> None:
        """Start another for each that has ended, ever later while that goes on."""
        for worker in [one for one in self._workers if not one.look()]:
            if not self._is_announced:
                raise WorkerFailed
            pid, code = worker.process.pid, worker.process.exitcode
            log.warning("worker_ended", worker=pid, exit_code=code, served=worker.is_ready)
            forget_process(pid or 0)
            worker.end(JOIN_SECONDS)
            self._workers.remove(worker)
        now = time.monotonic()
        if len(self._workers) < self._count and now >= self._next_start:
            # After a while without an end, the next one is followed at once again.
            is_calm = now > self._next_start + PAUSE_MAX_SECONDS
            self._pause = 1.0 if is_calm else min(2 * self._pause, PAUSE_MAX_SECONDS)
            self._next_start = now + self._pause
            self._workers.append(self._start())

    def _start(self) -> Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=self._target, args=(*self._arguments, theirs))
        process.start()
        theirs.close()
        return Worker(process, ours)

    def _end(self, seconds: float) -> None:
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + seconds
        for worker in self._workers:
            worker.end(max(0, deadline - time.monotonic()))


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


def require_free(host: str, port: int) -> None:
    """Raises OSError for a port that somebody listens on, whatever of ours could share it."""
    with _bound(host, port):
        return


def shared_socket(host: str, port: int) -> socket.socket:
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
