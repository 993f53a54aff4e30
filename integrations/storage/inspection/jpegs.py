"""Sanitizing of JPEG: copy only the segments that are needed to show the image.

The image is not re-encoded. Segments are read like libjpeg reads them in browsers: bytes between
segments are skipped, and the end marker may be missing. The copy is decoded to check it.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, takewhile

from domain.errors.exceptions import FileContentMismatch
from integrations.storage.inspection.images import (
    DECODE_ERRORS,
    MAX_PIXELS,
    NORMAL_ORIENTATION,
    damaged_image,
    is_valid_profile,
    orientation_exif,
    read_orientation,
    require_size,
    require_valid,
)
from integrations.storage.inspection.jpeg_scans import require_complete, strip_surplus

MAX_SEGMENTS = 10_000
# A decoder visits all blocks of a scan's components in each scan, however little data it has.
MAX_SCANS = 64
MAX_VISITS = 500_000_000
# Their number is stored in one byte.
MAX_PROFILE_SEGMENTS = 255
# Limit for images in a PDF: A4 at 1,200 dpi, A3 at 850 dpi.
MAX_SCANNED_PIXELS = 150_000_000
# A decoder keeps all coefficients of a multi-scan image in memory, two bytes each.
MAX_COEFFICIENTS = 80_000_000
# Total size of Huffman and quantization tables.
MAX_TABLE_BYTES = 1 << 16

_SOI, _EOI, _SOS = b"\xff\xd8", 0xD9, 0xDA
_APP0, _APP1, _APP2, _APP14, _APP15, _COM = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
_DAC, _DNL = 0xCC, 0xDC
# Arithmetic coding is refused: no browser shows it, and decoding it is many times slower.
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_FRAMES = frozenset({_BASELINE, _EXTENDED, _PROGRESSIVE})
_TABLES = frozenset({0xC4, 0xDB, 0xDD})
_NEEDED = _FRAMES | _TABLES | {_SOS}
_SKIPPED = frozenset({*range(_APP0, _APP15 + 1), _COM, _DAC, _DNL})
_PROFILE_HEADER_BYTES = 14
# TEM and restart markers have no length and no meaning between segments.
_MARKER = re.compile(rb"\xff+([^\0\x01\xd0-\xd7\xff])", re.DOTALL)
# Stuffed zero bytes, restart markers and fill bytes belong to the scan.
_AFTER_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]", re.DOTALL)
_EXIF, _JFIF, _PROFILE, _ADOBE = b"Exif\0\0", b"JFIF\0", b"ICC_PROFILE\0", b"Adobe"
# Length of JFIF without its thumbnail and of Adobe's transform. Decoders ignore shorter segments.
_APPLICATION_BYTES = 12
_MIN_JFIF_BYTES = 14
_COEFFICIENTS = 64
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
    """The frame header. `samples` maps each component to its samples per pixel, at most 1."""

    width: int
    height: int
    samples: dict[int, float]
    is_progressive: bool

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def visits(self, scan: bytes) -> float:
        """Return the number of coefficients that decoding the scan visits."""
        count = scan[0] if scan else 0
        components = scan[1 : 1 + 2 * count : 2]
        return self.pixels * sum(self.samples.get(component, 1) for component in components)

    def is_covered_by(self, scans: list[bytes]) -> bool:
        """Return whether the scans have all coefficients of all components in full precision."""
        missing = {
            (component, index) for component in self.samples for index in range(_COEFFICIENTS)
        }
        for scan in scans:
            count = scan[0] if scan else 0
            first, last, precision = (*scan[1 + 2 * count :], 0, 0, 0)[:3]
            indexes = range(first, last + 1) if self.is_progressive else range(_COEFFICIENTS)
            is_final = not (self.is_progressive and precision & 15)
            if is_final:
                components = scan[1 : 1 + 2 * count : 2]
                missing -= {(component, index) for component in components for index in indexes}
        return not missing


@dataclass(frozen=True, slots=True, kw_only=True)
class _Jpeg:
    """Segments up to the last scan. `is_ended`: an end marker follows."""

    segments: list[_Segment]
    is_ended: bool

    def head(self) -> Iterator[_Segment]:
        """Segments before the first scan. Metadata after it does not apply."""
        return takewhile(lambda segment: segment.marker != _SOS, self.segments)

    def scans(self) -> list[bytes]:
        """Headers of the scans."""
        return [segment.body for segment in self.segments if segment.marker == _SOS]


def sanitize_jpeg(content: bytes) -> bytes:
    """Return a copy with orientation and colour profile. Raises FileContentMismatch."""
    jpeg = _read(content)
    frame = _frame(jpeg)
    require_size(frame.width, frame.height)
    _require_bounded(frame, jpeg)
    needed = _needed_segments(jpeg, frame, orientation=_orientation(jpeg))
    copy, scans = _join(needed), list(_scan_ranges(needed))
    try:
        if not jpeg.is_ended:
            require_valid(frame.is_covered_by(jpeg.scans()))
            require_complete(copy, end=scans[-1][1])
        return _strip_surplus(copy, frame, jpeg, scans)
    except DECODE_ERRORS as error:
        raise damaged_image() from error


def sanitize_embedded_jpeg(content: bytes) -> bytes:
    """Return a copy for a PDF, in which EXIF has no meaning. Raises FileContentMismatch.

    Bytes before the image are ignored, as PDF readers do. The image is decoded only if its end
    marker is missing.
    """
    jpeg = _read(content[max(0, content.find(_SOI)) :])
    frame = _frame(jpeg)
    require_valid(frame.pixels <= MAX_SCANNED_PIXELS)
    _require_bounded(frame, jpeg)
    needed = _needed_segments(jpeg, frame, orientation=NORMAL_ORIENTATION)
    copy = _join(needed)
    if jpeg.is_ended or not 0 < frame.pixels <= MAX_PIXELS:
        return copy
    try:
        return _strip_surplus(copy, frame, jpeg, list(_scan_ranges(needed)))
    except DECODE_ERRORS as error:
        raise damaged_image() from error


def _strip_surplus(copy: bytes, frame: _Frame, jpeg: _Jpeg, scans: list[tuple[int, int]]) -> bytes:
    size = (frame.width, frame.height)
    return strip_surplus(copy, scans=scans, size=size, is_ended=jpeg.is_ended)


def _read(content: bytes) -> _Jpeg:
    """Raises FileContentMismatch if the content is not a JPEG up to its first scan."""
    segments = list(_segments(content))
    is_ended = segments[-1].marker == _EOI
    while segments and segments[-1].marker != _SOS:
        segments.pop()
    require_valid(bool(segments))
    return _Jpeg(segments=segments, is_ended=is_ended)


def _segments(content: bytes) -> Iterator[_Segment]:
    """Yield segments up to the end marker or the first invalid one.

    After a scan with all components of a sequential image, only an end marker is read. Raises
    FileContentMismatch for an invalid segment before the first scan.
    """
    require_valid(content.startswith(_SOI))
    offset, has_scan, components = len(_SOI), False, 0
    for _ in range(MAX_SEGMENTS):
        segment, offset = _next_segment(content, offset)
        if segment is None:
            break
        yield segment
        if segment.marker == _EOI:
            return
        if segment.marker in _FRAMES - {_PROGRESSIVE}:
            components = segment.body[_FRAME_BYTES - 1] if len(segment.body) > _FRAME_BYTES else 0
        if segment.marker == _SOS:
            has_scan = True
            if components and segment.body[:1] == bytes((components,)):
                yield from _end_marker(content, offset)
                return
    require_valid(has_scan)


def _next_segment(content: bytes, offset: int) -> tuple[_Segment | None, int]:
    """Return the segment and the offset after it; None for an invalid segment."""
    match = _MARKER.search(content, offset)
    if match is None:
        return None, offset
    marker, start = match[1][0], match.end()
    if marker == _EOI:
        return _Segment(marker=marker, body=b""), start
    # Decoders treat a length below 2 as an empty segment.
    length = max(2, int.from_bytes(content[start : start + 2], "big"))
    end = start + length
    if end > len(content) or marker not in _NEEDED | _SKIPPED:
        return None, offset
    after = _scan_end(content, end) if marker == _SOS else end
    # Fill bytes before the next marker do not belong to the scan.
    scan = content[end:after].rstrip(b"\xff")
    return _Segment(marker=marker, body=content[start + 2 : end], scan=scan), after


def _end_marker(content: bytes, offset: int) -> Iterator[_Segment]:
    match = _MARKER.match(content, offset)
    if match is not None and match[1][0] == _EOI:
        yield _Segment(marker=_EOI, body=b"")


def _scan_end(content: bytes, offset: int) -> int:
    match = _AFTER_SCAN.search(content, offset)
    return len(content) if match is None else match.start()


def _orientation(jpeg: _Jpeg) -> int:
    bodies = (segment.body for segment in jpeg.head() if segment.marker == _APP1)
    exif = next((body for body in bodies if body.startswith(_EXIF)), b"")
    return read_orientation(exif.removeprefix(_EXIF))


def _needed_segments(jpeg: _Jpeg, frame: _Frame, *, orientation: int) -> list[_Segment]:
    """List the segments of the copy: JFIF, EXIF, profile, Adobe, tables, frame and scans."""
    head = [reduced for segment in jpeg.head() if (reduced := _reduce(segment)) is not None]
    # Decoders use the last JFIF and Adobe segment; JFIF has to come first.
    unique = {segment.marker: segment for segment in head if segment.marker in {_APP0, _APP14}}
    needed = [unique[_APP0]] if _APP0 in unique else []
    if orientation != NORMAL_ORIENTATION:
        needed.append(_Segment(marker=_APP1, body=_EXIF + orientation_exif(orientation)))
    needed += _profile(jpeg, frame)
    needed += [unique[_APP14]] if _APP14 in unique else []
    needed += [segment for segment in head if segment.marker in _NEEDED]
    rest = jpeg.segments[len(list(jpeg.head())) :]
    return needed + [segment for segment in rest if segment.marker in _NEEDED]


def _join(segments: list[_Segment]) -> bytes:
    return _SOI + b"".join(map(bytes, segments)) + bytes((0xFF, _EOI))


def _scan_ranges(segments: list[_Segment]) -> Iterator[tuple[int, int]]:
    """Yield start and end (exclusive) of the coded data of each scan in the joined segments."""
    ends = accumulate((len(bytes(segment)) for segment in segments), initial=len(_SOI))
    next(ends)
    for segment, end in zip(segments, ends, strict=True):
        if segment.marker == _SOS:
            yield end - len(segment.scan), end


def _reduce(segment: _Segment) -> _Segment | None:
    """Return the part of a segment that affects the image; None if there is none."""
    marker, body = segment.marker, segment.body
    if marker in _NEEDED:
        return segment
    if marker == _APP0 and body.startswith(_JFIF) and len(body) >= _MIN_JFIF_BYTES:
        return _Segment(marker=marker, body=body[:_APPLICATION_BYTES] + b"\0\0")
    if marker == _APP14 and body.startswith(_ADOBE) and len(body) >= _APPLICATION_BYTES:
        return _Segment(marker=marker, body=body[:_APPLICATION_BYTES])
    return None


def _profile(jpeg: _Jpeg, frame: _Frame) -> list[_Segment]:
    """Return the segments of a valid colour profile in order; none for an invalid profile."""
    segments = sorted(
        (
            segment
            for segment in jpeg.head()
            if segment.marker == _APP2 and segment.body.startswith(_PROFILE)
        ),
        key=lambda segment: segment.body[:_PROFILE_HEADER_BYTES],
    )
    numbers = [segment.body[len(_PROFILE) : _PROFILE_HEADER_BYTES] for segment in segments]
    count = len(segments)
    if count > MAX_PROFILE_SEGMENTS or numbers != [
        bytes((number, count)) for number in range(1, count + 1)
    ]:
        return []
    profile = b"".join(segment.body[_PROFILE_HEADER_BYTES:] for segment in segments)
    return segments if is_valid_profile(profile, colours=len(frame.samples)) else []


def _frame(jpeg: _Jpeg) -> _Frame:
    """Raises FileContentMismatch unless there is exactly one valid frame header."""
    frames = [segment for segment in jpeg.segments if segment.marker in _FRAMES]
    require_valid(len(frames) == 1)
    body = frames[0].body
    require_valid(len(body) > _FRAME_BYTES)
    require_valid(len(body) == _FRAME_BYTES + _COMPONENT_BYTES * body[_FRAME_BYTES - 1])
    height, width = struct.unpack_from(">HH", body, 1)
    components = body[_FRAME_BYTES::_COMPONENT_BYTES]
    factors = body[_FRAME_BYTES + 1 :: _COMPONENT_BYTES]
    horizontal, vertical = [factor >> 4 for factor in factors], [factor & 15 for factor in factors]
    require_valid(all(horizontal) and all(vertical))
    full = max(horizontal) * max(vertical)
    shares = [x * y / full for x, y in zip(horizontal, vertical, strict=True)]
    return _Frame(
        width=width,
        height=height,
        samples=dict(zip(components, shares, strict=True)),
        is_progressive=frames[0].marker == _PROGRESSIVE,
    )


def _require_bounded(frame: _Frame, jpeg: _Jpeg) -> None:
    """Raises FileContentMismatch if decoding would take too much memory or too many passes."""
    scans = jpeg.scans()
    require_valid(len(scans) <= MAX_SCANS)
    tables = sum(len(segment.body) for segment in jpeg.segments if segment.marker in _TABLES)
    require_valid(tables <= MAX_TABLE_BYTES)
    if (frame.is_progressive or len(scans) > 1) and (
        frame.pixels * sum(frame.samples.values()) > MAX_COEFFICIENTS
        or sum(map(frame.visits, scans)) > MAX_VISITS
    ):
        raise FileContentMismatch(
            "The image is too large for a progressive JPEG. Send a smaller copy or a screenshot of"
            " it."
        )
