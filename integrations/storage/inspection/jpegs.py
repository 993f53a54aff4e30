"""JPEG: whole, and without anything that is not needed to show it.

Nothing is encoded again: the segments that are needed are copied, and the copy is looked at. The
segments are read as libjpeg reads them, which shows pictures in browsers: bytes between segments
are skipped, and a picture needs no mark of its end.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, takewhile

from domain.errors.exceptions import FileContentMismatch
from integrations.storage.inspection.images import (
    MAX_PIXELS,
    UNREADABLE,
    UPRIGHT,
    damaged,
    exif_with,
    is_profile,
    orientation_in,
    require,
    require_size,
)
from integrations.storage.inspection.jpeg_scans import require_whole, without_surplus

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
_DAC, _DNL = 0xCC, 0xDC
# Arithmetic coding is not among them: no browser shows it, and decoding it costs many times more.
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_FRAMES = frozenset({_BASELINE, _EXTENDED, _PROGRESSIVE})
_TABLES = frozenset({0xC4, 0xDB, 0xDD})
_KEPT = _FRAMES | _TABLES | {_SOS}
_SKIPPED = frozenset({*range(_APP0, _APP15 + 1), _COM, _DAC, _DNL})
_PROFILE_HEADER_BYTES = 14
# TEM and marks of restarts have no length and say nothing between segments.
_MARKER = re.compile(rb"\xff+([^\0\x01\xd0-\xd7\xff])", re.DOTALL)
# Stuffed bytes, restarts and filling belong to the scan.
_AFTER_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]", re.DOTALL)
_EXIF, _JFIF, _PROFILE, _ADOBE = b"Exif\0\0", b"JFIF\0", b"ICC_PROFILE\0", b"Adobe"
# Of JFIF without its thumbnail, and of Adobe's transform. Decoders ignore shorter ones.
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

    def is_filled_by(self, scans: list[bytes]) -> bool:
        """Whether the scans have all colours, and every bit of them."""
        missing = {(number, place) for number in self.samples for place in range(_COEFFICIENTS)}
        for scan in scans:
            count = scan[0] if scan else 0
            first, last, bits = (*scan[1 + 2 * count :], 0, 0, 0)[:3]
            places = range(first, last + 1) if self.is_progressive else range(_COEFFICIENTS)
            if not (self.is_progressive and bits & 15):
                missing -= {(one, at) for one in scan[1 : 1 + 2 * count : 2] for at in places}
        return not missing


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """Segments up to the last scan. `is_ended`: a mark of the end follows."""

    segments: list[_Segment]
    is_ended: bool

    def head(self) -> Iterator[_Segment]:
        """Segments before the first scan; what others say of the whole picture is too late."""
        return takewhile(lambda segment: segment.marker != _SOS, self.segments)

    def scans(self) -> list[bytes]:
        """Heads of the scans."""
        return [segment.body for segment in self.segments if segment.marker == _SOS]


def cleaned_jpeg(content: bytes) -> bytes:
    """Keeps its orientation. Raises FileContentMismatch."""
    picture = _read(content)
    frame = _frame(picture)
    require_size(frame.width, frame.height)
    _require_bounded(frame, picture)
    kept = _kept(picture, frame, orientation=_orientation(picture))
    copy, scans = _joined(kept), list(_scans(kept))
    try:
        if not picture.is_ended:
            require(frame.is_filled_by(picture.scans()))
            require_whole(copy, end=scans[-1][1])
        return _shortened(copy, frame, picture, scans)
    except UNREADABLE as error:
        raise damaged() from error


def bare_jpeg(content: bytes) -> bytes:
    """As it may be in a PDF, where Exif says nothing. Raises FileContentMismatch.

    Decoded only to find the end of a picture that has no mark of it. Programs that show PDFs look
    for the start of the picture.
    """
    picture = _read(content[max(0, content.find(_SOI)) :])
    frame = _frame(picture)
    require(frame.pixels <= MAX_SCANNED_PIXELS)
    _require_bounded(frame, picture)
    kept = _kept(picture, frame, orientation=UPRIGHT)
    copy = _joined(kept)
    if picture.is_ended or not 0 < frame.pixels <= MAX_PIXELS:
        return copy
    try:
        return _shortened(copy, frame, picture, list(_scans(kept)))
    except UNREADABLE as error:
        raise damaged() from error


def _shortened(
    copy: bytes, frame: _Frame, picture: _Picture, scans: list[tuple[int, int]]
) -> bytes:
    size = (frame.width, frame.height)
    return without_surplus(copy, scans=scans, size=size, is_ended=picture.is_ended)


def _read(content: bytes) -> _Picture:
    """Raises FileContentMismatch when it is no JPEG up to its first scan."""
    segments = list(_segments(content))
    is_ended = segments[-1].marker == _EOI
    while segments and segments[-1].marker != _SOS:
        segments.pop()
    require(bool(segments))
    return _Picture(segments=segments, is_ended=is_ended)


def _segments(content: bytes) -> Iterator[_Segment]:
    """Up to the mark of the end, or to what is no segment any more.

    Nothing is looked at that follows a scan with all that a decoder needs. Raises
    FileContentMismatch before the first scan.
    """
    require(content.startswith(_SOI))
    place, has_scan, components = len(_SOI), False, 0
    for _ in range(MAX_SEGMENTS):
        found = _next_segment(content, place)
        if found is None:
            break
        segment, place = found
        yield segment
        if segment.marker == _EOI:
            return
        if segment.marker in _FRAMES - {_PROGRESSIVE}:
            components = segment.body[_FRAME_BYTES - 1] if len(segment.body) > _FRAME_BYTES else 0
        if segment.marker == _SOS:
            has_scan = True
            if components and segment.body[:1] == bytes((components,)):
                yield from _end_at(content, place)
                return
    require(has_scan)


def _next_segment(content: bytes, place: int) -> tuple[_Segment, int] | None:
    """The segment and the place behind it; None for none that a decoder would go on with."""
    found = _MARKER.search(content, place)
    if found is None:
        return None
    marker, start = found[1][0], found.end()
    if marker == _EOI:
        return _Segment(marker=marker, body=b""), start
    # Decoders take a length that is too short for that of no content.
    length = max(2, int.from_bytes(content[start : start + 2], "big"))
    end = start + length
    if end > len(content) or marker not in _KEPT | _SKIPPED:
        return None
    after = _end_of_scan(content, end) if marker == _SOS else end
    # Bytes that only fill belong to no scan.
    scan = content[end:after].rstrip(b"\xff")
    return _Segment(marker=marker, body=content[start + 2 : end], scan=scan), after


def _end_at(content: bytes, place: int) -> Iterator[_Segment]:
    found = _MARKER.match(content, place)
    if found is not None and found[1][0] == _EOI:
        yield _Segment(marker=_EOI, body=b"")


def _end_of_scan(content: bytes, place: int) -> int:
    after = _AFTER_SCAN.search(content, place)
    return len(content) if after is None else after.start()


def _orientation(picture: _Picture) -> int:
    bodies = (segment.body for segment in picture.head() if segment.marker == _APP1)
    exif = next((body for body in bodies if body.startswith(_EXIF)), b"")
    return orientation_in(exif.removeprefix(_EXIF))


def _kept(picture: _Picture, frame: _Frame, *, orientation: int) -> list[_Segment]:
    head = [needed for segment in picture.head() if (needed := _needed(segment)) is not None]
    # Of what may be there once, the last one counts; JFIF has to come before the others.
    once = {segment.marker: segment for segment in head if segment.marker in {_APP0, _APP14}}
    kept = [once[marker] for marker in (_APP0,) if marker in once]
    if orientation != UPRIGHT:
        kept.append(_Segment(marker=_APP1, body=_EXIF + exif_with(orientation)))
    kept += _profile(picture, frame)
    kept += [once[marker] for marker in (_APP14,) if marker in once]
    kept += [segment for segment in head if segment.marker in _KEPT]
    rest = picture.segments[len(list(picture.head())) :]
    return kept + [segment for segment in rest if segment.marker in _KEPT]


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
    if marker == _APP0 and body.startswith(_JFIF) and len(body) >= _MIN_JFIF_BYTES:
        return _Segment(marker=marker, body=body[:_APPLICATION_BYTES] + b"\0\0")
    if marker == _APP14 and body.startswith(_ADOBE) and len(body) >= _APPLICATION_BYTES:
        return _Segment(marker=marker, body=body[:_APPLICATION_BYTES])
    return None


def _profile(picture: _Picture, frame: _Frame) -> list[_Segment]:
    """The segments of a colour profile, in order; none unless they are a valid one."""
    parts = sorted(
        (one for one in picture.head() if one.marker == _APP2 and one.body.startswith(_PROFILE)),
        key=lambda one: one.body[:_PROFILE_HEADER_BYTES],
    )
    numbers = [one.body[len(_PROFILE) : _PROFILE_HEADER_BYTES] for one in parts]
    if numbers != [bytes((number, len(parts))) for number in range(1, len(parts) + 1)][:255]:
        return []
    profile = b"".join(one.body[_PROFILE_HEADER_BYTES:] for one in parts)
    return parts if is_profile(profile, colours=len(frame.samples)) else []


def _frame(picture: _Picture) -> _Frame:
    frames = [segment for segment in picture.segments if segment.marker in _FRAMES]
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


def _require_bounded(frame: _Frame, picture: _Picture) -> None:
    """Refuse pictures whose decoding takes too much memory or too many passes."""
    scans = picture.scans()
    require(len(scans) <= MAX_SCANS)
    tables = sum(len(segment.body) for segment in picture.segments if segment.marker in _TABLES)
    require(tables <= MAX_TABLE_BYTES)
    if (frame.is_progressive or len(scans) > 1) and (
        frame.pixels * sum(frame.samples.values()) > MAX_COEFFICIENTS
        or sum(map(frame.visits, scans)) > MAX_VISITS
    ):
        raise FileContentMismatch(
            "The image is too large for a progressive JPEG. Send a smaller copy or a screenshot of"
            " it."
        )
