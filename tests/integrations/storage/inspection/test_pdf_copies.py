"""Sanitized PDFs: content stays, metadata goes, active or expensive files are refused."""

import io
import zlib

import pytest
from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    Fit,
    NameObject,
    NumberObject,
    StreamObject,
)

from domain.errors.exceptions import FileContentMismatch
from integrations.storage.inspection.pdfs import MAX_OBJECTS, sanitize_pdf
from tests import sample_files
from tests.integrations.storage.inspection.files import (
    jpeg_with_metadata,
    pdf,
    pdf_action,
    pdf_document,
    pdf_with_object_stream,
    pdf_with_open_action,
    revise,
    stream,
    zip_archive,
)

DAMAGED = "The PDF is damaged. Make it again."
ACTING = "The PDF has scripts, forms or files in it. Print it to a new one."
PROTECTED = (
    "The PDF asks for a password. Open it, print it to a new PDF, and send that. On a phone, a"
    " screenshot of it will do."
)
TOO_COMPLICATED = "The PDF is too complicated. Print it to a new one."
ARCHIVE = "The PDF is an archive as well. Print it to a new one."
PAGES = "The PDF must have 1 to 200 pages. Send a shorter one."
SCRIPT = b"<< /S /JavaScript /JS (app.alert\\(1\\)) >>"


def texts(content: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(content)).pages]


def contents(content: bytes) -> list[bytes]:
    pages = PdfReader(io.BytesIO(content)).pages
    return [result.get_data() for page in pages if (result := page.get_contents()) is not None]


def multi_page_pdf(*words: str) -> bytes:
    """Build a PDF with a page for each text, which links to the next, and with bookmarks."""
    writer = PdfWriter()
    font = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
    fonts = DictionaryObject({NameObject(k): NameObject(v) for k, v in font.items()})
    for _ in words:
        writer.add_blank_page(width=200, height=100)
    for number, (word, page) in enumerate(zip(words, writer.pages, strict=True)):
        shown = StreamObject()
        shown.set_data(b"BT /F1 12 Tf 10 10 Td (%s) Tj ET" % word.encode())
        page[NameObject("/Contents")] = writer._add_object(shown.flate_encode())
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): fonts})}
        )
        following = writer.pages[(number + 1) % len(words)].indirect_reference
        link = DictionaryObject(
            {
                NameObject("/Subtype"): NameObject("/Link"),
                NameObject("/Rect"): ArrayObject([NumberObject(item) for item in (0, 0, 9, 9)]),
                NameObject("/Dest"): ArrayObject([following, NameObject("/Fit")]),
            }
        )
        page[NameObject("/Annots")] = ArrayObject([writer._add_object(link)])
        writer.add_outline_item(title=word, page_number=number, fit=Fit.fit())
    result = io.BytesIO()
    writer.write(result)
    return result.getvalue()


def test_pages_content_and_bookmarks_are_kept():
    content = multi_page_pdf("Letter", "of", "pastor")

    clean = sanitize_pdf(content)

    assert texts(clean) == ["Letter", "of", "pastor"]
    assert contents(clean) == contents(content)
    reader = PdfReader(io.BytesIO(clean), strict=True)
    assert [item.title for item in reader.outline] == ["Letter", "of", "pastor"]
    assert [reader.get_destination_page_number(item) for item in reader.outline] == [0, 1, 2]


def test_pages_that_form_a_long_chain_are_copied():
    words = [f"page {number}" for number in range(200)]

    assert texts(sanitize_pdf(multi_page_pdf(*words))) == words


def test_web_link_is_kept():
    link = b"<< /Subtype /Link /A << /S /URI /URI (https://example.org/data:1) >> >>"

    clean = sanitize_pdf(pdf(link, page=b"/Annots [4 0 R]"))

    [annotation] = PdfReader(io.BytesIO(clean)).pages[0]["/Annots"]
    assert annotation.get_object()["/A"]["/URI"] == "https://example.org/data:1"


def test_metadata_streams_and_private_data_are_removed():
    xmp = stream(b"<x:xmpmeta>Maker</x:xmpmeta>", b"/Type /Metadata /Subtype /XML")
    private = b"/PieceInfo << /Program << /Private (Maker) >> >> /Thumb 5 0 R"
    content = pdf(xmp, stream(b"Thumbnail"), catalog=b"/Metadata 4 0 R", page=private)
    modified = content.replace(
        b"/Root 1 0 R", b"/Root 1 0 R /Info << /Author (Somebody) >> /ID [(M)(M)]"
    )

    clean = sanitize_pdf(modified)

    assert modified.count(b"Maker") == 2
    assert [
        item for item in (b"Maker", b"Thumbnail", b"Somebody", b"/Info", b"/ID") if item in clean
    ] == []
    assert PdfReader(io.BytesIO(clean)).metadata is None
    assert PdfReader(io.BytesIO(clean)).xmp_metadata is None


def test_document_information_is_removed():
    content = pdf_document()

    clean = sanitize_pdf(content)

    assert b"Somebody" in content
    assert [item for item in (b"Somebody", b"pypdf") if item in clean] == []


def test_older_revisions_are_removed():
    content = revise(pdf(b"(Secret)", page=b"/Note 4 0 R"), 4, b"(Public)")

    clean = sanitize_pdf(content)

    assert b"Secret" in content
    assert b"Secret" not in clean
    assert b"(Public)" in clean


@pytest.mark.parametrize(
    ("packed", "filters"),
    [
        (bytes, b"/Filter /DCTDecode /DecodeParms << /ColorTransform 1 >>"),
        (bytes, b"/Filter [/DCTDecode]"),
        (zlib.compress, b"/Filter [/FlateDecode /DCTDecode]"),
    ],
)
def test_exif_of_an_embedded_photo_is_removed(packed, filters):
    photo = jpeg_with_metadata(orientation=6)
    size = b"/Subtype /Image /Width 64 /Height 48 /ColorSpace /DeviceRGB /BitsPerComponent 8 "
    content = pdf(
        stream(packed(photo), size + filters), page=b"/Resources << /XObject << /I 4 0 R >> >>"
    )

    clean = sanitize_pdf(content)

    [before], [after] = (PdfReader(io.BytesIO(item)).pages[0].images for item in (content, clean))
    assert b"Exif" not in clean
    assert b"Maker of the camera" not in clean
    assert after.image.tobytes() == before.image.tobytes()


def test_objects_in_object_streams_are_copied():
    clean = sanitize_pdf(
        pdf_with_object_stream(b"<< /Note (kept) /Next 6 0 R >>", b"[1 2 3]", catalog=b"/X 5 0 R")
    )

    result = PdfReader(io.BytesIO(clean)).root_object["/X"]
    assert result["/Note"] == "kept"
    assert result["/Next"] == [1, 2, 3]
    assert b"/ObjStm" not in clean


def test_glyph_and_blend_mode_names_are_not_taken_for_actions():
    font = b"<< /Type /Font /Subtype /Type3 /CharProcs << /AA 5 0 R /EF 5 0 R >> >>"
    resources = b"/Resources << /Font << /F1 4 0 R >> /ExtGState << /G << /BM /Screen >> >> >>"

    clean = sanitize_pdf(pdf(font, stream(b"0 0 m"), page=resources))

    assert PdfReader(io.BytesIO(clean)).pages[0]["/Resources"]["/Font"]["/F1"]["/CharProcs"]


ALGORITHMS = ("RC4-40", "RC4-128", "AES-128", "AES-256-R5", "AES-256")


def encrypted(password: str, algorithm: str = "RC4-128") -> bytes:
    return pdf_document(lambda writer, _: writer.encrypt(password, "owner", algorithm=algorithm))


def with_handler(version: bytes) -> bytes:
    handler = b"<< /Filter /Standard %s /Length 256 /P -4 /U (%s) /O (%s) >>"
    encryption = handler % (version, b"x" * 48, b"x" * 48)
    return pdf(encryption).replace(b"/Root 1 0 R", b"/Root 1 0 R /Encrypt 4 0 R")


ACTIVE = {
    "a script when it is opened": pdf_document(
        pdf_with_open_action(pdf_action("/JavaScript", JS="app.alert(1)"))
    ),
    "a script with an escaped name": pdf(
        catalog=b"/OpenAction "
        + SCRIPT.replace(b"/JavaScript", b"/#4aava#53cript").replace(b"/JS", b"/J#53")
    ),
    "a script among names": pdf(catalog=b"/Names << /JavaScript << /Names [(a) 4 0 R] >> >>"),
    "a script of a page": pdf(page=b"/AA << /O " + SCRIPT + b" >>"),
    "an empty action of a page": pdf(page=b"/AA << >>"),
    "a script of an annotation": pdf(
        b"<< /Subtype /Link /A " + SCRIPT + b" >>", page=b"/Annots [4 0 R]"
    ),
    "a script in a packed stream": pdf_with_object_stream(SCRIPT, catalog=b"/OpenAction 5 0 R"),
    "a script that nothing refers to": pdf(SCRIPT),
    "a script with its name elsewhere": pdf(b"/JavaScript", catalog=b"/OpenAction << /S 4 0 R >>"),
    "a script that follows another action": pdf(
        catalog=b"/OpenAction << /S /GoTo /D [3 0 R /Fit] /Next [" + SCRIPT + b"] >>"
    ),
    "a script in a newer revision": revise(pdf(b"null", catalog=b"/OpenAction 4 0 R"), 4, SCRIPT),
    "a program to start": pdf(catalog=b"/OpenAction << /S /Launch /F (cmd.exe) >>"),
    "a form to send": pdf_document(pdf_with_open_action(pdf_action("/SubmitForm", F="http://x"))),
    "data to import": pdf(catalog=b"/OpenAction << /S /ImportData /F (x) >>"),
    "an embedded document to open": pdf(catalog=b"/OpenAction << /S /GoToE /D (x) >>"),
    "another document to open": pdf(catalog=b"/OpenAction << /S /GoToR /F (//host/x) >>"),
    "a file": pdf_document(lambda writer, _: writer.add_attachment("x.exe", b"MZ")),
    "a file that does not say so": pdf(stream(b"MZ"), catalog=b"/X << /EF << /F 4 0 R >> >>"),
    "a form of XFA": pdf(catalog=b"/AcroForm << /XFA [] >>"),
    "rich media": pdf(b"<< /Subtype /RichMedia >>", page=b"/Annots [4 0 R]"),
    "a film": pdf(b"<< /Subtype /Movie >>", page=b"/Annots [4 0 R]"),
    "a sound": pdf(catalog=b"/OpenAction << /S /Sound >>"),
    "a link that is a script": pdf(catalog=b"/X << /S /URI /URI ( Java\\nScript:alert\\(1\\)) >>"),
    "a link elsewhere that is a script": pdf(b"(javascript:x)", catalog=b"/X << /URI 4 0 R >>"),
    "a stream whose content is in a file": pdf(stream(b"", b"/F (//host/x)")),
}
REFUSED = {name: (content, ACTING) for name, content in ACTIVE.items()} | {
    **{f"protected by {item}": (encrypted("secret", item), PROTECTED) for item in ALGORITHMS},
    "protected by a blank": (encrypted(" "), PROTECTED),
    "protected by an unknown password": (with_handler(b"/V 5 /R 6 /CF << >>"), PROTECTED),
    "protected by a certificate": (
        with_handler(b"/V 4 /SubFilter /adbe.pkcs7.s5").replace(b"/Standard", b"/Adobe.PubSec"),
        PROTECTED,
    ),
    "rubbish": (b"%PDF-1.7\n" + bytes(range(256)) * 40, DAMAGED),
    "cut": (sample_files.pdf()[:200], DAMAGED),
    "a photo whose filter has an old name": (
        pdf(stream(jpeg_with_metadata(), b"/Filter /DCT"), page=b"/X 4 0 R"),
        DAMAGED,
    ),
    "without pages": (pdf(pages=b"<< /Type /Pages /Count 0 /Kids [] >>"), PAGES),
    "with too many pages": (pdf(pages=b"<< /Kids [%s] >>" % (b"3 0 R " * 201)), PAGES),
    "an archive behind": (sample_files.pdf() + zip_archive(), ARCHIVE),
    "an archive inside": (pdf(stream(zip_archive()), page=b"/Contents 4 0 R"), ARCHIVE),
    "pages that contain themselves": (pdf(pages=b"<< /Type /Pages /Kids [2 0 R] >>"), DAMAGED),
    "references in a circle": (pdf(b"5 0 R", b"4 0 R", catalog=b"/X 4 0 R"), DAMAGED),
    "deep arrays": (pdf(b"[" * 60 + b"]" * 60), TOO_COMPLICATED),
    "bottomless arrays": (pdf(b"[" * 50_000), DAMAGED),
    "too many objects": (pdf(*[b"null"] * MAX_OBJECTS), TOO_COMPLICATED),
    "a million objects": (pdf_with_object_stream(b"null", rows=1_000_000), DAMAGED),
    "a hundred thousand packed objects": (
        pdf_with_object_stream(b"null", rows=100_000),
        TOO_COMPLICATED,
    ),
    "packed objects that grow enormously": (
        pdf_with_object_stream(b"[" + b"[1 2 3]" * 1_000_000 + b"]", catalog=b"/X 5 0 R"),
        DAMAGED,
    ),
    "a copy that would be much larger": (
        pdf(
            *[b"(%s)" % (b"\1" * 9_000)] * 400,
            catalog=b"/X [%s]" % b" ".join(b"%d 0 R" % number for number in range(4, 404)),
        ),
        TOO_COMPLICATED,
    ),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_invalid_pdf_is_refused(content, message):
    with pytest.raises(FileContentMismatch) as refused:
        sanitize_pdf(content)

    assert refused.value.message == message


def test_circular_references_are_copied():
    content = pdf(b"<< /Parent 3 0 R /Self 4 0 R >>", page=b"/X 4 0 R")

    clean = sanitize_pdf(content)

    assert len(PdfReader(io.BytesIO(clean)).pages) == 1


def test_exceeded_time_budget_is_refused():
    with pytest.raises(FileContentMismatch) as refused:
        sanitize_pdf(multi_page_pdf("Letter"), max_seconds=0)

    assert refused.value.message == TOO_COMPLICATED


def test_search_for_missing_objects_is_limited_in_time():
    """pypdf searches the whole file for each of them and ignores exceptions."""
    nowhere = b" ".join(b"%d 0 R" % number for number in range(1_000, 4_000))
    content = pdf(stream(b"\n1 " * 1_000_000), page=b"/X [%s]" % nowhere)

    with pytest.raises(FileContentMismatch) as refused:
        sanitize_pdf(content, max_seconds=0.2)

    assert refused.value.message == TOO_COMPLICATED
