"""Sanitizing of PNG: copy only the chunks that are needed to show the image.

Faulty chunks are skipped like libpng skips them in browsers. Pixels are decompressed in pieces to
check them, but not decoded, which would take up to 160 MB. They are recompressed only if the
compressed data continue after the last row.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import dropwhile, takewhile

from PIL import Image

from domain.documents import MAX_FILE_BYTES
from domain.errors.exceptions import FileContentMismatch
from integrations.storage.inspection.images import (
    DECODE_ERRORS,
    MAX_PROFILE_BYTES,
    NORMAL_ORIENTATION,
    damaged_image,
    is_valid_profile,
    orientation_exif,
    read_orientation,
    require_size,
    require_valid,
)

PIECE_BYTES = 1024 * 1024
MAX_COPY_BYTES = 2 * MAX_FILE_BYTES

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">IIBBBBB")
_GRAY, _RGB, _PALETTE, _GRAY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
_COLOUR_TYPES = (_GRAY, _RGB, _PALETTE, _GRAY_ALPHA, _RGB_ALPHA)


def _exact_sizes(*sizes: int) -> dict[int, range]:
    """Map each colour type to its only valid chunk size."""
    return {
        colour: range(size, size + 1) for colour, size in zip(_COLOUR_TYPES, sizes, strict=True)
    }


# Chunks that affect how pixels are shown, with their valid sizes by colour type.
_SIZES: dict[bytes, dict[int, range]] = {
    b"gAMA": dict.fromkeys(_COLOUR_TYPES, range(4, 5)),
    b"cHRM": dict.fromkeys(_COLOUR_TYPES, range(32, 33)),
    b"sRGB": dict.fromkeys(_COLOUR_TYPES, range(1, 2)),
    b"iCCP": dict.fromkeys(_COLOUR_TYPES, range(1, MAX_PROFILE_BYTES + 1)),
    b"sBIT": _exact_sizes(1, 3, 3, 2, 4),
    b"PLTE": dict.fromkeys((_RGB, _PALETTE, _RGB_ALPHA), range(3, 769, 3)),
    b"tRNS": {_GRAY: range(2, 3), _RGB: range(6, 7), _PALETTE: range(1, 257)},
    b"bKGD": _exact_sizes(2, 6, 1, 2, 6),
    b"pHYs": dict.fromkeys(_COLOUR_TYPES, range(9, 10)),
}
_EXIF = b"Exif\0\0"
_CRITICAL = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))
_ANCILLARY_BIT = 0x20
_ZLIB_HEADER_BYTES, _HAS_DICTIONARY = 2, 0x20
_CHANNELS = {_GRAY: 1, _RGB: 3, _PALETTE: 1, _GRAY_ALPHA: 2, _RGB_ALPHA: 4}
_DEPTHS = {
    _GRAY: (1, 2, 4, 8, 16),
    _RGB: (8, 16),
    _PALETTE: (1, 2, 4, 8),
    _GRAY_ALPHA: (8, 16),
    _RGB_ALPHA: (8, 16),
}
# First column, column step, first row, row step of each pass.
_ONE_PASS = ((0, 1, 0, 1),)
_ADAM7 = (
    *((0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4)),
    *((0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)),
)
_FILTERS = bytes(range(5))


@dataclass(frozen=True, slots=True)
class _Header:
    width: int
    height: int
    depth: int
    colour: int
    compression: int
    filtering: int
    interlacing: int

    def require_valid(self) -> None:
        """Raises FileContentMismatch."""
        require_size(self.width, self.height)
        require_valid(self.depth in _DEPTHS.get(self.colour, ()))
        require_valid(self.compression == 0 and self.filtering == 0 and self.interlacing in {0, 1})

    def passes(self) -> Iterator[tuple[int, int]]:
        """Yield bytes per row, filter byte included, and number of rows of each pass."""
        for column, column_step, row, row_step in _ADAM7 if self.interlacing else _ONE_PASS:
            # Division rounded up: the number of columns from `column` on, in steps.
            columns = max(0, -((column - self.width) // column_step))
            rows = max(0, -((row - self.height) // row_step))
            if columns and rows:
                # Bits rounded up to bytes.
                yield 1 + (columns * self.depth * _CHANNELS[self.colour] + 7) // 8, rows


class _PixelStream:
    """Zlib stream of the pixels (RFC 1950). Damage after the last row is ignored."""

    def __init__(self, content: bytes) -> None:
        """Raises FileContentMismatch."""
        self._content = content
        self._remaining = memoryview(content)[_ZLIB_HEADER_BYTES:]
        self._decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
        self._checksum = 1
        method, flags = (*content[:_ZLIB_HEADER_BYTES], 0, 0)[:2]
        is_deflate = method & 15 == zlib.DEFLATED and (method << 8 | flags) % 31 == 0
        require_valid(is_deflate and not flags & _HAS_DICTIONARY)

    def read(self, limit: int) -> bytes:
        """Decompress at most `limit` bytes. Raises FileContentMismatch."""
        if self._decompressor.eof:
            return b""
        try:
            pixels = self._decompressor.decompress(self._remaining, limit)
        except zlib.error as error:
            raise damaged_image() from error
        self._remaining = memoryview(self._decompressor.unconsumed_tail)
        self._checksum = zlib.adler32(pixels, self._checksum)
        return pixels

    def trimmed(self) -> bytes | None:
        """Return the stream up to its end; None if it has more pixels than were read."""
        checksum = struct.pack(">I", self._checksum)
        try:
            is_at_end = not self.read(1) and self._decompressor.eof
        except FileContentMismatch:
            return None
        unused = len(self._decompressor.unused_data)
        return self._content[: len(self._content) - unused] + checksum if is_at_end else None


def sanitize_png(content: bytes) -> bytes:
    """Return a copy, of an animation its default image. Raises FileContentMismatch."""
    chunks = _chunks(content)
    require_valid(bool(chunks))
    header_body = chunks[0][1]
    header = _Header(*_HEADER.unpack(header_body))
    header.require_valid()
    display = _finish_display_chunks(_display_chunks(chunks, header), chunks, header)
    pixels = _trim(_pixel_data(chunks), header)
    copied = [
        (b"IHDR", header_body),
        *display.items(),
        *((b"IDAT", body) for body in pixels),
        (b"IEND", b""),
    ]
    copy = _SIGNATURE + b"".join(_chunk(kind, body) for kind, body in copied)
    try:
        with Image.open(BytesIO(copy), formats=["PNG"]) as image:
            require_valid(image.size == (header.width, header.height))
            image.verify()
    except DECODE_ERRORS as error:
        raise damaged_image() from error
    return copy


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """List kind and body of the valid chunks up to the end of the image.

    Invalid ancillary chunks are skipped. Any other fault ends the image if it follows the first
    pixels; the last IDAT chunk may be cut off. Raises FileContentMismatch for earlier faults.
    """
    offset, chunks, has_pixels = len(_SIGNATURE), list[tuple[bytes, bytes]](), False
    while True:
        kind = content[offset + 4 : offset + 8]
        end = offset + 12 + int.from_bytes(content[offset : offset + 4], "big")
        body = content[offset + 8 : end - 4]
        is_cut_off, is_valid = end > len(content), content[offset:end] == _chunk(kind, body)
        is_critical = kind in _CRITICAL or not (kind[:1].isalpha() and kind[0] & _ANCILLARY_BIT)
        if is_cut_off or (is_critical and not (is_valid and kind in _CRITICAL)):
            require_valid(has_pixels or (is_cut_off and kind == b"IDAT"))
            return [*chunks, (kind, body)] if is_cut_off and kind == b"IDAT" else chunks
        if kind == b"IEND":
            return chunks
        if is_valid:
            require_valid((kind == b"IHDR") == (not chunks) or has_pixels)
            require_valid(bool(chunks) or len(body) == _HEADER.size)
            chunks.append((kind, body))
        has_pixels = has_pixels or kind == b"IDAT"
        offset = end


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _display_chunks(chunks: list[tuple[bytes, bytes]], header: _Header) -> dict[bytes, bytes]:
    """Return the first valid chunk of each kind that affects how the pixels are shown.

    Raises FileContentMismatch for a missing or second palette.
    """
    before_pixels = list(takewhile(lambda chunk: chunk[0] != b"IDAT", chunks))
    require_valid([kind for kind, _ in before_pixels].count(b"PLTE") <= 1)
    display: dict[bytes, bytes] = {}
    for kind, body in before_pixels:
        if len(body) in _SIZES.get(kind, {}).get(header.colour, ()):
            display.setdefault(kind, body)
    require_valid(header.colour != _PALETTE or b"PLTE" in display)
    return display


def _pixel_data(chunks: list[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the first run of consecutive IDAT chunks; later ones do not belong to the image."""
    rest = dropwhile(lambda chunk: chunk[0] != b"IDAT", chunks)
    return [body for _, body in takewhile(lambda chunk: chunk[0] == b"IDAT", rest)]


def _trim(pixels: list[bytes], header: _Header) -> list[bytes]:
    """Remove data after the last row. Raises FileContentMismatch."""
    content = b"".join(pixels)
    stream = _PixelStream(content)
    for _ in _rows(stream, header):
        pass
    trimmed = stream.trimmed()
    if trimmed == content:
        return pixels
    return [_recompress(content, header) if trimmed is None else trimmed]


def _recompress(content: bytes, header: _Header) -> bytes:
    """Raises FileContentMismatch."""
    compressor, size = zlib.compressobj(), 0
    pieces = []
    for rows in _rows(_PixelStream(content), header):
        pieces.append(compressor.compress(rows))
        size += len(pieces[-1])
        require_valid(size <= MAX_COPY_BYTES)
    return b"".join([*pieces, compressor.flush()])


def _rows(stream: _PixelStream, header: _Header) -> Iterator[bytes]:
    """Yield all rows of the header in pieces, and check their filter bytes.

    Raises FileContentMismatch, also if there are fewer rows.
    """
    for row_bytes, rows in header.passes():
        done, total = 0, row_bytes * rows
        while done < total:
            piece = stream.read(min(PIECE_BYTES, total - done))
            require_valid(piece != b"")
            require_valid(not piece[-done % row_bytes :: row_bytes].translate(None, _FILTERS))
            done += len(piece)
            yield piece


def _finish_display_chunks(
    display: dict[bytes, bytes], chunks: list[tuple[bytes, bytes]], header: _Header
) -> dict[bytes, bytes]:
    """Add the EXIF orientation, whose chunk may follow the pixels; remove an invalid profile."""
    exif = next((body for kind, body in chunks if kind == b"eXIf"), b"")
    orientation = read_orientation(exif.removeprefix(_EXIF))
    if orientation != NORMAL_ORIENTATION:
        display[b"eXIf"] = orientation_exif(orientation)
    if b"iCCP" in display:
        profile = _decompress_profile(display[b"iCCP"])
        if is_valid_profile(profile, colours=1 if header.colour in {_GRAY, _GRAY_ALPHA} else 3):
            # Replace the profile's name, which is free text.
            display[b"iCCP"] = b"ICC Profile\0\0" + zlib.compress(profile)
        else:
            del display[b"iCCP"]
    return display


def _decompress_profile(chunk: bytes) -> bytes:
    """Return an empty profile for invalid or too large data."""
    decompressor = zlib.decompressobj()
    try:
        profile = decompressor.decompress(chunk.partition(b"\0")[2][1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    return profile if decompressor.eof and not decompressor.unused_data else b""
