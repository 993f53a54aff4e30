"""JPEG: whole, and without anything that is not needed to show it.

Nothing is encoded again: the segments that are needed are copied, and the copy is looked at.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from domain.errors import FileContentMismatch
from resilience.images import (
    UNREADABLE,
    UPRIGHT,
    damaged,
    exif_with,
    is_profile,
    orientation_in,
    require,
    require_size,
)
from resilience.jpeg_scans import without_surplus

MAX_SEGMENTS = 10_000
# A decoder goes over all blocks of a scan's colours for each scan, however little is in it.
MAX_SCANS = 64
MAX_VISITS = 500_000_000
# Of an image in a PDF: A4 at 1,200 dots an inch, A3 at 850.
MAX_SCANNED_PIXELS = 150_000_000
# Of two bytes each, all in memory while a picture in several scans is decoded.
MAX_COEFFICIENTS = 80_000_000
# Of Huffman codes and quantisation, for all scans.
MAX_TABLE_BYTES = 1 << 16

_SOI, _EOI, _SOS = b"\xff\xd8", 0xD9, 0xDA
_APP0, _APP1, _APP2, _APP14, _APP15, _COM = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
# Arithmetic coding is not among them: no browser shows it, and decoding it costs many times more.
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_FRAMES = frozenset({_BASELINE, _EXTENDED, _PROGRESSIVE})
_TABLES = frozenset({0xC4, 0xDB, 0xDD})
_KEPT = _FRAMES | _TABLES | {_SOS}
_PROFILE_HEADER_BYTES = 14
_MARKER = re.compile(rb"\xff+([^\0\xff])", re.DOTALL)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """`samples`: of each colour the share of pixels that it has, 1 or a quarter and the like."""

    width: int
    height: int
    samples: dict[int, float]
    is_progressive: bool

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def visits(self, scan: bytes) -> float:
        """Coefficients that decoding the scan goes over."""
        count = scan[0] if scan else 0
        share = sum(self.samples.get(one, 1) for one in scan[1 : 1 + 2 * count : 2])
        return self.pixels * share


def cleaned_jpeg(content: bytes) -> bytes:
    """Keeps its orientation. Raises FileContentMismatch."""
    segments = list(_segments(content))
    frame = _frame(segments)
    require_size(frame.width, frame.height)
    _require_bounded(frame, segments)
    kept = _kept(segments, frame, orientation=_orientation(segments))
    try:
        return without_surplus(
            _joined(kept), scans=list(_scans(kept)), size=(frame.width, frame.height)
        )
    except UNREADABLE as error:
        raise damaged() from error


def bare_jpeg(content: bytes) -> bytes:
    """As it may be in a PDF, where Exif says nothing. Not decoded. Raises FileContentMismatch."""
    segments = list(_segments(content))
    frame = _frame(segments)
    require(frame.pixels <= MAX_SCANNED_PIXELS)
    _require_bounded(frame, segments)
    return _joined(_kept(segments, frame, orientation=UPRIGHT))


def _segments(content: bytes) -> Iterator[_Segment]:
    """Up to the end of the picture; what follows it is not looked at."""
    require(content.startswith(_SOI))
    place = 2
    for _ in range(MAX_SEGMENTS):
        # As decoders do: bytes between two segments are nothing.
        found = _MARKER.search(content, place)
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


def _kept(segments: list[_Segment], frame: _Frame, *, orientation: int) -> list[_Segment]:
    kept: list[_Segment] = []
    for segment in segments:
        needed = _needed(segment)
        # Of what may be there once, the first one counts.
        once = needed is not None and needed.marker in {_APP0, _APP14}
        if needed is not None and not (once and any(needed.marker == x.marker for x in kept)):
            kept.append(needed)
    # JFIF has to come before the others.
    place = 1 if kept and kept[0].marker == _APP0 else 0
    if orientation != UPRIGHT:
        kept.insert(place, _Segment(marker=_APP1, body=_EXIF + exif_with(orientation)))
        place += 1
    kept[place:place] = _profile(segments, frame)
    return kept


def _joined(kept: list[_Segment]) -> bytes:
    return _SOI + b"".join(map(bytes, kept)) + bytes((0xFF, _EOI))


def _scans(kept: list[_Segment]) -> Iterator[tuple[int, int]]:
    """First byte of the coded data of each scan in the joined segments, and the one behind it."""
    ends = accumulate((len(bytes(one)) for one in kept), initial=len(_SOI))
    next(ends)
    for segment, end in zip(kept, ends, strict=True):
        if segment.marker == _SOS:
            yield end - len(segment.scan), end


def _needed(segment: _Segment) -> _Segment | None:
    """The part of it without which the picture cannot be shown."""
    marker, body = segment.marker, segment.body
    if marker in _KEPT:
        return segment
    if marker == _APP0 and body.startswith(_JFIF):
        return _Segment(marker=marker, body=body[:_APPLICATION_BYTES] + b"\0\0")
    if marker == _APP14 and body.startswith(_ADOBE):
        return _Segment(marker=marker, body=body[:_APPLICATION_BYTES])
    require(_APP0 <= marker <= _APP15 or marker == _COM)
    return None


def _profile(segments: list[_Segment], frame: _Frame) -> list[_Segment]:
    """The segments of a colour profile, in order; none unless they are a valid one."""
    parts = sorted(
        (one for one in segments if one.marker == _APP2 and one.body.startswith(_PROFILE)),
        key=lambda one: one.body[:_PROFILE_HEADER_BYTES],
    )
    numbers = [one.body[len(_PROFILE) : _PROFILE_HEADER_BYTES] for one in parts]
    if numbers != [bytes((number, len(parts))) for number in range(1, len(parts) + 1)][:255]:
        return []
    profile = b"".join(one.body[_PROFILE_HEADER_BYTES:] for one in parts)
    return parts if is_profile(profile, colours=len(frame.samples)) else []


def _frame(segments: list[_Segment]) -> _Frame:
    frames = [segment for segment in segments if segment.marker in _FRAMES]
    require(len(frames) == 1)
    body = frames[0].body
    require(len(body) > _FRAME_BYTES)
    require(len(body) == _FRAME_BYTES + _COMPONENT_BYTES * body[_FRAME_BYTES - 1])
    height, width = struct.unpack_from(">HH", body, 1)
    numbers, samplings = body[_FRAME_BYTES::_COMPONENT_BYTES], body[_FRAME_BYTES + 1 :: 3]
    across, down = [one >> 4 for one in samplings], [one & 15 for one in samplings]
    require(all(across) and all(down))
    most = max(across) * max(down)
    shares = [x * y / most for x, y in zip(across, down, strict=True)]
    return _Frame(
        width=width,
        height=height,
        samples=dict(zip(numbers, shares, strict=True)),
        is_progressive=frames[0].marker == _PROGRESSIVE,
    )


def _require_bounded(frame: _Frame, segments: list[_Segment]) -> None:
    """Refuse pictures whose decoding takes too much memory or too many passes."""
    scans = [segment.body for segment in segments if segment.marker == _SOS]
    require(0 < len(scans) <= MAX_SCANS)
    tables = sum(len(segment.body) for segment in segments if segment.marker in _TABLES)
    require(tables <= MAX_TABLE_BYTES)
    if (frame.is_progressive or len(scans) > 1) and (
        frame.pixels * sum(frame.samples.values()) > MAX_COEFFICIENTS
        or sum(map(frame.visits, scans)) > MAX_VISITS
    ):
        raise FileContentMismatch("The image is too large for a progressive JPEG.")
