"""Checks shared by image formats: size limits, EXIF orientation, ICC profiles."""

import struct
from io import BytesIO

from PIL import Image, ImageCms

from domain.errors.exceptions import FileContentMismatch

MAX_PIXELS = 40_000_000
# The limit of JPEG. In a PNG, many rows of a few pixels would take long to unpack.
MAX_SIDE = 65_535
MAX_PROFILE_BYTES = 1024 * 1024
MAX_PROFILE_TAGS = 100

# Pillow raises any of these for a malformed file.
DECODE_ERRORS = (
    *(OSError, SyntaxError, ValueError, LookupError, TypeError, EOFError, struct.error),
    *(ArithmeticError, MemoryError, Image.DecompressionBombError),
)

NORMAL_ORIENTATION = 1
_ORIENTATIONS = range(1, 9)
_ORIENTATION_TAG, _SHORT = 0x0112, 3
_ENTRY_BYTES = 12
# Size, device class, colour space, signature, number of tags.
_PROFILE_START = struct.Struct(">I8x4s4s16x4s88xI")
_TAG_ENTRY = struct.Struct(">4sII")
# Colour spaces by number of channels. Some programs put an RGB profile into gray images.
_PROFILE_SPACES = {1: (b"GRAY", b"RGB "), 3: (b"RGB ",), 4: (b"CMYK",)}
_PROFILE_KINDS = frozenset((b"mntr", b"scnr", b"prtr", b"spac"))


def require_valid(condition: bool) -> None:
    """Raises FileContentMismatch for a damaged image."""
    if not condition:
        raise damaged_image()


def damaged_image() -> FileContentMismatch:
    return FileContentMismatch("The image is damaged. Take or save it again.")


def require_size(width: int, height: int) -> None:
    """Raises FileContentMismatch."""
    require_valid(width > 0 and height > 0)
    if width * height > MAX_PIXELS:
        raise FileContentMismatch(
            "The image has more than 40 megapixels. Send a smaller copy or a screenshot of it."
        )
    require_valid(max(width, height) <= MAX_SIDE)


def read_orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8; NORMAL_ORIENTATION if it is missing or invalid."""
    order = "<" if exif.startswith(b"II") else ">"
    try:
        (first,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, first)
        for number in range(count):
            offset = first + 2 + _ENTRY_BYTES * number
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, offset)
            if (tag, kind) == (_ORIENTATION_TAG, _SHORT):
                return value if value in _ORIENTATIONS else NORMAL_ORIENTATION
    except struct.error:
        return NORMAL_ORIENTATION
    return NORMAL_ORIENTATION


def orientation_exif(orientation: int) -> bytes:
    """Return EXIF data with this orientation only."""
    entry = struct.pack(">HHIHH", _ORIENTATION_TAG, _SHORT, 1, orientation, 0)
    return b"MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)


def is_valid_profile(profile: bytes, *, colours: int) -> bool:
    """Check an ICC profile for an image with so many channels.

    Header and tag table must be consistent and leave no room for other data (ICC.1:2022, 7.2 and
    7.3).
    """
    if not _PROFILE_START.size < len(profile) <= MAX_PROFILE_BYTES:
        return False
    size, kind, space, signature, count = _PROFILE_START.unpack_from(profile)
    end = _PROFILE_START.size + _TAG_ENTRY.size * count
    if (
        (size, signature) != (len(profile), b"acsp")
        or space not in _PROFILE_SPACES.get(colours, ())
        or kind not in _PROFILE_KINDS
        or not (0 < count <= MAX_PROFILE_TAGS and end <= size)
    ):
        return False
    tags = list(_TAG_ENTRY.iter_unpack(profile[_PROFILE_START.size : end]))
    # Tags end at a multiple of four bytes, so up to three bytes of padding may follow the last one.
    last = max(start + length for _, start, length in tags)
    if any(start < end for _, start, _ in tags) or not last <= size < last + 4:
        return False
    try:
        ImageCms.ImageCmsProfile(BytesIO(profile))
    except (ImageCms.PyCMSError, *DECODE_ERRORS):
        return False
    return True
