"""What is known of a file before its bytes are there."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from domain.characters import strip_invisible
from domain.documents import (
    CONTENT_TYPES,
    RULE_BY_KIND,
    DocumentFormat,
    DocumentKind,
    upload_advice,
)
from domain.errors.exceptions import FileEmpty, FileTooLarge, FileTypeNotAllowed, InvalidForm
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import INPUT, Issue, make_issue

FILE_NAME_MAX_LENGTH = 255
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_FOLDERS = re.compile(r"[/\\]")
# Neither stands in any name of a file.
_IN_NO_NAME = re.compile(r"[\0\ud800-\udfff]")
UNKNOWN_MEDIA_TYPE = "application/octet-stream"
# As systems, browsers and programs name the formats.
_FORMAT_OF_TYPE = {
    f"{group}/{name}": one
    for one, groups, names in (
        (DocumentFormat.PNG, "image application", "png x-png apng vnd.mozilla.apng x-citrix-png"),
        (
            DocumentFormat.JPEG,
            "image application",
            "jpeg jpg pjpeg pjpg x-jpeg x-jpg jpe jfif x-citrix-jpeg mpo",
        ),
        (DocumentFormat.PDF, "application text", "pdf x-pdf acrobat vnd.pdf"),
    )
    for group in groups.split()
    for name in names.split()
}
# Of files that are something, or to be saved.
_UNSPECIFIC = re.compile(
    r"(?:application|binary|content|unknown|image)/(?:x-)?(?:octet-?stream|binary|unknown"
    r"|unknown-content-type|(?:force-)?download|save|file|\*)|\*/\*"
)
_TYPE = re.compile(r"[^/]+/[^/]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """A file as its sender describes it."""

    kind: DocumentKind
    file_name: str
    content_type: str
    byte_size: int
    sha256: str


def validate_upload_request(file: UploadRequest) -> None:
    """Raises FileEmpty, FileTooLarge, FileTypeNotAllowed, InvalidForm."""
    rule = RULE_BY_KIND[file.kind]
    if file.byte_size < rule.min_bytes:
        raise FileEmpty
    if file.byte_size > rule.max_bytes:
        raise FileTooLarge(
            f"The file is too large. {upload_advice(rule.formats)}",
            details={"limitBytes": rule.max_bytes},
        )
    # The content decides; only what can be nothing that is taken is refused before it is sent.
    if normalize_media_type(file.content_type) not in {
        UNKNOWN_MEDIA_TYPE,
        *(CONTENT_TYPES[one] for one in rule.formats),
    }:
        raise FileTypeNotAllowed(
            f"This type of file is not taken here. {upload_advice(rule.formats)}",
            details={"formats": [one.value for one in rule.formats]},
        )
    issues = list(_issues(file))
    if issues:
        raise InvalidForm(issues)


def _issues(file: UploadRequest) -> Iterator[Issue]:
    if not _is_name(file.file_name):
        bounds = {"min": 1, "max": FILE_NAME_MAX_LENGTH}
        yield make_issue((*INPUT, "fileName"), IssueCode.FILE_NAME_INVALID, bounds)
    if not _SHA256.fullmatch(file.sha256):
        yield make_issue((*INPUT, "sha256"), IssueCode.HASH_INVALID)


def normalize_media_type(content_type: str) -> str:
    """The type as it is registered, in lower case and without parameters.

    UNKNOWN_TYPE for those that say nothing: an empty one, and those that are no media types.
    """
    said = content_type.partition(";")[0].strip().lower()
    if said in _FORMAT_OF_TYPE:
        return CONTENT_TYPES[_FORMAT_OF_TYPE[said]]
    return said if _TYPE.fullmatch(said) and not _UNSPECIFIC.fullmatch(said) else UNKNOWN_MEDIA_TYPE


def _is_name(path: str) -> bool:
    """Whether it ends with a name. Folders before it, which some systems send, do not matter."""
    name = _FOLDERS.split(strip_invisible(path).rstrip("/\\"))[-1]
    is_name = 0 < len(name) <= FILE_NAME_MAX_LENGTH and name.strip() not in {"", ".", ".."}
    return is_name and not _IN_NO_NAME.search(path)
