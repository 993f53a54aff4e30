"""Small files that are slow to inspect, built from raw bytes."""

import struct

SIDE = 6_320
BLOCK = 8
COEFFICIENTS = 63
# Number of bits that encode 2 ** 14 empty blocks: a code of one bit, and 14 more.
RUN_BLOCKS, RUN_BITS = 1 << 14, 15
OBJECTS = 40_000


def many_scans(comment: bytes = b"") -> bytes:
    """Return a grey JPEG of 40 megapixels in 64 progressive scans, 80 KB long."""
    blocks = (SIDE // BLOCK) ** 2
    parts = [
        b"\xff\xd8",
        _segment(0xFE, b"c" + comment),
        _segment(0xDB, b"\0" + b"\1" * 64),
        _segment(0xC2, struct.pack(">BHHB", 8, SIDE, SIDE, 1) + b"\1\x11\0"),
        _segment(0xC4, b"\0" + b"\1" + bytes(15) + b"\0"),
        _segment(0xC4, b"\x10" + b"\1" + bytes(15) + b"\xe0"),
        _scan(first=0, last=0) + bytes(blocks // 8 + 1),
    ]
    runs = bytes((blocks // RUN_BLOCKS + 1) * RUN_BITS // 8 + 1)
    parts += [_scan(first=index, last=index) + runs for index in range(1, COEFFICIENTS + 1)]
    return b"".join([*parts, b"\xff\xd9"])


def many_objects(comment: bytes = b"") -> bytes:
    """Return a PDF of one page and 40,000 objects, 3 MB long, refused because of its script."""
    references = b" ".join(b"%d 0 R" % number for number in range(4, OBJECTS))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(1)>>>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/PieceInfo[%b]/C(%b)>>"
        % (references, comment),
        *(b"<</A[%d 0 R]>>" % (number - 1 or 4) for number in range(4, OBJECTS)),
    ]
    content = bytearray(b"%PDF-1.7\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(content))
        content += b"%d 0 obj%bendobj\n" % (number, body)
    start = len(content)
    content += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    content += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    content += b"trailer<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start)
    return bytes(content)


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _scan(*, first: int, last: int) -> bytes:
    """Return the header of a scan of coefficients `first` to `last` of the only component."""
    return _segment(0xDA, bytes((1, 1, 0, first, last, 0)))
