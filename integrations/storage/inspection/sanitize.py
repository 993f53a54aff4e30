"""Looking into uploaded files, in processes of their own: a file can harm no more than its process.

Processes are started when a file needs them, stay for the next ones, and end when none has come for
some minutes. No client has all of them.
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
from integrations.storage.inspection.protocol import BEGUN, READY
from observability.metrics import INSPECTIONS
from resilience.fair_queue import Turns

ROOT = Path(__file__).parents[3]
START_SECONDS = 30
END_SECONDS = 1
MAX_ANSWER_BYTES = 1 << 16
NONSENSE = "it answered nonsense"
# Neither secrets nor addresses of the service, only its way to libraries.
ENVIRONMENT = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONHOME"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV"),
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectionOptions:
    """Limits of one event loop: `processes` at a time, `waiting` files that wait for one.

    A file may wait for `patience_seconds`, and then take `seconds` of CPU, three times as long on
    the clock, and `memory_bytes`. A process that has waited `idle_seconds` for a file is ended.
    """

    processes: int = 2
    seconds: int = 10
    memory_bytes: int = 512 << 20
    waiting: int = 1_000
    patience_seconds: float = 20.0
    idle_seconds: float = 300.0

    @property
    def deadline_seconds(self) -> float:
        return 3.0 * self.seconds

    def turns(self) -> Turns:
        """With more than one process, one is always left for other clients."""
        return Turns(
            at_once=self.processes,
            per_client=max(1, self.processes - 1),
            waiting=self.waiting,
            busy="Many files are being checked.",
            patience_seconds=self.patience_seconds,
        )


DEFAULT_OPTIONS = InspectionOptions()
_turns: RunVar[dict[InspectionOptions, Turns]] = RunVar("inspection")


class WorkerGone(Exception):
    """The process ended, or was ended, instead of answering. Says why."""


class Worker:
    """A process that looks into one file at a time."""

    def __init__(self) -> None:
        """Start it, which takes a few milliseconds. Raises OSError."""
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
        """Give it a job, which it has not looked at before this returns. Raises WorkerGone."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            self._process.stdin.write(line)
        except BrokenPipeError:
            raise WorkerGone("it ended while nothing was to be done") from None
        await self._expect(BEGUN)

    async def start(self) -> None:
        """Wait until it has imported all. Raises WorkerGone."""
        await self._expect(READY)

    async def _expect(self, line: bytes) -> None:
        if await self.receive(START_SECONDS) != line:
            raise WorkerGone(NONSENSE)

    async def receive(self, seconds: float) -> bytes:
        """One line. Raises WorkerGone."""
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        file = self._process.stdout.fileno()
        try:
            async with asyncio.timeout(seconds):
                while b"\n" not in self._received:
                    await wait_readable(file)
                    piece = os.read(file, MAX_ANSWER_BYTES)
                    self._received += piece
                    if not piece or len(self._received) > MAX_ANSWER_BYTES:
                        raise WorkerGone(await to_thread.run_sync(self._reason))
        except TimeoutError:
            raise WorkerGone("it took too long") from None
        line, end, self._received = self._received.partition(b"\n")
        return line + end

    def end(self) -> None:
        """Kill it, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _reason(self) -> str:
        """Of its end, which comes with that of its output."""
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return NONSENSE
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


_idle: list[Worker] = []


async def clean_copy(
    source: Path,
    target: Path,
    *,
    allowed: Collection[DocumentFormat],
    client: str = "",
    options: InspectionOptions = DEFAULT_OPTIONS,
) -> DocumentFormat:
    """The format that the content has. What may be kept of it is written to `target`.

    Files of the same `client` wait for each other. Raises FileContentMismatch, and then there is no
    target; FileNotFoundError without a source; StorageUnavailable; ServiceUnavailable when too many
    wait, or the file has waited for too long.
    """
    async with turns(options).turn(client):
        result = await _inspected(source, target, allowed, options)
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


def turns(options: InspectionOptions = DEFAULT_OPTIONS) -> Turns:
    """Those of the running event loop."""
    try:
        known = _turns.get()
    except LookupError:
        known = {}
        _turns.set(known)
    return known.setdefault(options, options.turns())


async def _inspected(
    source: Path, target: Path, allowed: Collection[DocumentFormat], options: InspectionOptions
) -> dict[str, Any]:
    """Raises FileContentMismatch for a file that its process did not survive."""
    worker = await _begun(_job(source, target, allowed, options))
    is_kept = False
    try:
        result = _read(await worker.receive(options.deadline_seconds))
        is_kept = len(_idle) < options.processes
    except WorkerGone as error:
        await to_thread.run_sync(partial(target.unlink, missing_ok=True))
        INSPECTIONS.labels("failed").inc()
        log.warning("inspection_failed", reason=str(error))
        raise FileContentMismatch(
            "The file cannot be checked. Save it as a new one, or take the picture again."
        ) from error
    else:
        return result
    finally:
        if is_kept:
            _keep(worker, options.idle_seconds)
        else:
            await _end(worker)


def _job(
    source: Path, target: Path, allowed: Collection[DocumentFormat], options: InspectionOptions
) -> bytes:
    job = {
        "source": str(source.absolute()),
        "target": str(target.absolute()),
        "allowed": [one.value for one in allowed],
        "seconds": options.seconds,
        "deadline_seconds": options.deadline_seconds,
        "memory_bytes": options.memory_bytes,
    }
    return json.dumps(job).encode() + b"\n"


def _read(line: bytes) -> dict[str, Any]:
    """Raises WorkerGone for an answer of a process that cannot go on."""
    try:
        result = dict(json.loads(line))
    except (ValueError, TypeError):
        raise WorkerGone(NONSENSE) from None
    if "failed" in result:
        raise WorkerGone(str(result["failed"]))
    return result


async def _begun(line: bytes) -> Worker:
    """A process that has begun the job. Raises ServiceUnavailable when none can be started."""
    while _idle:
        # One that was killed meanwhile costs no file.
        with suppress(WorkerGone):
            return await _prepared(_idle.pop(), line)
    try:
        worker = await to_thread.run_sync(Worker)
        return await _prepared(worker, line, is_new=True)
    except (OSError, WorkerGone) as error:
        log.exception("inspection_process_failed", reason=str(error))
        raise ServiceUnavailable("Files cannot be checked now. Try again in a moment.") from error


async def _prepared(worker: Worker, line: bytes, *, is_new: bool = False) -> Worker:
    """The process, with the job; it is ended when that fails. Raises WorkerGone."""
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
    """Let it wait for a file, which takes the one that has waited least; end it after `seconds`."""
    _idle.append(worker)
    idle_since = worker.idle_since = monotonic()
    loop = asyncio.get_running_loop()

    def retire() -> None:
        # It may have looked into other files meanwhile.
        if worker in _idle and worker.idle_since == idle_since:
            _idle.remove(worker)
            loop.run_in_executor(None, worker.end)

    loop.call_later(seconds, retire)


async def _end(worker: Worker) -> None:
    with CancelScope(shield=True):
        await to_thread.run_sync(worker.end)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    return {**kept, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


@atexit.register
def end_idle() -> None:
    """End the processes that wait for a file; those that work end with their jobs."""
    while _idle:
        _idle.pop().end()
