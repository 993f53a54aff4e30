"""Nonconforming JPEGs that viewers show."""

import io

import pytest
from PIL import Image, ImageOps
from pypdf import PdfReader

from domain.errors.exceptions import FileContentMismatch
from integrations.storage.inspection.jpegs import sanitize_jpeg
from integrations.storage.inspection.pdfs import sanitize_pdf
from tests.integrations.storage.inspection.files import (
    encode,
    exif,
    image,
    jpeg_with_metadata,
    pdf,
    segment,
    stream,
)

END = b"\xff\xd9"
SECRET = b"Secret of mine"
GOOD = {
    "baseline": encode(image(size=(320, 240)), "JPEG"),
    "with restarts": encode(image(size=(320, 240)), "JPEG", restart_marker_rows=1),
    "with a restart after each block": encode(image(), "JPEG", restart_marker_blocks=1),
    "gray": encode(image("L", (320, 240)), "JPEG"),
    "of four colours": encode(image("CMYK", (320, 240)), "JPEG"),
    "of full colour": encode(image(size=(320, 240)), "JPEG", subsampling=0, quality=95),
    "progressive": encode(image(size=(320, 240)), "JPEG", progressive=True),
    "of one colour": encode(Image.new("RGB", (320, 240), (9, 99, 9)), "JPEG"),
    "of noise": encode(Image.effect_noise((320, 240), 90), "JPEG"),
    "of one pixel": encode(image(size=(1, 1)), "JPEG"),
}
# Trailing data, for example of a Samsung panorama.
TRAILERS = {
    "nothing": b"",
    "half of the mark": b"\xff",
    "zeros": bytes(2_000),
    "text": SECRET * 3,
    "a directory of Samsung": b"\0\0\xd0\x08\x0d\0\0\0PanoramaShot_000"
    + SECRET
    + b"SEFH\x6a\0\0\0SEFT",
    "an unknown segment": SECRET + b"\xff\x42\0\x10" + SECRET,
    "another picture": SECRET + encode(image("L", (9, 9)), "JPEG", comment=SECRET),
    "a comment": segment(0xFE, SECRET),
    "a comment that is cut off": segment(0xFE, SECRET)[:-3],
    "tables": segment(0xDB, b"\0" + SECRET * 5),
    "marks of restarts": b"\xff\xd0\xff\xd1" + SECRET + b"\xff\xd7",
    "all bytes": bytes(range(256)) * 4 + SECRET,
}


def pixels(content: bytes) -> tuple[str, tuple[int, int], bytes]:
    with Image.open(io.BytesIO(content)) as picture:
        return picture.mode, picture.size, picture.tobytes()


@pytest.mark.parametrize("trailer", TRAILERS.values(), ids=TRAILERS.keys())
@pytest.mark.parametrize("content", GOOD.values(), ids=GOOD.keys())
def test_jpeg_without_end_marker_is_kept_without_trailing_bytes(content, trailer):
    clean = sanitize_jpeg(content.removesuffix(END) + trailer)

    assert pixels(clean) == pixels(content)
    assert clean.endswith(END)
    assert SECRET not in clean
    assert len(clean) <= len(content)
    assert sanitize_jpeg(clean) == clean


@pytest.mark.parametrize("trailer", TRAILERS.values(), ids=TRAILERS.keys())
def test_bytes_after_the_end_marker_are_removed(trailer):
    assert sanitize_jpeg(GOOD["baseline"] + trailer) == GOOD["baseline"]


def test_jpeg_with_missing_last_bytes_is_accepted():
    content = encode(image(size=(640, 480)), "JPEG")

    clean = sanitize_jpeg(content[:-12])

    (mode, size, before), after = pixels(content), pixels(clean)
    assert after[:2] == (mode, size)
    row = size[0] * len(mode)
    assert after[2][: row * 448] == before[: row * 448]


def test_orientation_without_end_marker_is_kept():
    content = encode(image(), "JPEG", exif=exif(6))

    clean = sanitize_jpeg(content.removesuffix(END) + SECRET)

    with Image.open(io.BytesIO(content)) as before, Image.open(io.BytesIO(clean)) as after:
        assert dict(after.getexif()) == {0x0112: 6}
        assert ImageOps.exif_transpose(after).tobytes() == ImageOps.exif_transpose(before).tobytes()


BETWEEN = {
    "zeros": bytes(7),
    "text": SECRET,
    "bytes that fill": b"\xff\xff\xff",
    "a stuffed byte": b"\xff\0" + SECRET,
    "a mark of a restart": b"\xff\xd3",
    "a mark without a meaning": b"\xff\x01" + SECRET,
    "an empty comment": b"\xff\xfe\0\0",
    "a comment of no length": b"\xff\xfe\0\1",
    "a number of lines": segment(0xDC, b"\0\x30"),
    "conditions of another coding": segment(0xCC, b"\0\x10"),
    "a thumbnail": segment(0xE1, b"Exif\0\0" + SECRET),
    "line feeds": b"\r\n\r\n",
}


@pytest.mark.parametrize("junk", BETWEEN.values(), ids=BETWEEN.keys())
@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_bytes_between_segments_are_removed(options, junk):
    content = encode(image(), "JPEG", **options)
    offsets = [20, content.index(b"\xff\xc4"), content.index(b"\xff\xda")]

    for offset in offsets:
        assert sanitize_jpeg(content[:offset] + junk + content[offset:]) == content


def test_last_adobe_segment_counts_as_in_decoders():
    content = encode(image("CMYK"), "JPEG")
    adobe = content[content.index(b"\xff\xee") :][:16]
    other = adobe[:-1] + bytes((2 - adobe[-1],))
    twice = content.replace(adobe, other + adobe)

    assert pixels(sanitize_jpeg(twice)) == pixels(twice) == pixels(content)
    assert sanitize_jpeg(twice) == sanitize_jpeg(content)


def pdf_with_photo(photo: bytes) -> bytes:
    size = b"/Subtype /Image /Width 320 /Height 240 /ColorSpace /DeviceRGB /BitsPerComponent 8"
    return pdf(
        stream(photo, size + b" /Filter /DCTDecode"),
        page=b"/Resources << /XObject << /I 4 0 R >> >>",
    )


PHOTO = GOOD["baseline"]
IN_PDFS = {
    "no mark of its end": PHOTO.removesuffix(END),
    "a trailer": PHOTO.removesuffix(END) + TRAILERS["a directory of Samsung"],
    "a trailer behind its end": PHOTO + SECRET,
    "a line feed": PHOTO + b"\r\n",
    "line feeds before it": b"\r\n" + PHOTO,
    "text before it": SECRET + PHOTO,
    "text between segments": PHOTO[:20] + SECRET + PHOTO[20:],
    "a mark of a restart between segments": PHOTO[:20] + b"\xff\xd3" + PHOTO[20:],
    "a progressive scan without a mark of its end": GOOD["progressive"].removesuffix(END) + SECRET,
}


@pytest.mark.parametrize("photo", IN_PDFS.values(), ids=IN_PDFS.keys())
def test_photo_in_a_pdf_is_kept_without_other_bytes(photo):
    clean = sanitize_pdf(pdf_with_photo(photo))

    [stored] = PdfReader(io.BytesIO(clean)).pages[0].images
    expected = GOOD["progressive"] if photo.startswith(GOOD["progressive"][:-2]) else PHOTO
    assert stored.image.tobytes() == pixels(expected)[2]
    assert SECRET not in clean
    assert b"SEFH" not in clean


def test_photo_in_a_pdf_with_truncated_tables_is_refused():
    with pytest.raises(FileContentMismatch) as refused:
        sanitize_pdf(pdf_with_photo(jpeg_with_metadata()[:300]))

    assert refused.value.message == "The image is damaged. Take or save it again."
