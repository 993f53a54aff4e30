"""Encrypted PDFs without a user password, prefixed PDFs and empty name trees."""

import io
import re

import pikepdf
import pytest
from pypdf import PdfReader, PdfWriter

from domain.errors.exceptions import FileContentMismatch
from integrations.storage.inspection.pdfs import sanitize_pdf
from tests.integrations.storage.inspection.files import (
    jpeg_with_metadata,
    pdf,
    pdf_document,
    pdf_with_object_stream,
    stream,
)
from tests.integrations.storage.inspection.test_pdf_actions import LINK, check_passive
from tests.integrations.storage.inspection.test_pdf_copies import (
    ACTING,
    PROTECTED,
    SCRIPT,
    contents,
    multi_page_pdf,
    texts,
)

WORDS = ("Receipt 4711", "Page two")
LETTER = multi_page_pdf(*WORDS)
Packing = pikepdf.ObjectStreamMode


def encrypt(content: bytes, *, user: str = "", packing: Packing = Packing.preserve, **how) -> bytes:
    """Encrypt with qpdf; `how` is passed to pikepdf.Encryption."""
    result = io.BytesIO()
    with pikepdf.open(io.BytesIO(content)) as opened:
        with opened.open_metadata() as metadata:
            metadata["dc:title"] = "Secret"
        encryption = pikepdf.Encryption(owner="owner", user=user, **how)
        opened.save(result, encryption=encryption, object_stream_mode=packing)
    return result.getvalue()


def encrypt_with_pypdf(content: bytes, algorithm: str) -> bytes:
    writer, result = PdfWriter(clone_from=io.BytesIO(content)), io.BytesIO()
    writer.encrypt("", "owner", algorithm=algorithm)
    writer.write(result)
    return result.getvalue()


HANDLERS = {
    "RC4 of 40 bits": {"R": 2, "aes": False, "metadata": False},
    "RC4 of 128 bits": {"R": 3, "aes": False, "metadata": False},
    "RC4 by a filter": {"R": 4, "aes": False, "metadata": False},
    "AES of 128 bits": {"R": 4},
    "AES of 128 bits but for metadata": {"R": 4, "metadata": False},
    "AES of 256 bits": {"R": 6},
    "AES of 256 bits but for metadata": {"R": 6, "metadata": False},
    "all that may be forbidden": {
        "R": 6,
        "allow": pikepdf.Permissions(**dict.fromkeys(pikepdf.Permissions._fields, False)),
    },
}
OPEN = {
    f"{name}, {packing.name}": encrypt(LETTER, packing=packing, **how)
    for name, how in HANDLERS.items()
    for packing in (Packing.disable, Packing.generate)
} | {
    f"{algorithm} by pypdf": encrypt_with_pypdf(LETTER, algorithm)
    for algorithm in ("RC4-40", "RC4-128", "AES-128", "AES-256-R5", "AES-256")
}


@pytest.mark.parametrize("content", OPEN.values(), ids=OPEN.keys())
def test_pdf_with_owner_password_only_is_decrypted(content):
    clean = sanitize_pdf(content)

    assert PdfReader(io.BytesIO(content)).is_encrypted
    with pikepdf.open(io.BytesIO(clean)) as opened:
        assert not opened.is_encrypted
    assert texts(clean) == list(WORDS)
    assert contents(clean) == contents(LETTER)
    assert [word for word in (b"/Encrypt", b"Secret", b"/Metadata") if word in clean] == []
    assert sanitize_pdf(clean) == clean
    check_passive(clean)


@pytest.mark.parametrize("how", HANDLERS.values(), ids=HANDLERS.keys())
def test_pdf_with_user_password_is_refused(how):
    with pytest.raises(FileContentMismatch) as refused:
        sanitize_pdf(encrypt(LETTER, user="1234", **how))

    assert refused.value.message == PROTECTED


@pytest.mark.parametrize("how", HANDLERS.values(), ids=HANDLERS.keys())
@pytest.mark.parametrize(
    "content",
    [
        pdf(catalog=b"/OpenAction " + SCRIPT),
        pdf(LINK % b"/A << /S /URI /URI (javascript:x) >>", page=b"/Annots [4 0 R]"),
        pdf_document(lambda writer, _: writer.add_attachment("x.exe", b"MZ")),
    ],
    ids=["script", "link", "file"],
)
def test_active_content_in_an_encrypted_pdf_is_refused(content, how):
    with pytest.raises(FileContentMismatch) as refused:
        sanitize_pdf(encrypt(content, **how))

    assert refused.value.message == ACTING


def test_file_link_in_an_encrypted_pdf_is_removed():
    link = LINK % b"/A << /S /URI /URI (smb://host/share) >>"

    clean = sanitize_pdf(encrypt(pdf(link, page=b"/Annots [4 0 R]"), R=6))

    check_passive(clean)
    assert b"/URI" not in clean


def test_exif_of_a_photo_in_an_encrypted_pdf_is_removed():
    size = b"/Subtype /Image /Width 64 /Height 48 /ColorSpace /DeviceRGB /BitsPerComponent 8"
    photo = stream(jpeg_with_metadata(orientation=6), size + b" /Filter /DCTDecode")
    content = pdf(photo, page=b"/Resources << /XObject << /I 4 0 R >> >>")

    clean = sanitize_pdf(encrypt(content, R=4))

    [before], [after] = (PdfReader(io.BytesIO(item)).pages[0].images for item in (content, clean))
    assert b"Maker of the camera" not in clean
    assert after.image.tobytes() == before.image.tobytes()


BEFORE = {
    "a line feed": b"\n",
    "a mark of byte order": b"\xef\xbb\xbf",
    "zeros": bytes(300),
    "a head of HTTP": b"HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\n\r\n",
    "a line of a mail": b"Content-Transfer-Encoding: binary\r\n\r\n",
    "a page": b"<html><body>",
    "a kilobyte": b"x" * 1024,
}


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE.keys())
def test_bytes_before_the_header_are_removed(before):
    packed = pdf_with_object_stream(b"(Kept)", catalog=b"/X 5 0 R")

    assert sanitize_pdf(before + LETTER) == sanitize_pdf(LETTER)
    assert sanitize_pdf(before + packed) == sanitize_pdf(packed)
    assert sanitize_pdf(with_prefix(before, LETTER)) == sanitize_pdf(LETTER)
    assert texts(sanitize_pdf(before + encrypt(LETTER, R=4))) == list(WORDS)


def with_prefix(before: bytes, content: bytes) -> bytes:
    """Add a prefix and adjust the offsets of the file."""
    shift = len(before)
    start, table = re.split(rb"(?=\nxref\n)", content)
    table = re.sub(rb"\d{10}(?= \d{5} n)", lambda match: b"%010d" % (int(match[0]) + shift), table)
    moved = re.sub(rb"(?<=startxref\n)\d+", lambda match: b"%d" % (int(match[0]) + shift), table)
    return before + start + moved


EMPTY = {
    "trees of both": (
        b"/Names << /JavaScript << /Names [] >> /EmbeddedFiles << /Names [] >> >>",
        (),
    ),
    "a tree elsewhere": (b"/Names << /JavaScript 4 0 R >>", (b"<< /Names [] >>",)),
    "names elsewhere": (b"/Names 4 0 R", (b"<< /EmbeddedFiles << /Names 5 0 R >> >>", b"[ ]")),
    "an empty dictionary": (b"/Names << /EmbeddedFiles << >> >>", ()),
    "no branches": (b"/Names << /JavaScript << /Kids [] >> >>", ()),
    "an empty branch": (
        b"/Names << /JavaScript 4 0 R >>",
        (b"<< /Kids [5 0 R] >>", b"<< /Limits [(a) (b)] /Names [] >>"),
    ),
    "null": (b"/Names << /JavaScript null /EmbeddedFiles 4 0 R >>", (b"null",)),
    "an object that is nowhere": (b"/Names << /JavaScript 99 0 R >>", ()),
    "no form of XFA": (b"/AcroForm << /XFA null /Fields [] >>", ()),
}


@pytest.mark.parametrize(("catalog", "more"), EMPTY.values(), ids=EMPTY.keys())
def test_empty_name_trees_are_removed(catalog, more):
    clean = sanitize_pdf(pdf(*more, catalog=catalog))

    assert [item for item in (b"/JavaScript", b"/EmbeddedFiles", b"/XFA") if item in clean] == []
    check_passive(clean)


FULL = {
    "a script": (b"/Names << /JavaScript << /Names [(a) 4 0 R] >> >>", (SCRIPT,)),
    "a name alone": (b"/Names << /JavaScript << /Names [(a)] >> >>", ()),
    "a file": (b"/Names << /EmbeddedFiles << /Names [(a) 3 0 R] >> >>", ()),
    "a file in a branch": (
        b"/Names << /EmbeddedFiles << /Kids [<< /Names [(a) 3 0 R] >>] >> >>",
        (),
    ),
    "a branch that contains itself": (
        b"/Names << /JavaScript 4 0 R >>",
        (b"<< /Kids [4 0 R] >>",),
    ),
    "many branches": (
        b"/Names << /JavaScript 4 0 R >>",
        (b"<< /Kids [%s] >>" % (b"5 0 R " * 9_000), b"<< /Kids [%s] >>" % (b"6 0 R " * 9_000)),
    ),
    "another entry": (b"/Names << /JavaScript << /Names [] /X 1 >> >>", ()),
    "a stream": (b"/Names << /JavaScript 4 0 R >>", (stream(b"x"),)),
    "a text": (b"/Names << /JavaScript (app.alert\\(1\\)) >>", ()),
    "the name as a value": (b"/X [/JavaScript]", ()),
}


@pytest.mark.parametrize(("catalog", "more"), FULL.values(), ids=FULL.keys())
def test_pdf_with_filled_name_trees_is_refused(catalog, more):
    with pytest.raises(FileContentMismatch) as refused:
        sanitize_pdf(pdf(*more, catalog=catalog))

    assert refused.value.message == ACTING


def test_signature_is_removed_and_its_appearance_kept():
    field = (
        b"<< /FT /Sig /T (Pastor) /Subtype /Widget /Rect [0 0 9 9] /V 5 0 R /AP << /N 6 0 R >> >>"
    )
    signature = b"<< /Type /Sig /Filter /Adobe.PPKLite /ByteRange [0 1 2 3] /Contents <534543> >>"
    shown = stream(b"0 0 m", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9]")
    catalog = b"/AcroForm << /Fields [4 0 R] /SigFlags 3 >> /Perms << /DocMDP 5 0 R >> /DSS << >>"

    clean = sanitize_pdf(pdf(field, signature, shown, catalog=catalog, page=b"/Annots [4 0 R]"))

    removed = (b"/ByteRange", b"/SigFlags", b"/Perms", b"/DSS", b"534543")
    assert [word for word in removed if word in clean] == []
    with pikepdf.open(io.BytesIO(clean)) as opened:
        [widget] = opened.pages[0].Annots
        assert widget.AP.N.read_bytes() == b"0 0 m"
        assert "/V" not in widget
