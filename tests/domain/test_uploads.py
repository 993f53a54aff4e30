"""What is refused of a file before its bytes are sent."""

from dataclasses import replace

import pytest

from domain.documents import MAX_BYTES, DocumentKind
from domain.errors import BadUserInput, FileEmpty, FileTooLarge, FileTypeNotAllowed
from domain.uploads import Announcement, check_announcement

LETTER = Announcement(
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
        {"byte_size": MAX_BYTES},
        {"content_type": "IMAGE/PNG; charset=binary"},
        {"sha256": "AB" * 32},
        {"file_name": "கடிதம் (1).pdf"},
        {"file_name": "x" * 255},
        {"file_name": "C:\\fakepath\\letter.pdf"},
        {"file_name": "a\\b.pdf"},
        {"file_name": "..\\letter.pdf"},
        {"file_name": "\\"},
        {"file_name": "receipt 12\\11.pdf\n"},
        {"file_name": "\u202aletter.pdf\u202c"},
    ],
)
def test_a_file_within_the_rules_is_taken(changes):
    check_announcement(replace(LETTER, **changes))


@pytest.mark.parametrize(
    ("changes", "error", "details"),
    [
        ({"byte_size": 0}, FileEmpty, {}),
        ({"byte_size": -1}, FileEmpty, {}),
        ({"byte_size": MAX_BYTES + 1}, FileTooLarge, {"limitBytes": MAX_BYTES}),
        (
            {"content_type": "application/x-msdownload"},
            FileTypeNotAllowed,
            {"formats": ["PNG", "JPEG", "PDF"]},
        ),
        ({"kind": DocumentKind.GROUP_PHOTO}, FileTypeNotAllowed, {"formats": ["PNG", "JPEG"]}),
        ({"content_type": "image/heic"}, FileTypeNotAllowed, {"formats": ["PNG", "JPEG", "PDF"]}),
        ({"sha256": "a" * 63}, BadUserInput, {}),
        ({"sha256": "g" * 64}, BadUserInput, {}),
        ({"file_name": ""}, BadUserInput, {}),
        ({"file_name": " .. "}, BadUserInput, {}),
        ({"file_name": "\u200b\ufeff"}, BadUserInput, {}),
        ({"file_name": "../letter.pdf"}, BadUserInput, {}),
        ({"file_name": "letter\0.pdf"}, BadUserInput, {}),
        ({"file_name": "letter\ud800.pdf"}, BadUserInput, {}),
        ({"file_name": "x" * 256}, BadUserInput, {}),
    ],
)
def test_a_file_against_the_rules_is_refused(changes, error, details):
    with pytest.raises(error) as refused:
        check_announcement(replace(LETTER, **changes))

    assert refused.value.details == details
