"""Inspection of uploaded files in worker processes, so that a malicious file harms only its worker.

Workers are started on demand, reused, and ended when they have been idle for some minutes. A single
client cannot occupy all of them.
"""

import asyncio
import atexit
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn

import structlog
from anyio import CancelScope, to_thread, wait_readable
from anyio.lowlevel import RunVar

from domain.documents import DocumentFormat
from domain.errors.exceptions import FileContentMismatch, ServiceUnavailable, StorageUnavailable
from integrations.storage.inspection.protocol import READY, STARTED
from observability.metrics import INSPECTIONS
from resilience.fair_queue import FairQueue

ROOT = Path(__file__).parents[3]
START_SECONDS = 30
END_SECONDS = 1
MAX_OUTPUT_BYTES = 1 << 16
INVALID_OUTPUT = "invalid output"
# Variables for finding libraries; no secrets or addresses of the service.
ENVIRONMENT = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONHOME"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV"),
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectionOptions:
    """Limits of an event loop: `processes` at a time, and `waiting` files in the queue.

    A file may wait for `max_wait_seconds`, and then take `seconds` of CPU time, three times as much
    wall time, and `memory_bytes`. A process that has waited `idle_seconds` for a file is ended.
    """

    processes: int = 2
    seconds: int = 10
    memory_bytes: int = 512 << 20
    waiting: int = 1_000
    max_wait_seconds: float = 20.0
    idle_seconds: float = 300.0

    @property
    def deadline_seconds(self) -> float:
        return 3.0 * self.seconds

    def new_queue(self) -> FairQueue:
        """Build the queue. With more than one process, one stays free for other clients."""
        return FairQueue(
            concurrency=self.processes,
            per_client=max(1, self.processes - 1),
            max_waiting=self.waiting,
            busy="Many files are being checked.",
            wait_timeout_seconds=self.max_wait_seconds,
        )


DEFAULT_OPTIONS = InspectionOptions()
_queues: RunVar[dict[InspectionOptions, FairQueue]] = RunVar("inspection")


class WorkerFailed(Exception):
    """The worker ended or timed out without a result. The message is the reason."""


class Worker:
    """A worker process, which inspects one file at a time."""

    def __init__(self) -> None:
        """Start the process, which takes a few milliseconds. Raises OSError."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "integrations.storage.inspection.worker"],
            cwd=ROOT,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self._received = b""
        self.idle_since = 0.0

    async def begin(self, line: bytes) -> None:
        """Send a job and wait until the worker starts it. Raises WorkerFailed."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            self._process.stdin.write(line)
        except BrokenPipeError:
            raise WorkerFailed("ended while idle") from None
        await self._expect(STARTED)

    async def start(self) -> None:
        """Wait until the worker has imported its modules. Raises WorkerFailed."""
        await self._expect(READY)

    async def _expect(self, line: bytes) -> None:
        if await self.receive(START_SECONDS) != line:
            raise WorkerFailed(INVALID_OUTPUT)

    async def receive(self, seconds: float) -> bytes:
        """Return the next line of output. Raises WorkerFailed."""
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        file = self._process.stdout.fileno()
        try:
            async with asyncio.timeout(seconds):
                while b"\n" not in self._received:
                    await wait_readable(file)
                    data = os.read(file, MAX_OUTPUT_BYTES)
                    self._received += data
                    if not data or len(self._received) > MAX_OUTPUT_BYTES:
                        raise WorkerFailed(await to_thread.run_sync(self._reason))
        except TimeoutError:
            raise WorkerFailed("timed out") from None
        line, end, self._received = self._received.partition(b"\n")
        return line + end

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _reason(self) -> str:
        """Return why the process ended, after the end of its output."""
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return INVALID_OUTPUT
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


_idle: list[Worker] = []


async def sanitize_file(
    source: Path,
    target: Path,
    *,
    allowed: Collection[DocumentFormat],
    client: str = "",
    options: InspectionOptions = DEFAULT_OPTIONS,
) -> DocumentFormat:
    """Write a sanitized copy to `target` and return the content's format.

    `client` limits how many files of a client are inspected at once.

    Raises FileContentMismatch, without writing a target; FileNotFoundError for a missing source;
    StorageUnavailable; ServiceUnavailable if the queue is full or the file has waited too long.
    """
    async with inspection_queue(options).slot(client):
        result = await _inspect(source, target, allowed, options)
    if "errno" in result:
        _raise_disk_error(int(result["errno"]))
    if "refused" in result:
        INSPECTIONS.labels("refused").inc()
        raise FileContentMismatch(str(result["refused"]))
    INSPECTIONS.labels("kept").inc()
    return DocumentFormat(result["format"])


def _raise_disk_error(number: int) -> NoReturn:
    """Raises FileNotFoundError, StorageUnavailable."""
    if number == errno.ENOENT:
        raise FileNotFoundError(number, os.strerror(number))
    log.warning("inspection_disk_failed", errno=number)
    raise StorageUnavailable


def inspection_queue(options: InspectionOptions = DEFAULT_OPTIONS) -> FairQueue:
    """Return the queue of the running event loop for these options."""
    try:
        queues = _queues.get()
    except LookupError:
        queues = {}
        _queues.set(queues)
    return queues.setdefault(options, options.new_queue())


async def _inspect(
    source: Path, target: Path, allowed: Collection[DocumentFormat], options: InspectionOptions
) -> dict[str, Any]:
    """Raises FileContentMismatch if the worker fails."""
    worker = await _start_job(_job(source, target, allowed, options))
    is_reusable = False
    try:
        result = _parse_result(await worker.receive(options.deadline_seconds))
        is_reusable = len(_idle) < options.processes
    except WorkerFailed as error:
        await to_thread.run_sync(partial(target.unlink, missing_ok=True))
        INSPECTIONS.labels("failed").inc()
        log.warning("inspection_failed", reason=str(error))
        raise FileContentMismatch(
            "The file cannot be checked. Save it as a new one, or take the picture again."
        ) from error
    else:
        return result
    finally:
        if is_reusable:
            _keep(worker, options.idle_seconds)
        else:
            await _end(worker)


def _job(
    source: Path, target: Path, allowed: Collection[DocumentFormat], options: InspectionOptions
) -> bytes:
    job = {
        "source": str(source.absolute()),
        "target": str(target.absolute()),
        "allowed": [file_format.value for file_format in allowed],
        "seconds": options.seconds,
        "deadline_seconds": options.deadline_seconds,
        "memory_bytes": options.memory_bytes,
    }
    return json.dumps(job).encode() + b"\n"


def _parse_result(line: bytes) -> dict[str, Any]:
    """Raises WorkerFailed for an invalid result or an unexpected exception in the worker."""
    try:
        result = dict(json.loads(line))
    except (ValueError, TypeError):
        raise WorkerFailed(INVALID_OUTPUT) from None
    if "failed" in result:
        raise WorkerFailed(str(result["failed"]))
    return result


async def _start_job(line: bytes) -> Worker:
    """Return a worker that has started the job. Raises ServiceUnavailable."""
    while _idle:
        # An idle worker may have been killed; the job goes to the next one.
        with suppress(WorkerFailed):
            return await _prepare(_idle.pop(), line)
    try:
        worker = await to_thread.run_sync(Worker)
        return await _prepare(worker, line, is_new=True)
    except (OSError, WorkerFailed) as error:
        log.exception("inspection_process_failed", reason=str(error))
        raise ServiceUnavailable("Files cannot be checked now. Try again in a moment.") from error


async def _prepare(worker: Worker, line: bytes, *, is_new: bool = False) -> Worker:
    """Give the job to the worker; end the worker if that fails. Raises WorkerFailed."""
    is_prepared = False
    try:
        if is_new:
            await worker.start()
        await worker.begin(line)
        is_prepared = True
    finally:
        if not is_prepared:
            await _end(worker)
    return worker


def _keep(worker: Worker, seconds: float) -> None:
    """Make the worker the first choice for the next file; end it when idle for `seconds`."""
    _idle.append(worker)
    idle_since = worker.idle_since = monotonic()
    loop = asyncio.get_running_loop()

    def retire() -> None:
        # The worker may have inspected other files meanwhile.
        if worker in _idle and worker.idle_since == idle_since:
            _idle.remove(worker)
            loop.run_in_executor(None, worker.end)

    loop.call_later(seconds, retire)


async def _end(worker: Worker) -> None:
    with CancelScope(shield=True):
        await to_thread.run_sync(worker.end)


def _environment() -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    return {**inherited, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


@atexit.register
def end_idle() -> None:
    """End idle workers. Busy ones end with their jobs."""
    while _idle:
        _idle.pop().end()
