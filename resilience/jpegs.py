"""JPEG: whole, and without anything that is not needed to show it.

Nothing is encoded again: the segments that are needed are copied, and the copy is looked at.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from domain.errors import FileContentMismatch
from resilience.images import (
    UNREADABLE,
    UPRIGHT,
    damaged,
    exif_with,
    orientation_in,
    require,
    require_size,
)

MAX_SEGMENTS = 10_000
# A decoder goes over the whole picture for each scan, however little is in it.
MAX_SCANS = 64
# Of two bytes each, all in memory while a picture in several scans is decoded.
MAX_COEFFICIENTS = 80_000_000

_SOI, _EOI, _SOS = b"\xff\xd8", 0xD9, 0xDA
_APP0, _APP1, _APP2, _APP14, _APP15, _COM = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
_FRAMES, _PROGRESSIVE = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA}), frozenset({0xC2, 0xCA})
_KEPT = _FRAMES | {0xC4, 0xCC, 0xDB, 0xDD, _SOS}
_MARKER = re.compile(rb"\xff+([^\xff])", re.DOTALL)
# Stuffed bytes, restarts and filling belong to the scan.
_AFTER_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]", re.DOTALL)
_EXIF, _JFIF, _PROFILE, _ADOBE = b"Exif\0\0", b"JFIF\0", b"ICC_PROFILE\0", b"Adobe"
# Of JFIF without its thumbnail, and of Adobe's transform.
_APPLICATION_BYTES = 12
_FRAME_BYTES, _COMPONENT_BYTES = 6, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    marker: int
    body: bytes
    scan: bytes = b""

    def __bytes__(self) -> bytes:
        return struct.pack(">BBH", 0xFF, self.marker, len(self.body) + 2) + self.body + self.scan


def cleaned_jpeg(content: bytes) -> bytes:
    """Keeps its orientation. Raises FileContentMismatch."""
    segments = list(_segments(content))
    size = _frame_size(segments)
    copy = _joined(segments, orientation=_orientation(segments))
    try:
        with Image.open(BytesIO(copy), formats=["JPEG"]) as image:
            require(image.size == size)
            # At an eighth of the scale every scan is still read to its end.
            image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()
    except UNREADABLE as error:
        raise damaged() from error
    return copy


def bare_jpeg(content: bytes) -> bytes:
    """As it may be in a PDF, where Exif says nothing. Not decoded. Raises FileContentMismatch."""
    return _joined(list(_segments(content)), orientation=UPRIGHT)


def _segments(content: bytes) -> Iterator[_Segment]:
    """Up to the end of the picture; what follows it is not looked at."""
    require(content.startswith(_SOI))
    place = 2
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.match(content, place)
        if found is None:
            break
        marker, start = found[1][0], found.end()
        if marker == _EOI:
            return
        length = int.from_bytes(content[start : start + 2], "big")
        body = content[start + 2 : start + length]
        require(len(body) == length - 2)
        end = start + length
        place = _end_of_scan(content, end) if marker == _SOS else end
        yield _Segment(marker=marker, body=body, scan=content[end:place])
    raise damaged()


def _end_of_scan(content: bytes, place: int) -> int:
    after = _AFTER_SCAN.search(content, place)
    if after is None:
        raise damaged()
    return after.start()


def _orientation(segments: list[_Segment]) -> int:
    exif = (one.body for one in segments if one.marker == _APP1 and one.body.startswith(_EXIF))
    return orientation_in(next(exif, b"").removeprefix(_EXIF))


def _joined(segments: list[_Segment], *, orientation: int) -> bytes:
    kept = [part for segment in segments if (part := _needed(segment)) is not None]
    if orientation != UPRIGHT:
        # JFIF has to come before it.
        place = 1 if kept and kept[0].marker == _APP0 else 0
        kept.insert(place, _Segment(marker=_APP1, body=_EXIF + exif_with(orientation)))
    return _SOI + b"".join(map(bytes, kept)) + bytes((0xFF, _EOI))


def _needed(segment: _Segment) -> _Segment | None:
    """What of it is needed to show the picture."""
    marker, body = segment.marker, segment.body
    if marker in _KEPT or (marker == _APP2 and body.startswith(_PROFILE)):
        return segment
    if marker == _APP0 and body.startswith(_JFIF):
        return _Segment(marker=marker, body=body[:_APPLICATION_BYTES] + b"\0\0")
    if marker == _APP14 and body.startswith(_ADOBE):
        return _Segment(marker=marker, body=body[:_APPLICATION_BYTES])
    require(_APP0 <= marker <= _APP15 or marker == _COM)
    return None


def _frame_size(segments: list[_Segment]) -> tuple[int, int]:
    """Width and height. Refuses what would take too much memory or too many passes."""
    frames = [segment for segment in segments if segment.marker in _FRAMES]
    scans = sum(segment.marker == _SOS for segment in segments)
    require(len(frames) == 1 and 0 < scans <= MAX_SCANS)
    frame = frames[0].body
    require(len(frame) > _FRAME_BYTES)
    require(len(frame) == _FRAME_BYTES + _COMPONENT_BYTES * frame[_FRAME_BYTES - 1])
    height, width = struct.unpack_from(">HH", frame, 1)
    require_size(width, height)
    if frames[0].marker in _PROGRESSIVE or scans > 1:
        _require_coefficients(width * height, frame[_FRAME_BYTES + 1 :: _COMPONENT_BYTES])
    return width, height


def _require_coefficients(pixels: int, samplings: bytes) -> None:
    across, down = [one >> 4 for one in samplings], [one & 15 for one in samplings]
    samples = sum(x * y for x, y in zip(across, down, strict=True))
    if pixels * samples > MAX_COEFFICIENTS * max(across) * max(down):
        raise FileContentMismatch("The image is too large for a progressive JPEG.")
