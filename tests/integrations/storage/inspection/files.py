"""Valid and malicious sample files: images with metadata, PDFs built object by object."""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable

from PIL import Image, PngImagePlugin
from pypdf import PdfWriter
from pypdf.generic import DictionaryObject, NameObject, TextStringObject

PNG_START = b"\x89PNG\r\n\x1a\n"
MODES = {"PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), "JPEG": ("L", "RGB", "CMYK")}
PLACE = "N 11.0168 E 76.9558"
# Values of all kinds of metadata; a copy may contain none.
SECRETS = (
    *(b"Maker of the camera", b"Serial 4711", b"2026:11:23 10:00:00", b"Comment of mine"),
    *(b"XMP of mine", b"IPTC of mine", b"Thumbnail of mine", b"Private of mine", b"Trailing"),
)


def image(mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.linear_gradient("L").resize(size).convert(mode)


def encode(picture: Image.Image, name: str, **options) -> bytes:
    content = io.BytesIO()
    picture.save(content, name, **options)
    return content.getvalue()


def exif(orientation: int = 1) -> Image.Exif:
    created = Image.Exif()
    created[0x0112] = orientation
    created[0x010F] = "Maker of the camera"
    created[0x0132] = "2026:11:23 10:00:00"
    created.get_ifd(0x8769).update({0xA431: "Serial 4711", 0x9286: PLACE.encode()})
    created.get_ifd(0x8825).update({1: "N", 2: (11.0, 1.0, 0.48), 3: "E", 4: (76.0, 57.0, 20.88)})
    return created


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg_with_metadata(orientation: int = 1, **options) -> bytes:
    """Return a JPEG with all metadata that cameras and programs write."""
    content = encode(image(), "JPEG", exif=exif(orientation), **options)
    start = content.index(b"\xff\xe1")
    jfif = b"JFIF\0\1\1\0\0\1\0\1\6\1" + b"Thumbnail of mine."
    return b"".join(
        (
            *(b"\xff\xd8", segment(0xE0, jfif), segment(0xE0, b"JFXX\0Thumbnail of mine")),
            segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0XMP of mine"),
            segment(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0IPTC of mine"),
            *(segment(0xE2, b"FPXR\0Private of mine"), segment(0xFE, b"Comment of mine")),
            *(content[start:], b"Trailing"),
        )
    )


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with_metadata(orientation: int = 1) -> bytes:
    """Return a PNG with all metadata that programs write."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "Comment of mine")
    texts.add_itxt("XML:com.adobe.xmp", "XMP of mine")
    texts.add_text("Raw profile type iptc", "IPTC of mine" * 9, zip=True)
    content = encode(image(), "PNG", exif=exif(orientation), pnginfo=texts)
    private = chunk(b"prVt", b"Private of mine") + chunk(b"tIME", b"\x07\xea\x0b\x17\x0a\0\0")
    return content.replace(chunk(b"IEND"), private + chunk(b"IEND") + b"Trailing")


def png(header: tuple[int, ...], *chunks: bytes) -> bytes:
    """Build a PNG. `header` is width, height, depth, colour type and optionally interlacing."""
    width, height, depth, colour, *interlacing = header
    header_body = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, *interlacing or [0])
    return PNG_START + chunk(b"IHDR", header_body) + b"".join(chunks) + chunk(b"IEND")


def compress(rows: Iterable[bytes]) -> bytes:
    packing = zlib.compressobj(9)
    return b"".join([*map(packing.compress, rows), packing.flush()])


def black_png(width: int, height: int) -> bytes:
    """Build a valid PNG with one bit a pixel, which decompresses to a thousand times its size."""
    row = bytes(1 + (width + 7) // 8)
    return png((width, height, 1, 0), chunk(b"IDAT", compress(row for _ in range(height))))


def interlaced_png(picture: Image.Image) -> bytes:
    """Build a gray Adam7 PNG, which Pillow reads but does not write."""
    steps = ((0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2))
    width, height = picture.size
    pixels = picture.tobytes()
    lines = [pixels[start : start + width] for start in range(0, len(pixels), width)]
    rows = [
        b"\0" + line[column::columns]
        for column, columns, row, rows in (*steps, (0, 1, 1, 2))
        for line in lines[row::rows]
        if column < width
    ]
    return png((width, height, 8, 0, 1), chunk(b"IDAT", compress(rows)))


def zip_archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        opened.writestr("word/document.xml", "<w:document/>")
    return content.getvalue()


def pdf_document(change=None) -> bytes:
    """Build a PDF with one empty page; `change` is called with writer and page."""
    writer = PdfWriter()
    page = writer.add_blank_page(width=100, height=100)
    writer.add_metadata({"/Author": "Somebody", "/Title": "Letter"})
    if change is not None:
        change(writer, page)
    content = io.BytesIO()
    writer.write(content)
    return content.getvalue()


def pdf_action(name: str, **entries) -> DictionaryObject:
    created = DictionaryObject({NameObject("/S"): NameObject(name)})
    created.update(
        {NameObject(f"/{key}"): TextStringObject(value) for key, value in entries.items()}
    )
    return created


def pdf_with_open_action(made: DictionaryObject):
    return lambda writer, _: writer.root_object.update({NameObject("/OpenAction"): made})


CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
PAGES = b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>"
PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"


def with_entries(dictionary: bytes, entries: bytes) -> bytes:
    return dictionary.removesuffix(b">>") + entries + b" >>"


def stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), entries, content)


def pdf(*more: bytes, catalog: bytes = b"", page: bytes = b"", pages: bytes = PAGES) -> bytes:
    """Build a PDF from objects in PDF syntax; those of `more` are numbered from 4."""
    return _with_table((with_entries(CATALOG, catalog), pages, with_entries(PAGE, page), *more))


def _with_table(objects: Iterable[bytes]) -> bytes:
    content, offsets = bytearray(b"%PDF-1.7\n"), [b"0000000000 65535 f \n"]
    for number, item in enumerate(objects, start=1):
        offsets.append(b"%010d 00000 n \n" % len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table, size = len(content), len(offsets)
    content += b"xref\n0 %d\n%s" % (size, b"".join(offsets))
    return bytes(content + b"trailer\n<< /Size %d /Root 1 0 R >>\n%s" % (size, _end(table)))


def _end(table: int) -> bytes:
    return b"startxref\n%d\n%%%%EOF\n" % table


def revise(content: bytes, number: int, replacement: bytes) -> bytes:
    """Append an incremental update that replaces an object."""
    former, offset = content.rindex(b"xref\n0 "), len(content)
    update = b"%d 0 obj\n%s\nendobj\n" % (number, replacement)
    table = b"xref\n%d 1\n%010d 00000 n \n" % (number, offset)
    trailer = b"trailer\n<< /Size 9 /Root 1 0 R /Prev %d >>\n" % former
    return content + update + table + trailer + _end(offset + len(update))


def pdf_with_object_stream(*hidden: bytes, catalog: bytes = b"", rows: int = 0) -> bytes:
    """Build a PDF whose objects `hidden`, numbered from 5, are in an object stream."""
    index = b" ".join(
        b"%d %d" % (5 + n, sum(len(item) + 1 for item in hidden[:n])) for n in range(len(hidden))
    )
    inner = zlib.compress(index + b" " + b" ".join(hidden))
    kind = b"/Type /ObjStm /N %d /First %d /Filter /FlateDecode" % (len(hidden), len(index) + 1)
    objects = (with_entries(CATALOG, catalog), PAGES, PAGE, stream(inner, kind))
    content, offsets = bytearray(b"%PDF-1.7\n"), [struct.pack(">BIH", 0, 0, 65535)]
    for number, item in enumerate(objects, start=1):
        offsets.append(struct.pack(">BIH", 1, len(content), 0))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    offsets += [struct.pack(">BIH", 2, 4, n) for n in range(len(hidden))]
    table = zlib.compress(b"".join(offsets) + struct.pack(">BIH", 1, 9, 0) * rows)
    size, number = len(offsets) + rows, len(offsets)
    entries = b"/Type /XRef /W [1 4 2] /Size %d /Root 1 0 R /Filter /FlateDecode" % size
    last = b"%d 0 obj\n%s\nendobj\n" % (number, stream(table, entries))
    return bytes(content) + last + _end(len(content))


def repeated_scan_jpeg(width: int, height: int, scans: int, mode: str = "RGB") -> bytes:
    """Build a progressive gray JPEG whose last scan is repeated."""
    colour = 128 if mode == "L" else (128,) * len(mode)
    content = encode(Image.new(mode, (width, height), colour), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * (scans - content.count(b"\xff\xda")) + content[-2:]


def resize_header(content: bytes, width: int, height: int) -> bytes:
    """Change the size in the frame header only."""
    offset = re.search(rb"\xff[\xc0-\xc2]\0", content).start() + 5
    return content[:offset] + struct.pack(">HH", height, width) + content[offset + 4 :]
