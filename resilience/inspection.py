"""What an uploaded file really is, and the copy of it that may be kept."""

import logging
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

from domain.documents import DocumentFormat
from domain.errors import FileContentMismatch
from resilience.images import cleaned_jpeg, cleaned_png
from resilience.pdfs import cleaned_pdf

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
    found = [one for one, start in _SIGNATURES.items() if content.startswith(start)]
    if not found or found[0] not in allowed:
        raise FileContentMismatch(
            f"The file is no {' and no '.join(one.value for one in allowed)}."
        )
    target.write_bytes(_CLEANED[found[0]](content))
    return found[0]
