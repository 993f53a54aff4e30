"""PDF: readable, not locked, and without anything that acts."""

import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from pypdf import PdfReader, PdfWriter
from pypdf.errors import PyPdfError
from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject

from domain.errors import FileContentMismatch

MAX_OBJECTS = 20_000
MAX_DEPTH = 50
MAX_PAGES = 200
MAX_SECONDS = 5.0

_ACTIVE_KEYS = frozenset(
    "/JS /JavaScript /AA /EmbeddedFile /EmbeddedFiles /EF /AF /XFA /RichMediaContent".split()
)
_ACTIVE_VALUES = frozenset(
    "/JavaScript /Launch /SubmitForm /ImportData /GoToE /GoToR /Rendition /RichMedia /Movie /Sound"
    " /EmbeddedFile /Filespec /FileAttachment /Screen /3D".split()
)
_PYPDF_FAILURES = (
    PyPdfError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    RecursionError,
    AssertionError,
    NotImplementedError,
    OverflowError,
    MemoryError,
    OSError,
)


def cleaned_pdf(content: bytes) -> bytes:
    """The pages, without what says who made them and when. Raises FileContentMismatch."""
    try:
        reader = PdfReader(BytesIO(content), strict=False)
        if reader.is_encrypted:
            raise FileContentMismatch("The PDF is protected. Save it without a password.")
        _refuse_what_acts(reader)
        return _rewritten(reader)
    except _PYPDF_FAILURES as error:
        raise FileContentMismatch("The PDF is damaged. Make it again.") from error


def _refuse_what_acts(reader: PdfReader) -> None:
    deadline = time.monotonic() + MAX_SECONDS
    for count, found in enumerate(_dictionaries(reader)):
        if count > MAX_OBJECTS or time.monotonic() > deadline:
            raise FileContentMismatch("The PDF is too complicated. Print it to a new one.")
        if _acts(found):
            raise FileContentMismatch(
                "The PDF has scripts, forms or files in it. Print it to a new one."
            )


def _acts(found: DictionaryObject) -> bool:
    if not _ACTIVE_KEYS.isdisjoint(found):
        return True
    kinds = (found.raw_get(key) for key in ("/S", "/Subtype", "/Type") if key in found)
    return any(str(kind) in _ACTIVE_VALUES for kind in kinds)


def _dictionaries(reader: PdfReader) -> Iterator[DictionaryObject]:
    """All that can be reached from the trailer, and all that the table of objects names."""
    seen: set[tuple[int, int]] = set()
    waiting: list[tuple[Any, int]] = [(reader.trailer, 0)]
    waiting += [
        (IndirectObject(number, generation, reader), 0)
        for generation, numbers in reader.xref.items()
        for number in numbers
    ]
    waiting += [(IndirectObject(number, 0, reader), 0) for number in reader.xref_objStm]
    while waiting:
        found, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise FileContentMismatch("The PDF is too complicated. Print it to a new one.")
        if isinstance(found, IndirectObject):
            if (found.idnum, found.generation) in seen:
                continue
            seen.add((found.idnum, found.generation))
            found = found.get_object()
        if isinstance(found, DictionaryObject):
            yield found
            waiting += [(found.raw_get(key), depth + 1) for key in found]
        elif isinstance(found, ArrayObject):
            waiting += [(one, depth + 1) for one in list.__iter__(found)]


def _rewritten(reader: PdfReader) -> bytes:
    pages = len(reader.pages)
    if not 0 < pages <= MAX_PAGES:
        raise FileContentMismatch(f"A PDF has 1 to {MAX_PAGES} pages here.")
    writer = PdfWriter()
    for page in reader.pages:
        writer.add_page(page, excluded_keys=("/Metadata", "/PieceInfo", "/Thumb"))
    writer.metadata = None
    copy = BytesIO()
    writer.write(copy)
    return copy.getvalue()
