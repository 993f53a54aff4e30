"""Small valid files."""

import io
import struct
import zlib
from functools import cache

from PIL import Image
from pypdf import PdfWriter

PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


@cache
def png(color: int = 200) -> bytes:
    return _image("PNG", color)


@cache
def jpeg(color: int = 200) -> bytes:
    return _image("JPEG", color)


@cache
def pdf(pages: int = 1) -> bytes:
    writer = PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(width=100, height=100)
    content = io.BytesIO()
    writer.write(content)
    return content.getvalue()


@cache
def large_png(size: int, color: int = 200) -> bytes:
    """Return a PNG of exactly `size` bytes, padded with an ancillary chunk."""
    start = png(color)[: -len(PNG_END)]
    filling = b"\1" * (size - len(start) - len(PNG_END) - 12)
    chunk = b"fiLl" + filling
    length, checksum = struct.pack(">I", len(filling)), struct.pack(">I", zlib.crc32(chunk))
    return start + length + chunk + checksum + PNG_END


def _image(name: str, color: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (40, 30), (color % 256, 90, 40)).save(content, name)
    return content.getvalue()
