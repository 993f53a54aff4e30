"""Sanitizing of PDF: check every object, then rewrite the objects reachable from the root.

The copy is read and checked again, so that it holds only checked objects, whatever another program
would have found in the original.
"""

import re
import struct
import time
import zlib
from io import BytesIO
from zipfile import is_zipfile

from pypdf import PasswordType, PdfReader, apply_configuration
from pypdf.errors import DependencyError, DeprecationError, PyPdfError
from pypdf.generic import IndirectObject

from domain.errors.exceptions import FileContentMismatch
from integrations.storage.inspection.pdf_objects import (
    MAX_OBJECTS,
    PdfCopy,
    require_no_active_content,
    too_complicated,
)

MAX_PAGES = 200
# CPU time of this thread, so that a busy machine does not refuse files.
MAX_SECONDS = 5.0
# Decompressing a stream cannot be interrupted; this size takes about a second.
MAX_UNPACKED_BYTES = 1024 * 1024
MAX_RECOVERED_BYTES = 100_000
# Bytes before the header that readers accept (ISO 32000-1, implementation note 13).
MAX_BYTES_BEFORE = 1024

_HEADER = b"%PDF-"
_STARTXREF = re.compile(rb"startxref\s{1,9}(\d{1,10})\b")
_XREF = re.compile(rb"\s{0,9}(?:xref\b|\d{1,10}\s{1,9}\d{1,5}\s{1,9}obj\b)")

# pypdf documents that damaged files may raise any error.
_READ_ERRORS = (
    *(PyPdfError, DeprecationError, ArithmeticError, AssertionError, AttributeError, EOFError),
    *(LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError),
    *(struct.error, zlib.error),
)


class _TimeExceeded(BaseException):
    """The time budget is spent. A BaseException, because pypdf ignores exceptions."""


class TimeBudget:
    """CPU time that reading a file may take."""

    def __init__(self, seconds: float) -> None:
        self._end = time.thread_time() + seconds

    def check(self) -> None:
        """Raises _TimeExceeded."""
        if time.thread_time() > self._end:
            raise _TimeExceeded


class _TimedFile(BytesIO):
    """A file that checks the budget at each seek, which every slow operation of pypdf does."""

    def __init__(self, content: bytes, budget: TimeBudget) -> None:
        super().__init__(content)
        self._budget = budget

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._budget.check()
        return super().seek(offset, whence)

    def getbuffer(self) -> memoryview:
        self._budget.check()
        return super().getbuffer()


def find_header(content: bytes) -> int:
    """Return the offset of the first header; -1 if readers would not find it."""
    return content.find(_HEADER, 0, MAX_BYTES_BEFORE + len(_HEADER))


def sanitize_pdf(content: bytes, *, max_seconds: float = MAX_SECONDS) -> bytes:
    """Return an unencrypted copy of the pages without metadata. Raises FileContentMismatch."""
    limits = apply_configuration(
        zlib_maximum_output_length=MAX_UNPACKED_BYTES,
        zlib_maximum_recovery_input_length=MAX_RECOVERED_BYTES,
        lzw_maximum_output_length=MAX_UNPACKED_BYTES,
        run_length_maximum_output_length=MAX_UNPACKED_BYTES,
        stream_decoding_work_maximum_length=4 * MAX_UNPACKED_BYTES,
        page_tree_maximum_entries=MAX_OBJECTS,
        page_tree_maximum_page_entries=10 * MAX_OBJECTS,
        jbig2dec_binary=None,
        disable_legacy_handling=True,
    )
    try:
        with limits:
            return _rewrite(content, TimeBudget(max_seconds))
    except _TimeExceeded:
        raise too_complicated() from None
    except DependencyError as error:
        raise _protected() from error
    except _READ_ERRORS as error:
        raise FileContentMismatch("The PDF is damaged. Make it again.") from error


def _rewrite(content: bytes, budget: TimeBudget) -> bytes:
    _refuse_archive(content)
    reader = _open_checked(_skip_prefix(content), budget)
    page_count = len(reader.pages)
    if not 0 < page_count <= MAX_PAGES:
        raise FileContentMismatch(f"The PDF must have 1 to {MAX_PAGES} pages. Send a shorter one.")
    copy = PdfCopy(reader.root_object, check_time=budget.check).to_bytes()
    _refuse_archive(copy)
    if len(_open_checked(copy, budget).pages) != page_count:
        raise FileContentMismatch("The PDF is damaged. Make it again.")
    return copy


def _skip_prefix(content: bytes) -> bytes:
    """Remove bytes before the header, unless the file's offsets include them."""
    start = find_header(content)
    offsets = _STARTXREF.findall(content, max(0, len(content) - MAX_BYTES_BEFORE))
    if start > 0 and offsets and _XREF.match(content, int(offsets[-1])):
        return content
    return content[max(0, start) :]


def _open_checked(content: bytes, budget: TimeBudget) -> PdfReader:
    """Open a PDF and check every object of its cross-reference table."""
    reader = _open(content, budget)
    objects = [(n, generation) for generation, numbers in reader.xref.items() for n in numbers]
    objects += [(n, 0) for n in reader.xref_objStm]
    if len(objects) > MAX_OBJECTS:
        raise too_complicated()
    require_no_active_content(reader.trailer)
    for number, generation in objects:
        budget.check()
        require_no_active_content(reader.get_object(IndirectObject(number, generation, reader)))
    return reader


def _open(content: bytes, budget: TimeBudget) -> PdfReader:
    """Raises FileContentMismatch for a PDF that needs a password or a certificate."""
    try:
        reader = PdfReader(
            _TimedFile(content, budget), strict=False, xref_stream_maximum_entries=10 * MAX_OBJECTS
        )
    except NotImplementedError as error:
        raise _protected() from error
    if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
        raise _protected()
    return reader


def _refuse_archive(content: bytes) -> None:
    if is_zipfile(BytesIO(content)):
        raise FileContentMismatch("The PDF is an archive as well. Print it to a new one.")


def _protected() -> FileContentMismatch:
    return FileContentMismatch(
        "The PDF asks for a password. Open it, print it to a new PDF, and send that. On a phone, a"
        " screenshot of it will do."
    )
