"""What files really are: all that is no clean image or PDF is refused, what is one is clean."""

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageOps, PngImagePlugin
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, TextStringObject

from domain.documents import DocumentFormat
from domain.errors import FileContentMismatch
from resilience.inspection import AT_ONCE, clean_copy, limiter
from tests import files

ANY = tuple(DocumentFormat)
PLACE = b"N 11.0168 E 76.9558"


async def cleaned(tmp_path: Path, content: bytes) -> tuple[DocumentFormat, bytes]:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    found = await clean_copy(source, target, allowed=ANY)
    return found, target.read_bytes()


def image(mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> Image.Image:
    picture = Image.linear_gradient("L").resize(size)
    return picture.convert(mode)


def saved(picture: Image.Image, name: str, **options) -> bytes:
    content = io.BytesIO()
    picture.save(content, name, **options)
    return content.getvalue()


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    made[0x010F] = "Camera of somebody"
    made[0x9286] = PLACE
    return made


def document(change=None) -> bytes:
    writer = PdfWriter()
    page = writer.add_blank_page(width=100, height=100)
    writer.add_metadata({"/Author": "Somebody", "/Title": "Letter"})
    if change is not None:
        change(writer, page)
    content = io.BytesIO()
    writer.write(content)
    return content.getvalue()


def action(name: str, **entries) -> DictionaryObject:
    made = DictionaryObject({NameObject("/S"): NameObject(name)})
    made.update({NameObject(f"/{key}"): TextStringObject(value) for key, value in entries.items()})
    return made


def opening(made: DictionaryObject):
    return lambda writer, _: writer.root_object.update({NameObject("/OpenAction"): made})


def with_annotation(writer: PdfWriter, page) -> None:
    annotation = DictionaryObject(
        {NameObject("/Subtype"): NameObject("/Link"), NameObject("/A"): action("/Launch", F="x")}
    )
    page[NameObject("/Annots")] = ArrayObject([writer._add_object(annotation)])


def png_claiming(width: int, height: int) -> bytes:
    """A header and almost nothing behind it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


HOSTILE = {
    "a program": b"MZ\x90\0" + b"\0" * 500,
    "a page": b"<!doctype html><script>alert(1)</script>",
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "a GIF": saved(image("P"), "GIF"),
    "a WebP": saved(image(), "WEBP"),
    "a zip": b"PK\x03\x04" + b"\0" * 100,
    "nothing but a start of PNG": b"\x89PNG\r\n\x1a\n",
    "nothing but a start of JPEG": b"\xff\xd8\xff",
    "nothing but a start of PDF": b"%PDF-1.7\n",
    "a page before the PDF": b"<html>" + files.pdf(),
    "half a JPEG": saved(image(size=(640, 480)), "JPEG")[:-2000],
    "half a PNG": saved(image(size=(640, 480)), "PNG")[:-500],
    "a bomb": png_claiming(30_000, 30_000),
    "a little more than 40 megapixels": png_claiming(8_000, 5_001),
    "a PNG with less in it than it says": png_claiming(1_000, 1_000),
    "a PDF with a script": document(opening(action("/JavaScript", JS="app.alert(1)"))),
    "a PDF with a script by name": document(
        lambda writer, _: writer.root_object.update(
            {
                NameObject("/Names"): DictionaryObject(
                    {NameObject("/JavaScript"): DictionaryObject()}
                )
            }
        ),
    ),
    "a PDF with an additional action": document(
        lambda _, page: page.update({NameObject("/AA"): DictionaryObject()})
    ),
    "a PDF that starts programs": document(with_annotation),
    "a PDF that sends forms": document(opening(action("/SubmitForm", F="http://x"))),
    "a PDF with a file": document(lambda writer, _: writer.add_attachment("x.exe", b"MZ")),
    "a PDF with an escaped name": document(
        opening(action("/JavaScript", JS="app.alert(1)"))
    ).replace(b"/JavaScript", b"/Java#53cript"),
    "a protected PDF": document(lambda writer, _: writer.encrypt("", "owner", algorithm="RC4-128")),
    "a PDF that is damaged": files.pdf()[:200],
    "a PDF with too many objects": document(
        lambda writer, _: [writer._add_object(DictionaryObject()) for _ in range(20_100)] and None
    ),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
async def test_what_is_no_clean_file_is_refused_and_no_copy_is_made(tmp_path, caplog, content):
    with pytest.raises(FileContentMismatch):
        await cleaned(tmp_path, content)

    # The libraries would write parts of the file.
    assert caplog.records == []
    assert not (tmp_path / "target").exists()
    assert (tmp_path / "source").read_bytes() == content


async def test_a_format_that_is_not_allowed_is_refused(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(files.pdf())

    with pytest.raises(FileContentMismatch) as refused:
        await clean_copy(source, target, allowed=(DocumentFormat.PNG, DocumentFormat.JPEG))

    assert refused.value.message == "The file is no PNG and no JPEG."
    assert not target.exists()


GOOD = {
    "JPEG": saved(image(), "JPEG"),
    "progressive JPEG": saved(image(size=(300, 200)), "JPEG", progressive=True),
    "gray JPEG": saved(image("L"), "JPEG"),
    "CMYK JPEG": saved(image("CMYK"), "JPEG"),
    "PNG": saved(image(), "PNG"),
    "PNG with transparency": saved(image("RGBA"), "PNG"),
    "PNG with palette": saved(image("P"), "PNG"),
    "PNG of 16 bits": saved(image("I;16"), "PNG"),
    "PNG of one bit": saved(image("1"), "PNG"),
}


@pytest.mark.parametrize("content", GOOD.values(), ids=GOOD.keys())
async def test_pixels_stay_as_they_are(tmp_path, content):
    _, clean = await cleaned(tmp_path, content)

    before, after = (Image.open(io.BytesIO(one)) for one in (content, clean))
    assert (before.size, before.mode) == (after.size, after.mode)
    assert before.tobytes() == after.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG"])
async def test_the_orientation_is_all_that_stays_of_the_metadata(tmp_path, name, orientation):
    content = saved(image(), name, exif=exif(orientation))
    assert PLACE in content

    found, clean = await cleaned(tmp_path, content)

    assert found == name
    assert PLACE not in clean
    assert b"Camera" not in clean
    before, after = (Image.open(io.BytesIO(one)) for one in (content, clean))
    assert dict(after.getexif()) == ({0x0112: orientation} if orientation > 1 else {})
    upright = [ImageOps.exif_transpose(one) for one in (before, after)]
    assert ImageChops.difference(*upright).getbbox() is None


async def test_comments_texts_and_what_follows_are_cut_out(tmp_path):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", PLACE.decode())
    texts.add_text("Compressed", PLACE.decode() * 50, zip=True)
    png = saved(image(), "PNG", pnginfo=texts) + PLACE
    jpeg = saved(image(), "JPEG", comment=PLACE) + b"PK\x03\x04" + PLACE

    _, clean_png = await cleaned(tmp_path, png)
    _, clean_jpeg = await cleaned(tmp_path, jpeg)

    assert [PLACE in png, PLACE in jpeg] == [True, True]
    assert [PLACE in clean_png, PLACE in clean_jpeg] == [False, False]
    assert b"zTXt" not in clean_png
    assert b"PK\x03\x04" not in clean_jpeg


async def test_a_clean_image_is_kept_byte_for_byte(tmp_path):
    content = saved(image(size=(300, 200)), "PNG")

    assert await cleaned(tmp_path, content) == (DocumentFormat.PNG, content)


async def test_a_pdf_keeps_its_pages_and_forgets_its_author(tmp_path):
    content = document(lambda writer, _: writer.add_blank_page(width=50, height=70))
    assert b"Somebody" in content

    found, clean = await cleaned(tmp_path, content)

    pages = PdfReader(io.BytesIO(clean)).pages
    assert found == DocumentFormat.PDF
    assert [tuple(map(float, page.mediabox[2:])) for page in pages] == [(100, 100), (50, 70)]
    assert b"Somebody" not in clean


async def test_two_files_are_looked_at_at_once():
    assert AT_ONCE == 2
    assert limiter().total_tokens == 2
    assert limiter() is limiter()
