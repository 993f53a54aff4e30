"""PNG: whole, and without anything that is not needed to show it.

The chunks that are needed are copied, and those are left out that libpng, which shows pictures in
browsers, leaves out too. The pixels are unpacked piece by piece, and not decoded, for that takes up
to 160 MB; they are packed again only when their packed form has more in it than they need.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import dropwhile, takewhile

from PIL import Image

from domain.documents import MAX_BYTES
from domain.errors.exceptions import FileContentMismatch
from integrations.storage.inspection.images import (
    MAX_PROFILE_BYTES,
    UNREADABLE,
    UPRIGHT,
    damaged,
    exif_with,
    is_profile,
    orientation_in,
    require,
    require_size,
)

PIECE_BYTES = 1024 * 1024
MAX_COPY_BYTES = 2 * MAX_BYTES

_START = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">IIBBBBB")
# What says how to show the pixels, and the bytes that it has for each kind of colour.
_GRAY, _RGB, _PALETTE, _GRAY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
_COLOURS = (_GRAY, _RGB, _PALETTE, _GRAY_ALPHA, _RGB_ALPHA)
_SIZES: dict[bytes, dict[int, range]] = {
    b"gAMA": dict.fromkeys(_COLOURS, range(4, 5)),
    b"cHRM": dict.fromkeys(_COLOURS, range(32, 33)),
    b"sRGB": dict.fromkeys(_COLOURS, range(1, 2)),
    b"iCCP": dict.fromkeys(_COLOURS, range(1, MAX_PROFILE_BYTES + 1)),
    b"sBIT": {one: range(n, n + 1) for one, n in zip(_COLOURS, (1, 3, 3, 2, 4), strict=True)},
    b"PLTE": dict.fromkeys((_RGB, _PALETTE, _RGB_ALPHA), range(3, 769, 3)),
    b"tRNS": {_GRAY: range(2, 3), _RGB: range(6, 7), _PALETTE: range(1, 257)},
    b"bKGD": {one: range(n, n + 1) for one, n in zip(_COLOURS, (2, 6, 1, 2, 6), strict=True)},
    b"pHYs": dict.fromkeys(_COLOURS, range(9, 10)),
}
_EXIF = b"Exif\0\0"
_NEEDED = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))
_IS_OPTIONAL = 0x20
_ZLIB_HEADER_BYTES, _HAS_DICTIONARY = 2, 0x20
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# First column, step of columns, first row, step of rows.
_ONE_PASS = ((0, 1, 0, 1),)
_ADAM7 = (
    *((0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4)),
    *((0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)),
)
_GRAYS = frozenset((_GRAY, _GRAY_ALPHA))
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

    def require_sound(self) -> None:
        """Raises FileContentMismatch."""
        require_size(self.width, self.height)
        require(self.depth in _DEPTHS.get(self.colour, ()))
        require(self.compression == 0 and self.filtering == 0 and self.interlacing in {0, 1})

    def passes(self) -> Iterator[tuple[int, int]]:
        """Bytes of a row, the first of which is its filter, and rows."""
        for column, columns, row, rows in _ADAM7 if self.interlacing else _ONE_PASS:
            across = max(0, -((column - self.width) // columns))
            down = max(0, -((row - self.height) // rows))
            if across and down:
                yield 1 + (across * self.depth * _CHANNELS[self.colour] + 7) // 8, down


class _Packed:
    """Pixels as they are packed. Damage behind the last of them does not matter (RFC 1950)."""

    def __init__(self, content: bytes) -> None:
        """Raises FileContentMismatch."""
        self._content = content
        self._waiting = memoryview(content)[_ZLIB_HEADER_BYTES:]
        self._unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
        self._checksum = 1
        method, flags = (*content[:_ZLIB_HEADER_BYTES], 0, 0)[:2]
        is_deflate = method & 15 == zlib.DEFLATED and (method << 8 | flags) % 31 == 0
        require(is_deflate and not flags & _HAS_DICTIONARY)

    def take(self, limit: int) -> bytes:
        """At most so many bytes."""
        if self._unpacking.eof:
            return b""
        try:
            unpacked = self._unpacking.decompress(self._waiting, limit)
        except zlib.error as error:
            raise damaged() from error
        self._waiting = memoryview(self._unpacking.unconsumed_tail)
        self._checksum = zlib.adler32(unpacked, self._checksum)
        return unpacked

    def exact(self) -> bytes | None:
        """The same without what follows the pixels; None if there are more than were taken."""
        checksum = struct.pack(">I", self._checksum)
        try:
            is_at_end = not self.take(1) and self._unpacking.eof
        except FileContentMismatch:
            return None
        rest = len(self._unpacking.unused_data)
        return self._content[: len(self._content) - rest] + checksum if is_at_end else None


def cleaned_png(content: bytes) -> bytes:
    """Of an animation the picture that stands for it. Raises FileContentMismatch."""
    chunks = _chunks(content)
    require(bool(chunks))
    start = chunks[0][1]
    header = _Header(*_HEADER.unpack(start))
    header.require_sound()
    shown = _simplified(_shown(chunks, header), chunks, header)
    pixels = _cut(_pixels(chunks), header)
    parts = [(b"IHDR", start), *shown.items(), *((b"IDAT", one) for one in pixels), (b"IEND", b"")]
    copy = _START + b"".join(_chunk(kind, body) for kind, body in parts)
    try:
        with Image.open(BytesIO(copy), formats=["PNG"]) as image:
            require(image.size == (header.width, header.height))
            image.verify()
    except UNREADABLE as error:
        raise damaged() from error
    return copy


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and body of those that are whole, up to the end of the picture.

    Faulty chunks that are not needed are left out. Behind the first pixels faults end the picture;
    the last of them may be cut off. Raises FileContentMismatch for faults before.
    """
    place, chunks, has_pixels = len(_START), list[tuple[bytes, bytes]](), False
    while True:
        kind = content[place + 4 : place + 8]
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        body = content[place + 8 : end - 4]
        is_cut, is_sound = end > len(content), content[place:end] == _chunk(kind, body)
        is_needed = kind in _NEEDED or not (kind[:1].isalpha() and kind[0] & _IS_OPTIONAL)
        if is_cut or (is_needed and not (is_sound and kind in _NEEDED)):
            require(has_pixels or (is_cut and kind == b"IDAT"))
            return [*chunks, (kind, body)] if is_cut and kind == b"IDAT" else chunks
        if kind == b"IEND":
            return chunks
        if is_sound:
            require((kind == b"IHDR") == (not chunks) or has_pixels)
            require(bool(chunks) or len(body) == _HEADER.size)
            chunks.append((kind, body))
        has_pixels = has_pixels or kind == b"IDAT"
        place = end


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _shown(chunks: list[tuple[bytes, bytes]], header: _Header) -> dict[bytes, bytes]:
    """Chunks that say how to show the pixels, by kind. Of several that fit the first one counts.

    Raises FileContentMismatch for a palette that is missing or there twice.
    """
    before = list(takewhile(lambda chunk: chunk[0] != b"IDAT", chunks))
    require([kind for kind, _ in before].count(b"PLTE") <= 1)
    shown: dict[bytes, bytes] = {}
    for kind, body in before:
        if len(body) in _SIZES.get(kind, {}).get(header.colour, ()):
            shown.setdefault(kind, body)
    require(header.colour != _PALETTE or b"PLTE" in shown)
    return shown


def _pixels(chunks: list[tuple[bytes, bytes]]) -> list[bytes]:
    """The first of them that follow each other; others are of no picture."""
    rest = dropwhile(lambda chunk: chunk[0] != b"IDAT", chunks)
    return [body for _, body in takewhile(lambda chunk: chunk[0] == b"IDAT", rest)]


def _cut(pixels: list[bytes], header: _Header) -> list[bytes]:
    """Without what follows the last row. Raises FileContentMismatch."""
    whole = b"".join(pixels)
    packed = _Packed(whole)
    for _ in _rows(packed, header):
        pass
    exact = packed.exact()
    if exact == whole:
        return pixels
    return [_packed_again(whole, header) if exact is None else exact]


def _packed_again(whole: bytes, header: _Header) -> bytes:
    """Raises FileContentMismatch."""
    packing, size = zlib.compressobj(), 0
    pieces = []
    for rows in _rows(_Packed(whole), header):
        pieces.append(packing.compress(rows))
        size += len(pieces[-1])
        require(size <= MAX_COPY_BYTES)
    return b"".join([*pieces, packing.flush()])


def _rows(packed: _Packed, header: _Header) -> Iterator[bytes]:
    """Those that are declared, in pieces. Raises FileContentMismatch when there are fewer."""
    for row_bytes, rows in header.passes():
        done, whole = 0, row_bytes * rows
        while done < whole:
            piece = packed.take(min(PIECE_BYTES, whole - done))
            require(piece != b"")
            require(not piece[-done % row_bytes :: row_bytes].translate(None, _FILTERS))
            done += len(piece)
            yield piece


def _simplified(
    shown: dict[bytes, bytes], chunks: list[tuple[bytes, bytes]], header: _Header
) -> dict[bytes, bytes]:
    """Add the orientation of Exif, which may follow the pixels; keep a profile if it is valid."""
    exif = next((body for kind, body in chunks if kind == b"eXIf"), b"")
    orientation = orientation_in(exif.removeprefix(_EXIF))
    if orientation != UPRIGHT:
        shown[b"eXIf"] = exif_with(orientation)
    if b"iCCP" in shown:
        profile = _unpacked_profile(shown[b"iCCP"])
        if is_profile(profile, colours=1 if header.colour in _GRAYS else 3):
            # Its name could be anything.
            shown[b"iCCP"] = b"ICC Profile\0\0" + zlib.compress(profile)
        else:
            del shown[b"iCCP"]
    return shown


def _unpacked_profile(chunk: bytes) -> bytes:
    """Empty when it cannot be unpacked, or to more than a profile can have."""
    unpacking = zlib.decompressobj()
    try:
        profile = unpacking.decompress(chunk.partition(b"\0")[2][1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    return profile if unpacking.eof and not unpacking.unused_data else b""
