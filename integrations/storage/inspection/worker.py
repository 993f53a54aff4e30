"""The process that looks into files: jobs come in on standard input, answers go out, as JSON lines.

It holds no secrets, and whatever a file makes of it ends with it: it has limits of time and memory
for each job, and it ends by itself when the service that started it is gone.
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

from domain.documents import CONTENT_TYPES, DocumentFormat, advice, listed
from domain.errors.exceptions import FileContentMismatch
from integrations.storage.inspection.jpegs import cleaned_jpeg
from integrations.storage.inspection.pdfs import cleaned_pdf, pdf_start
from integrations.storage.inspection.pngs import cleaned_png
from integrations.storage.inspection.protocol import BEGUN, READY
from observability.dedup import traceback_location

# Behind the service itself, which has to stay quick meanwhile.
NICENESS = 5

_SIGNATURES = {
    DocumentFormat.PNG: b"\x89PNG\r\n\x1a\n",
    DocumentFormat.JPEG: b"\xff\xd8\xff",
}
_CLEANED: dict[DocumentFormat, Callable[[bytes], bytes]] = {
    DocumentFormat.PNG: cleaned_png,
    DocumentFormat.JPEG: cleaned_jpeg,
    DocumentFormat.PDF: cleaned_pdf,
}

# They write what they find in a file, and a line for each damage.
for _name in ("PIL", "pypdf"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A file to look into: `seconds` of CPU and `deadline_seconds` on the clock at most."""

    source: str
    target: str
    allowed: list[str]
    seconds: int
    deadline_seconds: float
    memory_bytes: int


def answer(job: Job) -> dict[str, Any]:
    """`format`, or one of `refused` (a message), `errno` and `failed` (the place of a fault)."""
    try:
        content = Path(job.source).read_bytes()
    except OSError as error:
        return {"errno": error.errno}
    try:
        file_format, copy = cleaned(content, [DocumentFormat(one) for one in job.allowed])
    except FileContentMismatch as error:
        return {"refused": error.message}
    except Exception as error:  # noqa: BLE001 - a library's fault, told to the log of the service
        return {"failed": traceback_location(error)}
    try:
        Path(job.target).write_bytes(copy)
    except OSError as error:
        return {"errno": error.errno}
    return {"format": file_format.value}


def cleaned(content: bytes, allowed: Collection[DocumentFormat]) -> tuple[DocumentFormat, bytes]:
    """The format that the content has, and all of it that may be kept.

    Raises FileContentMismatch.
    """
    file_format = _format_of(content)
    if file_format is None or file_format not in allowed:
        raise FileContentMismatch(f"The file is no {listed(allowed)}. {advice(allowed)}")
    return file_format, _CLEANED[file_format](content)


def _format_of(content: bytes) -> DocumentFormat | None:
    """None unless its first bytes and the list of all known formats agree."""
    for one, signature in _SIGNATURES.items():
        if content.startswith(signature) and CONTENT_TYPES[one] in _known_types(content):
            return one
    start = pdf_start(content)
    is_pdf = start >= 0 and CONTENT_TYPES[DocumentFormat.PDF] in _known_types(content[start:])
    return DocumentFormat.PDF if is_pdf else None


def _known_types(content: bytes) -> set[str]:
    try:
        return {match.mime_type for match in puremagic.magic_string(content)}
    except (puremagic.PureError, ValueError):
        return set()


def main() -> None:
    """Answer jobs until standard input ends, which it does with the service."""
    # They are meant for the service: it may still have files to finish.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    # A core would hold a stranger's document.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Nothing else may write among the answers.
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.write(answers, READY)
    for line in sys.stdin.buffer:
        job = Job(**json.loads(line))
        os.write(answers, BEGUN)
        with _limited(job):
            result = answer(job)
        os.write(answers, json.dumps(result).encode() + b"\n")
        if "failed" in result:
            # The state of a library after a fault, such as one of memory, is not known.
            return


@contextmanager
def _limited(job: Job) -> Generator[None]:
    """End this process when the job takes too much, or when nobody waits for its answer."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = math.ceil(usage.ru_utime + usage.ru_stime)
    _set_soft_limit(resource.RLIMIT_CPU, used + job.seconds)
    _set_soft_limit(resource.RLIMIT_AS, job.memory_bytes)
    signal.setitimer(signal.ITIMER_REAL, job.deadline_seconds + 1)
    source = sys.stdin.fileno()
    flags = fcntl.fcntl(source, fcntl.F_GETFL)
    # No second job comes before the answer, so that only the end of the service is a signal.
    fcntl.fcntl(source, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(source, fcntl.F_SETFL, flags | os.O_ASYNC)
    try:
        yield
    finally:
        fcntl.fcntl(source, fcntl.F_SETFL, flags)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _set_soft_limit(kind: int, limit: int) -> None:
    """Do nothing where the system does not know such a limit, as macOS for memory."""
    with suppress(ValueError, OSError):
        resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))


if __name__ == "__main__":
    main()
