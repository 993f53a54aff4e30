"""Worker process for inspections: reads jobs from stdin and writes results to stdout as JSON lines.

Malicious files can only harm this process: it has no secrets, limits of CPU, time and memory for
each job, and it exits when the service that started it has ended.
"""

import fcntl
import json
import logging
import math
import os
import resource
import signal
import sys
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import puremagic

from domain.documents import CONTENT_TYPES, DocumentFormat, join_formats, upload_advice
from domain.errors.exceptions import FileContentMismatch
from integrations.storage.inspection.jpegs import sanitize_jpeg
from integrations.storage.inspection.pdfs import find_header, sanitize_pdf
from integrations.storage.inspection.pngs import sanitize_png
from integrations.storage.inspection.protocol import READY, STARTED
from observability.dedup import traceback_location

# Lower priority than the service.
NICENESS = 5

_SIGNATURES = {DocumentFormat.PNG: b"\x89PNG\r\n\x1a\n", DocumentFormat.JPEG: b"\xff\xd8\xff"}
_SANITIZERS: dict[DocumentFormat, Callable[[bytes], bytes]] = {
    DocumentFormat.PNG: sanitize_png,
    DocumentFormat.JPEG: sanitize_jpeg,
    DocumentFormat.PDF: sanitize_pdf,
}

# These libraries log content of files, and a line for each damage.
for _name in ("PIL", "pypdf"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A file to inspect in at most `seconds` of CPU time and `deadline_seconds` of wall time."""

    source: str
    target: str
    allowed: list[str]
    seconds: int
    deadline_seconds: float
    memory_bytes: int


def process_job(job: Job) -> dict[str, Any]:
    """Return a result with one key: `format`, `refused` (a message), `errno` or `failed`.

    `failed` is the source location of an unexpected exception.
    """
    try:
        content = Path(job.source).read_bytes()
    except OSError as error:
        return {"errno": error.errno}
    try:
        file_format, copy = sanitize(content, [DocumentFormat(name) for name in job.allowed])
    except FileContentMismatch as error:
        return {"refused": error.message}
    except Exception as error:  # noqa: BLE001 - reported to the service, which logs it
        return {"failed": traceback_location(error)}
    try:
        Path(job.target).write_bytes(copy)
    except OSError as error:
        return {"errno": error.errno}
    return {"format": file_format.value}


def sanitize(content: bytes, allowed: Collection[DocumentFormat]) -> tuple[DocumentFormat, bytes]:
    """Return the content's format and a sanitized copy. Raises FileContentMismatch."""
    file_format = _detect_format(content)
    if file_format is None or file_format not in allowed:
        raise FileContentMismatch(
            f"The file is no {join_formats(allowed)}. {upload_advice(allowed)}"
        )
    return file_format, _SANITIZERS[file_format](content)


def _detect_format(content: bytes) -> DocumentFormat | None:
    """Return the format if the signature and puremagic agree."""
    for file_format, signature in _SIGNATURES.items():
        is_signed = content.startswith(signature)
        if is_signed and CONTENT_TYPES[file_format] in _known_types(content):
            return file_format
    start = find_header(content)
    is_pdf = start >= 0 and CONTENT_TYPES[DocumentFormat.PDF] in _known_types(content[start:])
    return DocumentFormat.PDF if is_pdf else None


def _known_types(content: bytes) -> set[str]:
    try:
        return {match.mime_type for match in puremagic.magic_string(content)}
    except (puremagic.PureError, ValueError):
        return set()


def main() -> None:
    """Process jobs until stdin is closed, which happens when the service ends."""
    # Signals to the process group are for the service, which may still finish uploads.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    # A core dump would contain a document.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Keep other output, for example of libraries, out of the results.
    results = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.write(results, READY)
    for line in sys.stdin.buffer:
        job = Job(**json.loads(line))
        os.write(results, STARTED)
        with _limited(job):
            result = process_job(job)
        os.write(results, json.dumps(result).encode() + b"\n")
        if "failed" in result:
            # After an error such as MemoryError, the state of libraries is unknown.
            return


@contextmanager
def _limited(job: Job) -> Generator[None]:
    """Limit CPU, memory and time of a job; end the process if the service ends meanwhile."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = math.ceil(usage.ru_utime + usage.ru_stime)
    _set_soft_limit(resource.RLIMIT_CPU, used + job.seconds)
    _set_soft_limit(resource.RLIMIT_AS, job.memory_bytes)
    signal.setitimer(signal.ITIMER_REAL, job.deadline_seconds + 1)
    source = sys.stdin.fileno()
    flags = fcntl.fcntl(source, fcntl.F_GETFL)
    # During a job, stdin has no input, so only its closing raises SIGIO, which ends the process.
    fcntl.fcntl(source, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(source, fcntl.F_SETFL, flags | os.O_ASYNC)
    try:
        yield
    finally:
        fcntl.fcntl(source, fcntl.F_SETFL, flags)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _set_soft_limit(kind: int, limit: int) -> None:
    """Ignore limits that the system does not support, such as memory on macOS."""
    with suppress(ValueError, OSError):
        resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))


if __name__ == "__main__":
    main()
