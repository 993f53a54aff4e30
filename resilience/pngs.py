"""PNG: whole, and without anything that is not needed to show it.

Nothing is encoded again: the chunks that are needed are copied. The pixels are unpacked piece by
piece, and not decoded, for that takes up to 160 MB.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from resilience.images import (
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

_START = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">IIBBBBB")
# What is needed, and the most bytes that it can have.
_MAX_BYTES = {
    b"IHDR": _HEADER.size,
    b"gAMA": 4,
    b"cHRM": 32,
    b"sRGB": 1,
    b"iCCP": MAX_PROFILE_BYTES,
    b"sBIT": 4,
    b"PLTE": 768,
    b"tRNS": 256,
    b"bKGD": 6,
    b"pHYs": 9,
    b"eXIf": 1 << 16,
    b"IEND": 0,
}
# May come after the pixels.
_LATE = frozenset((b"eXIf", b"IEND"))
_IS_OPTIONAL = 0x20
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_WITH_PALETTE = 3
_COLOUR_BYTES = 3
# First column, step of columns, first row, step of rows.
_ONE_PASS = ((0, 1, 0, 1),)
_ADAM7 = (
    *((0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4)),
    *((0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)),
)
_GRAYS = frozenset((0, 4))
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

    def require_sound(self, *, palette: bytes | None) -> None:
        require_size(self.width, self.height)
        require(self.depth in _DEPTHS.get(self.colour, ()))
        require(self.compression == 0 and self.filtering == 0 and self.interlacing in {0, 1})
        require(palette is not None or self.colour != _WITH_PALETTE)
        require(palette is None or (len(palette) > 0 and len(palette) % _COLOUR_BYTES == 0))

    def passes(self) -> Iterator[tuple[int, int]]:
        """Bytes of a row, the first of which is its filter, and rows."""
        for column, columns, row, rows in _ADAM7 if self.interlacing else _ONE_PASS:
            across = max(0, -((column - self.width) // columns))
            down = max(0, -((row - self.height) // rows))
            if across and down:
                yield 1 + (across * self.depth * _CHANNELS[self.colour] + 7) // 8, down


class _Packed:
    def __init__(self, content: bytes) -> None:
        self._waiting = content
        self._unpacking = zlib.decompressobj()

    def take(self, limit: int) -> bytes:
        """At most so many bytes."""
        try:
            unpacked = self._unpacking.decompress(self._waiting, limit)
        except zlib.error as error:
            raise damaged() from error
        self._waiting = self._unpacking.unconsumed_tail
        return unpacked

    def is_at_end(self) -> bool:
        return not self.take(1) and self._unpacking.eof and not self._unpacking.unused_data


def cleaned_png(content: bytes) -> bytes:
    """Of an animation the picture that stands for it. Raises FileContentMismatch."""
    chunks, pixels = _read(content)
    header = _Header(*_HEADER.unpack(chunks[b"IHDR"]))
    header.require_sound(palette=chunks.get(b"PLTE"))
    _require_rows(_Packed(b"".join(pixels)), header)
    _simplify(chunks, header)
    parts = [*chunks.items(), *((b"IDAT", one) for one in pixels), (b"IEND", b"")]
    copy = _START + b"".join(_chunk(kind, body) for kind, body in parts)
    try:
        with Image.open(BytesIO(copy), formats=["PNG"]) as image:
            require(image.size == (header.width, header.height))
            image.verify()
    except UNREADABLE as error:
        raise damaged() from error
    return copy


def _read(content: bytes) -> tuple[dict[bytes, bytes], list[bytes]]:
    """What is kept of what comes before the pixels, by kind; and these, as they were divided."""
    chunks: dict[bytes, bytes] = {}
    pixels: list[bytes] = []
    previous = b""
    for kind, body in _chunks(content):
        require((kind == b"IHDR") == (previous == b""))
        if kind == b"IDAT":
            require(not pixels or previous == b"IDAT")
            pixels.append(body)
        elif kind in _MAX_BYTES:
            require(len(body) <= _MAX_BYTES[kind] and kind not in chunks)
            require(not pixels or kind in _LATE)
            chunks[kind] = body
        else:
            require(bool(kind[0] & _IS_OPTIONAL))
        previous = kind
    require(len(chunks[b"IHDR"]) == _HEADER.size)
    del chunks[b"IEND"]
    return chunks, pixels


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body, up to the end of the picture; what follows it is not looked at."""
    place, kind = len(_START), b""
    while kind != b"IEND":
        kind = content[place + 4 : place + 8]
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        require(end <= len(content))
        body = content[place + 8 : end - 4]
        require(content[place:end] == _chunk(kind, body))
        yield kind, body
        place = end


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _require_rows(packed: _Packed, header: _Header) -> None:
    """All that are declared, and nothing more."""
    for row_bytes, rows in header.passes():
        done, whole = 0, row_bytes * rows
        while done < whole:
            piece = packed.take(min(PIECE_BYTES, whole - done))
            require(piece != b"")
            require(not piece[-done % row_bytes :: row_bytes].translate(None, _FILTERS))
            done += len(piece)
    require(packed.is_at_end())


def _simplify(chunks: dict[bytes, bytes], header: _Header) -> None:
    """Leave the orientation of Exif, and a profile only if it is a valid one."""
    orientation = orientation_in(chunks.pop(b"eXIf", b""))
    if orientation != UPRIGHT:
        chunks[b"eXIf"] = exif_with(orientation)
    if b"iCCP" in chunks:
        profile = _unpacked_profile(chunks[b"iCCP"])
        if is_profile(profile, colours=1 if header.colour in _GRAYS else 3):
            # Its name could be anything.
            chunks[b"iCCP"] = b"ICC Profile\0\0" + zlib.compress(profile)
        else:
            del chunks[b"iCCP"]


def _unpacked_profile(chunk: bytes) -> bytes:
    """Empty when it cannot be unpacked, or to more than a profile can have."""
    unpacking = zlib.decompressobj()
    try:
        profile = unpacking.decompress(chunk.partition(b"\0")[2][1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    return profile if unpacking.eof and not unpacking.unused_data else b""
