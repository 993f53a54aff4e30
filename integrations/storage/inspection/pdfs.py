"""PDF: readable without a password, and without anything that acts.

The copy is written anew from what can be reached from the root, and read again: what is kept is
what was looked at, whatever another program would have found in the file.
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
from integrations.storage.inspection.pdf_parts import (
    MAX_OBJECTS,
    PdfCopy,
    require_passive,
    too_complicated,
)

MAX_PAGES = 200
# Of this thread's own work, so that a busy machine refuses no file.
MAX_SECONDS = 5.0
# Read in one go, which nothing can stop: about a second of work.
MAX_UNPACKED_BYTES = 1024 * 1024
MAX_RECOVERED_BYTES = 100_000
# Of other content before a PDF, as readers allow (ISO 32000-1, implementation note 13).
MAX_BYTES_BEFORE = 1024

_HEADER = b"%PDF-"
_TABLE_PLACE = re.compile(rb"startxref\s{1,9}(\d{1,10})\b")
_TABLE_START = re.compile(rb"\s{0,9}(?:xref\b|\d{1,10}\s{1,9}\d{1,5}\s{1,9}obj\b)")

# pypdf says itself that damaged files may cause any error.
_UNREADABLE = (
    *(PyPdfError, DeprecationError, ArithmeticError, AssertionError, AttributeError, EOFError),
    *(LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError),
    *(struct.error, zlib.error),
)


class _OutOfTime(BaseException):
    """No Exception: pypdf goes on after these."""


class _Watch:
    def __init__(self, seconds: float) -> None:
        self._end = time.thread_time() + seconds

    def look(self) -> None:
        """Raises _OutOfTime."""
        if time.thread_time() > self._end:
            raise _OutOfTime


class _WatchedFile(BytesIO):
    """Whatever takes pypdf long makes it go from place to place in the file."""

    def __init__(self, content: bytes, watch: _Watch) -> None:
        super().__init__(content)
        self._watch = watch

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._watch.look()
        return super().seek(offset, whence)

    def getbuffer(self) -> memoryview:
        self._watch.look()
        return super().getbuffer()


def pdf_start(content: bytes) -> int:
    """The place of the first header; -1 for none where readers look for it."""
    return content.find(_HEADER, 0, MAX_BYTES_BEFORE + len(_HEADER))


def cleaned_pdf(content: bytes, *, max_seconds: float = MAX_SECONDS) -> bytes:
    """The pages, without what says who made them and when, and not encrypted.

    Raises FileContentMismatch.
    """
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
            return _rewritten(content, _Watch(max_seconds))
    except _OutOfTime:
        raise too_complicated() from None
    except DependencyError as error:
        raise _protected() from error
    except _UNREADABLE as error:
        raise FileContentMismatch("The PDF is damaged. Make it again.") from error


def _rewritten(content: bytes, watch: _Watch) -> bytes:
    _refuse_archive(content)
    reader = _opened(_from_start(content), watch)
    pages = len(reader.pages)
    if not 0 < pages <= MAX_PAGES:
        raise FileContentMismatch(f"A PDF has 1 to {MAX_PAGES} pages here.")
    copy = PdfCopy(reader.root_object, look=watch.look).written()
    _refuse_archive(copy)
    if len(_opened(copy, watch).pages) != pages:
        raise FileContentMismatch("The PDF is damaged. Make it again.")
    return copy


def _from_start(content: bytes) -> bytes:
    """Without what is before the PDF, unless the places that it names count from there."""
    start = pdf_start(content)
    named = _TABLE_PLACE.findall(content, max(0, len(content) - MAX_BYTES_BEFORE))
    if start > 0 and named and _TABLE_START.match(content, int(named[-1])):
        return content
    return content[max(0, start) :]


def _opened(content: bytes, watch: _Watch) -> PdfReader:
    """Every object that its table names has been looked at."""
    reader = _reader(content, watch)
    names = [(n, generation) for generation, numbers in reader.xref.items() for n in numbers]
    names += [(n, 0) for n in reader.xref_objStm]
    if len(names) > MAX_OBJECTS:
        raise too_complicated()
    require_passive(reader.trailer)
    for number, generation in names:
        watch.look()
        require_passive(reader.get_object(IndirectObject(number, generation, reader)))
    return reader


def _reader(content: bytes, watch: _Watch) -> PdfReader:
    """Raises FileContentMismatch when it needs a password or a certificate."""
    try:
        reader = PdfReader(
            _WatchedFile(content, watch), strict=False, xref_stream_maximum_entries=10 * MAX_OBJECTS
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
