"""Entropy-coded data of JPEG scans: check completeness and remove surplus bytes.

A decoder ignores bytes between the last block of a scan and the next marker, which could hide
other data. Surplus is found by decoding: bytes that do not change the pixels are not needed.
"""

from collections.abc import Callable
from hashlib import sha256
from io import BytesIO

from PIL import Image

from integrations.storage.inspection.images import require_valid

# A scan is searched for surplus only if cutting so many bytes off its end changes no pixel.
SURPLUS_BYTES = 16
# In images with several scans, all scans are checked up to this size, else the last one only.
MAX_CHECKED_PIXELS = 500_000
# Searching takes ten times as long as decoding. Larger images are only refused if cutting
# LARGE_SURPLUS_BYTES off the last scan changes no pixel.
MAX_SEARCHED_PIXELS = 12_500_000
LARGE_SURPLUS_BYTES = 64
# libjpeg reads a few bytes ahead.
READ_AHEAD_BYTES = 8
STRIP_ROWS = 16
# Viewers show images without an end marker that lack some rows. Up to two strips may be missing (a
# block is one strip high, and chroma upsampling reaches into the next), but none in small images.
MAX_MISSING_STRIPS, SMALL_STRIPS = 2, 16

_DECODER_DONE = -1
# Arbitrary further scan data with all restart markers that a decoder may wait for.
_OTHER_BITS = bytes(range(1, 255, 2)) + b"\x5a\xc3\x17\xb8" * 8
_CONTINUATION = b"".join(_OTHER_BITS + bytes((0xFF, 0xD0 + number)) for number in range(8))


def require_complete(copy: bytes, *, end: int) -> None:
    """Check that the scan ending at `end` is complete: more data must not change the pixels.

    Raises images.DECODE_ERRORS, FileContentMismatch.
    """
    strips = _strip_digests(copy)
    continued = _strip_digests(copy[:end] + _CONTINUATION + copy[end:])
    missing = MAX_MISSING_STRIPS if len(strips) >= SMALL_STRIPS else 0
    required = len(strips) - missing
    require_valid(strips[:required] == continued[:required])


def strip_surplus(
    copy: bytes, *, scans: list[tuple[int, int]], size: tuple[int, int], is_ended: bool = True
) -> bytes:
    """Return the same image without surplus bytes.

    `scans` has start and end of the coded data of each scan. Without an end marker (`is_ended`
    False), even a single surplus byte of the last scan is removed.

    Raises images.DECODE_ERRORS, FileContentMismatch.
    """
    start, end = scans[-1]
    is_complete_early = _is_complete(copy, size, end)
    if len(scans) == 1 and not _is_progressive(copy):
        return _strip_tail(copy, start, end, size) if is_complete_early else copy
    if size[0] * size[1] > MAX_SEARCHED_PIXELS:
        require_valid(end - start <= LARGE_SURPLUS_BYTES or not _has_surplus(copy, end))
        return copy
    checked = scans if size[0] * size[1] <= MAX_CHECKED_PIXELS else scans[-1:]
    for start, end in reversed(checked):
        surplus = SURPLUS_BYTES if is_ended or (start, end) != scans[-1] else 1
        if end - start > surplus:
            shortest_end = _shortest_end(copy, start, end, surplus)
            copy = copy[:shortest_end] + copy[end:]
    return copy


def _strip_tail(copy: bytes, start: int, end: int, size: tuple[int, int]) -> bytes:
    """Shorten a baseline image with one scan, whose decoder stops after the last block."""
    last = _first_sufficient(start, end, lambda length: _is_complete(copy, size, length))
    digest = _pixel_digest(copy)
    candidates = range(max(start, last - READ_AHEAD_BYTES), last)
    shortest_end = next(
        (
            candidate
            for candidate in candidates
            if _pixel_digest(copy[:candidate] + copy[end:]) == digest
        ),
        last,
    )
    return copy[:shortest_end] + copy[end:]


def _is_progressive(copy: bytes) -> bool:
    with Image.open(BytesIO(copy), formats=["JPEG"]) as image:
        return "progressive" in image.info


def _is_complete(copy: bytes, size: tuple[int, int], length: int) -> bool:
    """Return whether the first `length` bytes are enough. Require that the whole copy is.

    Decoding at an eighth of the scale is faster and still reads every scan to its end.
    """
    with Image.open(BytesIO(copy), formats=["JPEG"]) as image:
        require_valid(image.size == size)
        image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
        name, extents, _, arguments = image.tile[0]
        image.load_prepare()
        decoder = Image._getdecoder(image.mode, name, arguments, image.decoderconfig)  # noqa: SLF001
        try:
            decoder.setimage(image.im, extents)
            consumed, fault = decoder.decode(copy[:length])
            is_complete = consumed == _DECODER_DONE
            if not is_complete:
                consumed, fault = decoder.decode(copy[consumed:])
            require_valid((consumed, fault) == (_DECODER_DONE, 0))
        finally:
            decoder.cleanup()
    return is_complete


def _has_surplus(copy: bytes, end: int) -> bool:
    return _pixel_digest(copy[: end - LARGE_SURPLUS_BYTES] + copy[end:]) == _pixel_digest(copy)


def _shortest_end(copy: bytes, start: int, end: int, surplus: int) -> int:
    """Return the first end of a scan that leaves the pixels unchanged, usually `end` itself."""
    digest = _pixel_digest(copy)
    if _pixel_digest(copy[: end - surplus] + copy[end:]) != digest:
        return end
    return _first_sufficient(
        start, end, lambda length: _pixel_digest(copy[:length] + copy[end:]) == digest
    )


def _first_sufficient(start: int, end: int, is_sufficient: Callable[[int], bool]) -> int:
    """Return the first number from `start` to `end` from which on `is_sufficient` holds.

    It must hold for `end`. The search starts there with growing steps, because surplus is usually
    short compared to a scan, and continues by bisection.
    """
    low, high, step = start, end, SURPLUS_BYTES
    while low < high and is_sufficient(max(low, high - step)):
        high, step = max(low, high - step), 2 * step
    low = max(low, high - step)
    while low < high:
        middle = (low + high) // 2
        if is_sufficient(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _pixel_digest(copy: bytes) -> bytes:
    return sha256(b"".join(_strip_digests(copy))).digest()


def _strip_digests(copy: bytes) -> list[bytes]:
    """Return a digest for each STRIP_ROWS rows of pixels, from the top.

    Hashing in strips saves memory: the pixels may take 120 MB.
    """
    with Image.open(BytesIO(copy), formats=["JPEG"]) as image:
        image.load()
        return [
            sha256(
                image.crop((0, top, image.width, min(top + STRIP_ROWS, image.height))).tobytes()
            ).digest()
            for top in range(0, image.height, STRIP_ROWS)
        ]
