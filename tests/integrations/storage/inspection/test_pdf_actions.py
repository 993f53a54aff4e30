"""Actions in PDFs: another library must find no active content in copies."""

import io
import re
import zlib

import pikepdf
import pytest

from domain.errors.exceptions import FileContentMismatch
from integrations.storage.inspection.pdfs import sanitize_pdf
from tests.integrations.storage.inspection.files import (
    jpeg_with_metadata,
    pdf,
    pdf_with_object_stream,
    stream,
)
from tests.integrations.storage.inspection.test_pdf_copies import ACTIVE

SCREEN = b"/OpenAction << /S /URI /URI (https://example.org) >>"
LINK = b"<< /Type /Annot /Subtype /Link /Rect [0 0 9 9] %s >>"
FORBIDDEN_KEYS = frozenset(
    "/OpenAction /AA /PA /JS /JavaScript /EmbeddedFiles /EF /AF /XFA /Launch /RichMediaContent"
    " /Trans /Dur /PresSteps /Threads /FS /UF /URLS /Ref /OPI /FFilter /3DD /Collection"
    " /NeedsRendering".split()
)
ALLOWED_ACTIONS = frozenset(("/GoTo", "/Named", "/URI"))
TURNS = frozenset(("/NextPage", "/PrevPage", "/FirstPage", "/LastPage"))
ANNOTATIONS = frozenset(("/Link", "/Text", "/Widget", "/Highlight", "/Popup"))
ALLOWED_LINK = re.compile(rb"(https?://|mailto:|tel:)[!-~]+", re.IGNORECASE)


def objects(content: bytes) -> list[pikepdf.Object]:
    """Yield every object of the file and every container in it."""
    with pikepdf.open(io.BytesIO(content)) as opened:
        waiting, result = list(opened.objects), []
        while waiting:
            value = waiting.pop()
            result.append(value)
            if isinstance(value, (pikepdf.Dictionary, pikepdf.Stream)):
                entries = value.items()
                waiting += [entry for key, entry in entries if not inner_reference(entry)]
            elif isinstance(value, pikepdf.Array):
                waiting += [item for item in value if not inner_reference(item)]
        return [describe(item) for item in result]


def inner_reference(value: object) -> bool:
    return not isinstance(value, pikepdf.Object) or value.is_indirect


def describe(value: pikepdf.Object) -> dict:
    """Return keys and plain values of a dictionary, usable after the file is closed."""
    if not isinstance(value, (pikepdf.Dictionary, pikepdf.Stream)):
        return {}
    return {key: plain(item) for key, item in value.items()}


def plain(value: object) -> object:
    if isinstance(value, pikepdf.Name):
        return str(value)
    if isinstance(value, pikepdf.String):
        return bytes(value)
    if isinstance(value, (pikepdf.Dictionary, pikepdf.Stream)):
        return {
            key: plain(item) if isinstance(item, pikepdf.String) else str(item)
            for key, item in value.items()
            if key in {"/S", "/URI", "/N", "/Next"}
        }
    return None if isinstance(value, pikepdf.Object) else value


def check_passive(content: bytes) -> None:
    """Assert that the file has no automatic actions and no links other than web pages."""
    for entries in objects(content):
        assert FORBIDDEN_KEYS.intersection(entries) == set()
        assert not isinstance(entries.get("/F"), bytes)
        assert entries.get("/Type") not in {"/Action", "/Filespec"}
        assert entries.get("/Subtype") not in {"/Screen", "/Movie", "/Sound", "/RichMedia", "/3D"}
        if isinstance(action := entries.get("/A"), dict) and "/S" in action:
            assert action["/S"] in ALLOWED_ACTIONS
            assert "/Next" not in action
            assert action.get("/N", "/NextPage") in TURNS
            if action["/S"] == "/URI":
                assert entries["/Subtype"] == "/Link"
                assert ALLOWED_LINK.fullmatch(action["/URI"])
        elif entries.get("/S") in {"/GoTo", "/Named", "/URI"}:
            assert set(entries) <= {"/S", "/D", "/N", "/URI"}
        else:
            assert "/URI" not in entries


def pdf_with_action(action: bytes) -> bytes:
    return pdf(catalog=b"/OpenAction " + action)


def pdf_with_link(action: bytes) -> bytes:
    return pdf(LINK % (b"/A " + action), page=b"/Annots [4 0 R]")


WEB = b"<< /S /URI /URI (https://example.org/) >>"
SHARE = b"<< /S /URI /URI (\\\\\\\\host\\\\share) >>"
DROPPED = {
    "an address opened at the start": pdf_with_action(WEB),
    "a page opened at the start": pdf_with_action(b"[3 0 R /Fit]"),
    "a page with another action behind it": pdf_with_action(
        b"<< /S /GoTo /D [3 0 R /Fit] /Next << /S /URI /URI (https://example.org/) >> >>"
    ),
    "actions in a row at the start": pdf_with_action(
        b"<< /S /Named /N /NextPage /Next [" + WEB * 3 + b"] >>"
    ),
    "a thread": pdf_with_action(b"<< /S /Thread /F (//host/x.pdf) /D 0 >>"),
    "a thread of a link": pdf_with_link(b"<< /S /Thread /D 0 >>"),
    "printing": pdf_with_action(b"<< /S /Named /N /Print >>"),
    "printing by a link": pdf_with_link(b"<< /S /Named /N /Print >>"),
    "saving by a link with an escaped name": pdf_with_link(b"<< /S /N#61med /N /Save#41s >>"),
    "layers": pdf_with_link(b"<< /S /SetOCGState /State [/ON] >>"),
    "hiding": pdf_with_link(b"<< /S /Hide /T (x) >>"),
    "resetting": pdf_with_link(b"<< /S /ResetForm >>"),
    "a view of three dimensions": pdf_with_link(b"<< /S /GoTo3DView /V /F >>"),
    "a part of a document": pdf_with_link(b"<< /S /GoToDp /Dp 4 0 R >>"),
    "an unknown action": pdf_with_link(b"<< /S /Nonsense /URI (https://example.org/) >>"),
    "an action without a kind": pdf_with_link(b"<< /URI (smb://host/x) >>"),
    "an action elsewhere": pdf(WEB, LINK % b"/PA 4 0 R", page=b"/Annots [5 0 R] /X 4 0 R"),
    "an action of a link after its page was left": pdf(
        LINK % (b"/PA " + WEB), page=b"/Annots [4 0 R]"
    ),
    "an action as a destination": pdf(LINK % (b"/Dest " + WEB), page=b"/Annots [4 0 R]"),
    "an action among named destinations": pdf(catalog=b"/Dests << /a " + WEB + b" >>"),
    "an action in a tree of names": pdf(
        catalog=b"/Names << /Dests << /Names [(a) "
        + WEB
        + b"] >> /URLS << /Names [(a) 3 0 R] >> >>"
    ),
    "addresses of a bookmark": pdf(
        b"<< /Type /Outlines /First 5 0 R /Last 5 0 R >>",
        b"<< /Title (x) /Parent 4 0 R /A " + WEB + b" >>",
        catalog=b"/Outlines 4 0 R",
    ),
    "an action of a field": pdf(
        b"<< /FT /Btn /T (x) /Subtype /Widget /Rect [0 0 9 9] /A " + WEB + b" >>",
        catalog=b"/AcroForm << /Fields [4 0 R] >>",
        page=b"/Annots [4 0 R]",
    ),
    "more actions that are a stream": pdf(
        stream(b"", b"/O " + WEB), page=b"/AA 4 0 R /Contents 4 0 R"
    ),
    "more actions of a stream": pdf(
        stream(b"", b"/AA 5 0 R"), stream(b"", b"/O " + WEB), page=b"/Contents 4 0 R"
    ),
    "more actions of a field that are a stream": pdf(
        b"<< /FT /Tx /T (x) /AA 5 0 R >>",
        stream(b"", b"/K " + WEB),
        catalog=b"/AcroForm << /Fields [4 0 R] >>",
    ),
    "an action that is a stream": pdf(
        stream(b"", b"/S /URI /URI (https://example.org/)"), catalog=b"/OpenAction 4 0 R"
    ),
    "an action in packed objects": pdf_with_object_stream(WEB, catalog=b"/OpenAction 5 0 R"),
    "a page turned by itself": pdf(page=b"/Dur 1 /Trans << /S /Wipe >>"),
    "a page turned by an empty transition": pdf(page=b"/Trans << >>"),
    "the whole screen": pdf(catalog=b"/PageMode /FullScreen"),
    "a base of addresses": pdf(catalog=b"/URI << /Base (smb://host/) >>"),
    "an annotation with an action on a screen": pdf(
        b"<< /Subtype /Screen /Rect [0 0 9 9] /A " + WEB + b" >>", page=b"/Annots [4 0 R]"
    ),
    "an annotation of three dimensions": pdf(
        b"<< /Subtype /3D /Rect [0 0 9 9] >>",
        page=b"/Annots 5 0 R",
        pages=b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
    ).replace(b"/Annots 5 0 R", b"/Annots [4 0 R]"),
    "a page of another file": pdf(
        stream(b"", b"/Type /XObject /Subtype /Form /Ref << /F (//host/x.pdf) /Page 0 >>"),
        page=b"/Resources << /XObject << /X 4 0 R >> >>",
    ),
    "a file by its name": pdf(catalog=b"/X << /UF (//host/x) /F (\\\\\\\\host\\\\x) >>"),
    "a program for printers": pdf(
        stream(b"quit", b"/Type /XObject /Subtype /PS"), page=b"/X 4 0 R"
    ),
}
# Links in a file; a copy keeps none.
LINKS_REMOVED = {
    "smb": b"(smb://host/share)",
    "smb in odd case": b"(sMb://host/share)",
    "a share": b"(\\\\\\\\host\\\\share)",
    "a share with slashes": b"(//host/share)",
    "a share behind http": b"(http:\\\\\\\\host\\\\share)",
    "a share behind an address": b"(http:///host/share)",
    "ftp": b"(ftp://host/x)",
    "a search of Windows": b"(search-ms:query=x)",
    "an Office document": b"(ms-word:ofe|u|https://host/x)",
    "a path": b"(C:\\\\Windows\\\\x.exe)",
    "no scheme": b"(example.org)",
    "a scheme alone": b"(https://)",
    "a line break inside": b"(https://example.org/\\nx)",
    "a blank inside": b"(https://example .org/)",
    "a zero inside": b"(ht\\000tps://example.org)",
    "a tabulator in the scheme": b"(s\\tmb://host/x)",
    "UTF-16": b"<feff0073006d0062003a002f002f0068>",
    "UTF-16 with a second mark": b"<fefffeff00680074007400700073003a002f002f0068>",
    "letters that look alike": b"<feff04bb0074007400700073003a002f002f0068>",
    "bytes above ASCII": b"(https://example.org/\\377)",
    "a name": b"/https:",
    "a number": b"7",
}
LINKS_KEPT = {
    "https": (b"(https://example.org/a?b=c#d)", b"https://example.org/a?b=c#d"),
    "http in odd case": (b"(HTTP://example.org)", b"HTTP://example.org"),
    "mail": (b"(mailto:church@example.org)", b"mailto:church@example.org"),
    "telephone": (b"(tel:+919876543210)", b"tel:+919876543210"),
    "blanks around": (b"( https://example.org\\n)", b"https://example.org"),
    "hexadecimal": (b"<68747470733a2f2f61>", b"https://a"),
    "UTF-16": (b"<feff00680074007400700073003a002f002f0061>", b"https://a"),
}


@pytest.mark.parametrize("content", DROPPED.values(), ids=DROPPED.keys())
def test_copy_has_no_actions(content):
    clean = sanitize_pdf(content)

    check_passive(clean)
    assert not any("/URI" in entries for entries in objects(clean))
    with pikepdf.open(io.BytesIO(clean)) as opened:
        assert len(opened.pages) == 1
    assert sanitize_pdf(clean) == clean


@pytest.mark.parametrize("content", ACTIVE.values(), ids=ACTIVE.keys())
def test_pdf_with_active_content_is_refused(content):
    with pytest.raises(FileContentMismatch):
        sanitize_pdf(content)


@pytest.mark.parametrize("link", LINKS_REMOVED.values(), ids=LINKS_REMOVED.keys())
def test_unsafe_link_is_removed(link):
    clean = sanitize_pdf(pdf_with_link(b"<< /S /URI /URI %s >>" % link))

    check_passive(clean)
    assert b"/URI" not in clean
    with pikepdf.open(io.BytesIO(clean)) as opened:
        assert [Annot.Subtype for Annot in opened.pages[0].Annots] == ["/Link"]


@pytest.mark.parametrize(("link", "expected"), LINKS_KEPT.values(), ids=LINKS_KEPT.keys())
def test_web_mail_and_telephone_links_are_kept(link, expected):
    clean = sanitize_pdf(
        pdf_with_link(b"<< /S /URI /URI %s /IsMap true /Next %s >>" % (link, SHARE))
    )

    check_passive(clean)
    with pikepdf.open(io.BytesIO(clean)) as opened:
        (annotation,) = opened.pages[0].Annots
        assert bytes(annotation.A.URI) == expected
        assert set(annotation.A.keys()) == {"/S", "/URI"}


def test_obfuscated_script_in_a_link_is_refused():
    for link in (
        b"(JaVaScRiPt:x)",
        b"( j\\na\\tvascript:x)",
        b"<feff006a006100760061007300630072006900700074003a>",
    ):
        with pytest.raises(FileContentMismatch):
            sanitize_pdf(pdf_with_link(b"<< /S /URI /URI %s >>" % link))


def test_links_and_bookmarks_to_pages_are_kept():
    content = pdf(
        LINK % b"/A << /S /GoTo /D 7 0 R /Next << /S /Named /N /Print >> >>",
        b"<< /Type /Outlines /First 6 0 R /Last 6 0 R >>",
        b"<< /Title (x) /Parent 5 0 R /A << /S /GoTo /D (there) >> >>",
        b"[3 0 R /XYZ 0 0 0]",
        LINK % b"/A << /S /Named /N /NextPage >>",
        catalog=b"/Outlines 5 0 R /Names << /Dests << /Names [(there) [3 0 R /Fit]] >> >>",
        page=b"/Annots [4 0 R 8 0 R]",
    )

    clean = sanitize_pdf(content)

    check_passive(clean)
    with pikepdf.open(io.BytesIO(clean)) as opened:
        page, (jump, turn) = opened.pages[0], opened.pages[0].Annots
        assert jump.A.D[0].objgen == page.objgen
        assert set(jump.A.keys()) == {"/S", "/D"}
        assert turn.A.N == "/NextPage"
        with opened.open_outline() as outline:
            assert [item.title for item in outline.root] == ["x"]
            assert bytes(outline.root[0].action.D) == b"there"
        assert opened.Root.Names.Dests.Names[1][0].objgen == page.objgen


def test_structure_attributes_and_resources_with_short_names_are_kept():
    shown = stream(b"", b"/Type /XObject /Subtype /Form /BBox [0 0 1 1]")
    content = pdf(
        b"<< /Type /StructElem /S /P /A [<< /O /Layout /Placement /Block >>] >>",
        shown,
        b"<< /Type /ExtGState /ca .5 >>",
        catalog=b"/StructTreeRoot << /K [4 0 R] >>",
        page=b"/Resources << /XObject << /A 5 0 R /AA 5 0 R /F 5 0 R /PA 5 0 R >>"
        b" /ExtGState << /Trans 6 0 R /FS 6 0 R >> >>",
    )

    clean = sanitize_pdf(content)

    with pikepdf.open(io.BytesIO(clean)) as opened:
        resources = opened.pages[0].Resources
        assert opened.Root.StructTreeRoot.K[0].A[0].O == "/Layout"
        assert set(resources.XObject.keys()) == {"/A", "/AA", "/F", "/PA"}
        assert set(resources.ExtGState.keys()) == {"/Trans", "/FS"}


@pytest.mark.parametrize(
    "image",
    [
        stream(b"", b"/Subtype /Image /Width 20000 /Height 20000"),
        stream(b"", b"/Subtype /Image /Width 1 /Height 2000000000 /Filter /FlateDecode"),
        stream(b"", b"/Subtype /Image /Width 65535 /Height 65535 /Filter /JPXDecode"),
        stream(b"", b"/Subtype /Image /ImageMask true /Width 99999 /Height 9999"),
        stream(
            jpeg_with_metadata().replace(b"\0\x30\0\x40", b"\xff\xff\xff\xff"),
            b"/Subtype /Image /Filter /DCTDecode",
        ),
        stream(
            zlib.compress(
                jpeg_with_metadata(progressive=True).replace(b"\0\x30\0\x40", b"\x30\0\x30\0")
            ),
            b"/Subtype /Image /Filter [/FlateDecode /DCTDecode]",
        ),
    ],
)
def test_too_large_embedded_image_is_refused(image):
    with pytest.raises(FileContentMismatch):
        sanitize_pdf(pdf(image, page=b"/Resources << /XObject << /I 4 0 R >> >>"))


def test_scanned_page_with_high_resolution_is_accepted():
    content = pdf(
        stream(
            zlib.compress(b"x"), b"/Subtype /Image /Width 9921 /Height 14031 /Filter /FlateDecode"
        ),
        page=b"/Resources << /XObject << /I 4 0 R >> >>",
    )

    with pikepdf.open(io.BytesIO(sanitize_pdf(content))) as opened:
        assert opened.pages[0].Resources.XObject.I.Width == 9921
