"""What holds for every image: how large it may be, and which side of it is up."""

import struct
from io import BytesIO

from PIL import Image, ImageCms

from domain.errors.exceptions import FileContentMismatch

MAX_PIXELS = 40_000_000
# Of a JPEG; rows of a few pixels each would take a PNG long to unpack.
MAX_SIDE = 65_535
MAX_PROFILE_BYTES = 1024 * 1024
MAX_PROFILE_TAGS = 100

# Pillow has no error of its own for a file that is not what it says.
UNREADABLE = (
    *(OSError, SyntaxError, ValueError, LookupError, TypeError, EOFError, struct.error),
    *(ArithmeticError, MemoryError, Image.DecompressionBombError),
)

UPRIGHT = 1
_ORIENTATIONS = range(1, 9)
_TAG, _SHORT = 0x0112, 3
_ENTRY_BYTES = 12
# Size, class, colour space, signature, and the number of tags.
_PROFILE_START = struct.Struct(">I8x4s4s16x4s88xI")
_TAG_ENTRY = struct.Struct(">4sII")
# Programs write the profile of their screen into gray pictures too.
_PROFILE_SPACES = {1: (b"GRAY", b"RGB "), 3: (b"RGB ",), 4: (b"CMYK",)}
_PROFILE_KINDS = frozenset((b"mntr", b"scnr", b"prtr", b"spac"))


def require(is_fine: bool) -> None:
    """Raises FileContentMismatch."""
    if not is_fine:
        raise damaged()


def damaged() -> FileContentMismatch:
    return FileContentMismatch("The image is damaged. Take or save it again.")


def require_size(width: int, height: int) -> None:
    """Raises FileContentMismatch."""
    require(width > 0 and height > 0)
    if width * height > MAX_PIXELS:
        raise FileContentMismatch(
            "The image has more than 40 megapixels. Send a smaller copy or a screenshot of it."
        )
    require(max(width, height) <= MAX_SIDE)


def orientation_in(exif: bytes) -> int:
    """1 to 8; UPRIGHT also where nothing or nonsense is said."""
    order = "<" if exif.startswith(b"II") else ">"
    try:
        (first,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, first)
        for number in range(count):
            place = first + 2 + _ENTRY_BYTES * number
            tag, kind, _, said = struct.unpack_from(f"{order}HHIH", exif, place)
            if (tag, kind) == (_TAG, _SHORT):
                return said if said in _ORIENTATIONS else UPRIGHT
    except struct.error:
        return UPRIGHT
    return UPRIGHT


def exif_with(orientation: int) -> bytes:
    """Exif that says this, and nothing else."""
    entry = struct.pack(">HHIHH", _TAG, _SHORT, 1, orientation, 0)
    return b"MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)


def is_profile(profile: bytes, *, colours: int) -> bool:
    """Whether it is a whole ICC profile for a picture of so many colours, and no more.

    Its header, and a table whose tags are all in it (ICC.1:2022, 7.2 and 7.3).
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
    # Some programs leave no more than four bytes between two of them.
    last = max(start + length for _, start, length in tags)
    if any(start < end for _, start, _ in tags) or not last <= size < last + 4:
        return False
    try:
        ImageCms.ImageCmsProfile(BytesIO(profile))
    except (ImageCms.PyCMSError, *UNREADABLE):
        return False
    return True
