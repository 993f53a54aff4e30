"""Rules of document files, and validation of upload requests."""

from dataclasses import replace

import pytest

from domain.documents import (
    FILE_RULES,
    IMAGE_KINDS,
    MAX_FILE_BYTES,
    DocumentFormat,
    DocumentKind,
    UploadRequest,
    normalize_media_type,
    validate_upload_request,
)
from domain.errors.exceptions import FileEmpty, FileTooLarge, FileTypeNotAllowed, InvalidForm

LETTER = UploadRequest(
    kind=DocumentKind.PASTOR_LETTER,
    file_name="letter.pdf",
    content_type="application/pdf",
    byte_size=1_000,
    sha256="a" * 64,
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"byte_size": 1},
        {"byte_size": MAX_FILE_BYTES},
        {"content_type": "IMAGE/PNG; charset=binary"},
        {"sha256": "AB" * 32},
        {"file_name": "கடிதம் (1).pdf"},
        {"file_name": "x" * 255},
        {"file_name": "C:\\fakepath\\letter.pdf"},
        {"file_name": "a\\b.pdf"},
        {"file_name": "..\\letter.pdf"},
        {"file_name": "receipt 12\\11.pdf\n"},
        {"file_name": "\u202aletter.pdf\u202c"},
        {"file_name": "../letter.pdf"},
        {"file_name": "/storage/emulated/0/Download/letter.pdf"},
        {"file_name": "content://media/external/file/42/letter.pdf"},
        {"file_name": "Church \\ letter / final.pdf"},
        {"file_name": "letter\\"},
        {"file_name": "folder/" * 60 + "letter.pdf"},
        {"file_name": "letter\n.pdf\t"},
    ],
)
def test_valid_upload_request_is_accepted(changes):
    validate_upload_request(replace(LETTER, **changes))


@pytest.mark.parametrize(
    ("changes", "error", "details"),
    [
        ({"byte_size": 0}, FileEmpty, {}),
        ({"byte_size": -1}, FileEmpty, {}),
        ({"byte_size": MAX_FILE_BYTES + 1}, FileTooLarge, {"limitBytes": MAX_FILE_BYTES}),
        (
            {"content_type": "application/x-msdownload"},
            FileTypeNotAllowed,
            {"formats": ["PNG", "JPEG", "PDF"]},
        ),
        ({"kind": DocumentKind.GROUP_PHOTO}, FileTypeNotAllowed, {"formats": ["PNG", "JPEG"]}),
        ({"content_type": "image/heic"}, FileTypeNotAllowed, {"formats": ["PNG", "JPEG", "PDF"]}),
    ],
)
def test_invalid_upload_request_is_refused_with_details(changes, error, details):
    with pytest.raises(error) as refusal:
        validate_upload_request(replace(LETTER, **changes))

    assert refusal.value.details == details


NAME_ISSUE = ("/input/fileName", "FILE_NAME_INVALID", {"min": 1, "max": 255})
HASH_ISSUE = ("/input/sha256", "HASH_INVALID", {})


@pytest.mark.parametrize(
    ("changes", "issues"),
    [
        ({"sha256": "a" * 63}, [HASH_ISSUE]),
        ({"sha256": "a" * 65}, [HASH_ISSUE]),
        ({"sha256": "g" * 64}, [HASH_ISSUE]),
        ({"sha256": ""}, [HASH_ISSUE]),
        ({"sha256": "\uff11" * 64}, [HASH_ISSUE]),
        ({"file_name": ""}, [NAME_ISSUE]),
        ({"file_name": " .. "}, [NAME_ISSUE]),
        ({"file_name": "\u200b\ufeff"}, [NAME_ISSUE]),
        ({"file_name": "letters/.."}, [NAME_ISSUE]),
        ({"file_name": "/"}, [NAME_ISSUE]),
        ({"file_name": "letters\\ . "}, [NAME_ISSUE]),
        ({"file_name": "letter\0.pdf"}, [NAME_ISSUE]),
        ({"file_name": "letter\ud800.pdf"}, [NAME_ISSUE]),
        ({"file_name": "x" * 256}, [NAME_ISSUE]),
        ({"file_name": "", "sha256": ""}, [NAME_ISSUE, HASH_ISSUE]),
    ],
)
def test_invalid_file_name_and_hash_are_issues(changes, issues):
    with pytest.raises(InvalidForm) as error:
        validate_upload_request(replace(LETTER, **changes))

    actual = [(entry.pointer, entry.code.value, entry.params) for entry in error.value.issues]
    assert actual == issues


TYPES = {
    "image/png": ["image/x-png", "IMAGE/PNG", " image/png ", "image/apng", "image/png;a=b"],
    "image/jpeg": [
        *("image/jpg", "image/pjpeg", "IMAGE/JPG", "image/jpeg; charset=binary", "image/jfif"),
        *("image/x-citrix-jpeg", "application/jpg", "image/mpo"),
    ],
    "application/pdf": [
        *("application/x-pdf", "Application/PDF", "text/pdf", "application/acrobat"),
        'application/pdf; name="letter.pdf"',
    ],
    "application/octet-stream": [
        *("", " ", ";", "application/octet-stream", "Application/Octet-Stream;x=y"),
        *("binary/octet-stream", "application/x-octet-stream", "application/force-download"),
        *("application/x-download", "application/unknown", "content/unknown", "unknown/unknown"),
        *("*/*", "image/*", "image", "file", "undefined", "jpg"),
    ],
}


@pytest.mark.parametrize(
    ("content_type", "media_type"),
    [(entry, name) for name, names in TYPES.items() for entry in names],
)
def test_alias_of_an_accepted_media_type_is_normalized(content_type, media_type):
    validate_upload_request(replace(LETTER, content_type=content_type))

    assert normalize_media_type(content_type) == media_type


@pytest.mark.parametrize(
    "content_type", [entry for names in list(TYPES.values())[:2] for entry in names]
)
def test_photo_with_an_alias_of_an_image_type_is_accepted(content_type):
    validate_upload_request(replace(LETTER, kind=DocumentKind.PHOTO, content_type=content_type))


@pytest.mark.parametrize(
    "content_type",
    [
        *("image/heic", "image/heif", "image/avif", "image/webp", "image/tiff", "image/bmp"),
        *("image/gif", "image/svg+xml", "IMAGE/HEIC; a=b", "image/x-adobe-dng", "video/mp4"),
        *("text/html", "application/zip", "application/msword", "text/plain"),
    ],
)
def test_refused_type_gets_advice_with_help_for_phones(content_type):
    with pytest.raises(FileTypeNotAllowed) as error:
        validate_upload_request(replace(LETTER, content_type=content_type))

    assert error.value.message == (
        "We cannot take this type of file. Send a PNG, JPEG or PDF of at most 5 MB. On an iPhone"
        " choose Settings → Camera → Formats → Most Compatible and take the photo again. On any"
        " phone you can send a screenshot of it."
    )


@pytest.mark.parametrize("kind", DocumentKind)
def test_too_large_file_gets_advice_with_help_for_phones(kind):
    formats = "PNG or JPEG" if kind in IMAGE_KINDS else "PNG, JPEG or PDF"

    with pytest.raises(FileTooLarge) as error:
        validate_upload_request(replace(LETTER, kind=kind, byte_size=MAX_FILE_BYTES + 1))

    assert error.value.message.startswith(
        f"The file is too large. Send a {formats} of at most 5 MB. On an iPhone"
    )
    assert "screenshot" in error.value.message


def test_photos_must_be_images_and_other_documents_may_be_pdf():
    photos = {rule.kind for rule in FILE_RULES if DocumentFormat.PDF not in rule.formats}

    assert photos == {DocumentKind.GROUP_PHOTO, DocumentKind.PHOTO}
    assert {(rule.min_bytes, rule.max_bytes) for rule in FILE_RULES} == {(1, 5 * 1024 * 1024)}
