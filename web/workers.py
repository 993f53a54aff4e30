"""Several processes that serve one port: started, replaced when they end, stopped together."""

import asyncio
import multiprocessing
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import structlog

from resilience.metrics import forget_process

POLL_SECONDS = 0.1
BACKLOG = 2048
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
        """Whether it lives. Raises WorkerFailed."""
        if not self.is_ready and self.line.poll():
            try:
                self.is_ready = self.line.recv_bytes() == READY
            except EOFError:
                self.process.join()
        if self.process.is_alive():
            return True
        if not self.is_ready:
            raise WorkerFailed
        return False


class Workers:
    """`target` is called in each process with `arguments` and its end of the line.

    The processes are forked from one that has imported the program, so that they share its memory.
    """

    def __init__(
        self, target: Callable[..., None], arguments: tuple[object, ...], *, count: int
    ) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._target = target
        self._arguments = arguments
        self._count = count
        self._workers: list[Worker] = []

    async def run(
        self, stop: asyncio.Event, announce: Callable[[], None], *, stop_seconds: float
    ) -> None:
        """Until `stop`; then they have `stop_seconds` to end. Raises WorkerFailed."""
        try:
            self._workers = [self._start() for _ in range(self._count)]
            is_announced = False
            while not stop.is_set():
                self._replace()
                if not is_announced and all(worker.is_ready for worker in self._workers):
                    announce()
                    is_announced = True
                await _wait(stop, POLL_SECONDS)
        finally:
            await asyncio.to_thread(self._end, stop_seconds)

    def _replace(self) -> None:
        for place, worker in enumerate(self._workers):
            if not worker.look():
                pid, code = worker.process.pid, worker.process.exitcode
                log.warning("worker_ended", worker=pid, exit_code=code)
                forget_process(pid or 0)
                worker.line.close()
                self._workers[place] = self._start()

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
            worker.process.join(max(0, deadline - time.monotonic()))
            worker.process.kill()
            worker.process.join()
            worker.line.close()


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
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    for option in (socket.SO_REUSEADDR, *options):
        bound.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        bound.bind((host.strip("[]"), port))
    except OSError:
        bound.close()
        raise
    bound.set_inheritable(True)
    return bound
