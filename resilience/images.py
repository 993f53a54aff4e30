"""What holds for every image: how large it may be, and which side of it is up."""

import struct

from PIL import Image

from domain.errors import FileContentMismatch

MAX_PIXELS = 40_000_000

# Pillow has no error of its own for a file that is not what it says.
UNREADABLE = (
    *(OSError, SyntaxError, ValueError, LookupError, TypeError, EOFError, struct.error),
    *(ArithmeticError, MemoryError, Image.DecompressionBombError),
)

UPRIGHT = 1
_ORIENTATIONS = range(1, 9)
_TAG, _SHORT = 0x0112, 3
_ENTRY_BYTES = 12


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
        raise FileContentMismatch("The image has more than 40 megapixels.")


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
