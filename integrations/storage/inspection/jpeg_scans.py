"""Coded data of JPEG scans: decoded once, and without bytes behind the picture.

A decoder skips whatever is between the last block of a scan and the next marker.
"""

from collections.abc import Callable
from hashlib import sha256
from io import BytesIO

from PIL import Image

from integrations.storage.inspection.images import require

_END_BYTES = 2
# So many bytes of a scan change the picture, or it has more of them than it needs.
SURPLUS_BYTES = 16
# Decoding again for each scan is done for small pictures; else for the last scan only.
MAX_CHECKED_PIXELS = 500_000
# Of larger ones the end of the last scan is not searched for, which takes ten times as long as
# decoding it: with so many bytes that change nothing they are refused.
MAX_SEARCHED_PIXELS = 12_500_000
LARGE_SURPLUS_BYTES = 64
# A decoder reads a little ahead.
AHEAD_BYTES = 8
_DONE = -1
STRIP_ROWS = 16
# Of a picture without a mark of its end so many strips at its bottom may be missing, unless it is
# a small one: viewers show it. A block has one strip, and colours reach into the next one.
MAX_MISSING_STRIPS, SMALL_STRIPS = 2, 16
# No other bits of a scan, and after every restart that a decoder may wait for.
_OTHER_BITS = bytes(range(1, 255, 2)) + b"\x5a\xc3\x17\xb8" * 8
_CONTINUATION = b"".join(_OTHER_BITS + bytes((0xFF, 0xD0 + number)) for number in range(8))


def require_whole(copy: bytes, *, end: int) -> None:
    """Look whether a scan that ends there has all that it needs: then more bytes change nothing.

    Raises images.UNREADABLE, FileContentMismatch.
    """
    strips = _strips(copy)
    longer = _strips(copy[:end] + _CONTINUATION + copy[end:])
    missing = MAX_MISSING_STRIPS if len(strips) >= SMALL_STRIPS else 0
    whole = len(strips) - missing
    require(strips[:whole] == longer[:whole])


def without_surplus(
    copy: bytes, *, scans: list[tuple[int, int]], size: tuple[int, int], is_ended: bool = True
) -> bytes:
    """The same picture. `scans` has start and end of the coded data of each.

    Without a mark of its end, every byte behind the last block is searched for. Raises
    images.UNREADABLE, FileContentMismatch.
    """
    start, end = scans[-1]
    is_complete_early = _is_complete(copy, size, end)
    if len(scans) == 1 and not _is_progressive(copy):
        return _without_tail(copy, start, end, size) if is_complete_early else copy
    if size[0] * size[1] > MAX_SEARCHED_PIXELS:
        require(end - start <= LARGE_SURPLUS_BYTES or not _has_surplus(copy, end))
        return copy
    checked = scans if size[0] * size[1] <= MAX_CHECKED_PIXELS else scans[-1:]
    for start, end in reversed(checked):
        surplus = SURPLUS_BYTES if is_ended or (start, end) != scans[-1] else 1
        if end - start > surplus:
            shorter = _shortest(copy, start, end, surplus)
            copy = copy[:shorter] + copy[end:]
    return copy


def _without_tail(copy: bytes, start: int, end: int, size: tuple[int, int]) -> bytes:
    """Of a picture in one scan, which is complete as soon as its last block was read."""
    last = _first_enough(start, end, lambda length: _is_complete(copy, size, length))
    picture = _picture(copy)
    lengths = range(max(start, last - AHEAD_BYTES), last)
    shorter = next((n for n in lengths if _picture(copy[:n] + copy[end:]) == picture), last)
    return copy[:shorter] + copy[end:]


def _is_progressive(copy: bytes) -> bool:
    with Image.open(BytesIO(copy), formats=["JPEG"]) as image:
        return "progressive" in image.info


def _is_complete(copy: bytes, size: tuple[int, int], length: int) -> bool:
    """Whether the first `length` bytes are enough; all have to be.

    At an eighth of the scale every scan is still read to its end.
    """
    with Image.open(BytesIO(copy), formats=["JPEG"]) as image:
        require(image.size == size)
        image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
        name, extents, _, arguments = image.tile[0]
        image.load_prepare()
        decoder = Image._getdecoder(image.mode, name, arguments, image.decoderconfig)  # noqa: SLF001
        try:
            decoder.setimage(image.im, extents)
            taken, fault = decoder.decode(copy[:length])
            is_complete = taken == _DONE
            if not is_complete:
                taken, fault = decoder.decode(copy[taken:])
            require((taken, fault) == (_DONE, 0))
        finally:
            decoder.cleanup()
    return is_complete


def _has_surplus(copy: bytes, end: int) -> bool:
    return _picture(copy[: end - LARGE_SURPLUS_BYTES] + copy[end:]) == _picture(copy)


def _shortest(copy: bytes, start: int, end: int, surplus: int) -> int:
    """The first end of a scan with which the picture is the same; most have no surplus."""
    picture = _picture(copy)
    if _picture(copy[: end - surplus] + copy[end:]) != picture:
        return end
    return _first_enough(start, end, lambda n: _picture(copy[:n] + copy[end:]) == picture)


def _first_enough(start: int, end: int, is_enough: Callable[[int], bool]) -> int:
    """The first number from which on `is_enough` holds, as it does at `end`.

    Looks near the end first: what is too much is little beside a scan.
    """
    low, high, step = start, end, SURPLUS_BYTES
    while low < high and is_enough(max(low, high - step)):
        high, step = max(low, high - step), 2 * step
    low = max(low, high - step)
    while low < high:
        middle = (low + high) // 2
        if is_enough(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _picture(copy: bytes) -> bytes:
    """A digest of its pixels."""
    return sha256(b"".join(_strips(copy))).digest()


def _strips(copy: bytes) -> list[bytes]:
    """Digests of its pixels, some rows each, from the top; a picture may have 120 MB."""
    with Image.open(BytesIO(copy), formats=["JPEG"]) as image:
        image.load()
        return [
            sha256(
                image.crop((0, top, image.width, min(top + STRIP_ROWS, image.height))).tobytes()
            ).digest()
            for top in range(0, image.height, STRIP_ROWS)
        ]
