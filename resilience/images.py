"""Images: whole, not too large, and without anything that is not needed to show them.

Nothing is encoded again: the parts of the file that are needed are copied as they are.
"""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from domain.errors import FileContentMismatch

MAX_PIXELS = 40_000_000
ORIENTATION = 0x0112

# What is opened here is measured before it is decoded; Pillow's own limit is higher.
Image.MAX_IMAGE_PIXELS = None

# Start, tables and scans; JFIF, colour profiles and Adobe's transform are decided by content.
_JPEG_KEPT = frozenset({0xC4, 0xCC, 0xDB, 0xDD, *range(0xC0, 0xC4), 0xC5, 0xC6, 0xC7})
_JPEG_KEPT |= frozenset({0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_JPEG_APPLICATIONS = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
_SCAN, _END, _APP1 = 0xDA, 0xD9, 0xE1
_ESCAPES = frozenset({0x00, *range(0xD0, 0xD8)})

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset(b"IHDR PLTE tRNS gAMA cHRM sRGB iCCP sBIT pHYs bKGD IDAT IEND".split())
_PIL_FAILURES = (
    UnidentifiedImageError,
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    IndexError,
    MemoryError,
    OverflowError,
)


def cleaned_jpeg(content: bytes) -> bytes:
    """Raises FileContentMismatch."""
    orientation = _checked(content, "JPEG")
    parts = [b"\xff\xd8"]
    if orientation:
        exif = _exif(orientation)
        parts.append(b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif)
    try:
        parts += _jpeg_parts(content)
    except (IndexError, ValueError, struct.error) as error:
        raise _damaged() from error
    return b"".join(parts)


def cleaned_png(content: bytes) -> bytes:
    """Raises FileContentMismatch."""
    orientation = _checked(content, "PNG")
    parts = [_PNG_START]
    try:
        for kind, chunk in _png_chunks(content):
            if kind == b"IDAT" and orientation:
                parts.append(_png_chunk(b"eXIf", _exif(orientation).removeprefix(b"Exif\0\0")))
                orientation = 0
            if kind in _PNG_KEPT:
                parts.append(chunk)
    except struct.error as error:
        raise _damaged() from error
    return b"".join(parts)


def _checked(content: bytes, name: str) -> int:
    """Decodes the whole of it; the orientation if it is not upright, else 0."""
    try:
        with Image.open(BytesIO(content), formats=[name]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise FileContentMismatch("The image has more than 40 megapixels.")
            image.verify()
        with Image.open(BytesIO(content), formats=[name]) as image:
            orientation = image.getexif().get(ORIENTATION, 1)
            # At an eighth of the scale a JPEG is still read to its end.
            image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()
    except _PIL_FAILURES as error:
        raise _damaged() from error
    return orientation if orientation in range(2, 9) else 0


def _jpeg_parts(content: bytes) -> Iterator[bytes]:
    place = 2
    while True:
        if content[place] != 0xFF:  # noqa: PLR2004 - what begins every marker
            raise _damaged()
        marker = content[place + 1]
        if marker == 0xFF:  # noqa: PLR2004 - filling
            place += 1
            continue
        if marker == _END:
            yield b"\xff\xd9"
            return
        (length,) = struct.unpack_from(">H", content, place + 2)
        end = place + 2 + length
        if marker == _SCAN:
            end = _end_of_scan(content, end)
        if marker == _SCAN or _is_kept(marker, content[place + 4 : end]):
            yield content[place:end]
        place = end


def _is_kept(marker: int, segment: bytes) -> bool:
    start = _JPEG_APPLICATIONS.get(marker)
    return marker in _JPEG_KEPT or (start is not None and segment.startswith(start))


def _end_of_scan(content: bytes, place: int) -> int:
    """Where the next marker is that does not belong to the coded data."""
    while True:
        place = content.index(b"\xff", place)
        if content[place + 1] in _ESCAPES:
            place += 2
        elif content[place + 1] == 0xFF:  # noqa: PLR2004 - filling
            place += 1
        else:
            return place


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place, kind = len(_PNG_START), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 12 + length
        yield kind, content[place:end]
        place = end


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif.tobytes()


def _damaged() -> FileContentMismatch:
    return FileContentMismatch("The image is damaged. Take or save it again.")
