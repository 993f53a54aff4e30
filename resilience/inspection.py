"""What an uploaded file really is, and the copy of it that may be kept."""

import logging
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import puremagic
from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

from domain.documents import CONTENT_TYPES, DocumentFormat
from domain.errors import FileContentMismatch
from resilience.jpegs import cleaned_jpeg
from resilience.pdfs import cleaned_pdf
from resilience.pngs import cleaned_png

AT_ONCE = 2

_SIGNATURES = {
    DocumentFormat.PNG: b"\x89PNG\r\n\x1a\n",
    DocumentFormat.JPEG: b"\xff\xd8\xff",
    DocumentFormat.PDF: b"%PDF-",
}
_CLEANED: dict[DocumentFormat, Callable[[bytes], bytes]] = {
    DocumentFormat.PNG: cleaned_png,
    DocumentFormat.JPEG: cleaned_jpeg,
    DocumentFormat.PDF: cleaned_pdf,
}
_limiter: RunVar[CapacityLimiter] = RunVar("inspection")

# They write what they find in a file, and a line for each damage.
for _name in ("PIL", "pypdf"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


async def clean_copy(
    source: Path, target: Path, *, allowed: Collection[DocumentFormat]
) -> DocumentFormat:
    """The format that the content has. What may be kept of it is written to `target`.

    Raises FileContentMismatch, and then there is no target; FileNotFoundError without a source.
    """
    return await to_thread.run_sync(
        partial(_clean_copy, source, target, allowed), limiter=limiter()
    )


def limiter() -> CapacityLimiter:
    """So many files at once are looked at in one event loop."""
    try:
        return _limiter.get()
    except LookupError:
        _limiter.set(CapacityLimiter(AT_ONCE))
        return _limiter.get()


def _clean_copy(source: Path, target: Path, allowed: Collection[DocumentFormat]) -> DocumentFormat:
    content = source.read_bytes()
    found = _format_of(content)
    if found is None or found not in allowed:
        raise FileContentMismatch(
            f"The file is no {' and no '.join(one.value for one in allowed)}."
        )
    target.write_bytes(_CLEANED[found](content))
    return found


def _format_of(content: bytes) -> DocumentFormat | None:
    """None unless its first bytes and the list of all known formats agree."""
    try:
        known = {match.mime_type for match in puremagic.magic_string(content)}
    except (puremagic.PureError, ValueError):
        return None
    for one, signature in _SIGNATURES.items():
        if content.startswith(signature) and CONTENT_TYPES[one] in known:
            return one
    return None
