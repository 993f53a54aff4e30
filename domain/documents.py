"""Kinds of documents, the rules of their files, and the checks before an upload starts."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from domain.characters import is_storable, strip_invisible
from domain.errors.exceptions import FileEmpty, FileTooLarge, FileTypeNotAllowed, InvalidForm
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import INPUT, Issue, make_issue

MAX_FILE_BYTES = 5 * 1024 * 1024
_MAX_SIZE = f"{MAX_FILE_BYTES >> 20} MB"
FILE_NAME_MAX_LENGTH = 255


class DocumentKind(StrEnum):
    PASTOR_LETTER = "PASTOR_LETTER"
    PAYMENT_RECEIPT = "PAYMENT_RECEIPT"
    GROUP_PHOTO = "GROUP_PHOTO"
    IDENTITY_PROOF = "IDENTITY_PROOF"
    SUBSCRIPTION_CARD = "SUBSCRIPTION_CARD"
    PHOTO = "PHOTO"


class RetentionClass(StrEnum):
    """Groups of kinds with the same retention period."""

    IDENTITY = "identity"
    LETTER = "letter"
    PAYMENT = "payment"
    PHOTO = "photo"


class DocumentFormat(StrEnum):
    PNG = "PNG"
    JPEG = "JPEG"
    PDF = "PDF"


class DocumentReview(StrEnum):
    PENDING = "PENDING"
    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    SUPERSEDED = "SUPERSEDED"


TEAM_KINDS = (DocumentKind.PASTOR_LETTER, DocumentKind.PAYMENT_RECEIPT, DocumentKind.GROUP_PHOTO)
PLAYER_KINDS = (DocumentKind.IDENTITY_PROOF, DocumentKind.SUBSCRIPTION_CARD, DocumentKind.PHOTO)
IMAGE_KINDS = frozenset({DocumentKind.GROUP_PHOTO, DocumentKind.PHOTO})
KINDS_BY_RETENTION_CLASS = {
    RetentionClass.IDENTITY: (DocumentKind.IDENTITY_PROOF, DocumentKind.SUBSCRIPTION_CARD),
    RetentionClass.LETTER: (DocumentKind.PASTOR_LETTER,),
    RetentionClass.PAYMENT: (DocumentKind.PAYMENT_RECEIPT,),
    RetentionClass.PHOTO: (DocumentKind.GROUP_PHOTO, DocumentKind.PHOTO),
}
IMAGE_FORMATS = (DocumentFormat.PNG, DocumentFormat.JPEG)
CONTENT_TYPES = {
    DocumentFormat.PNG: "image/png",
    DocumentFormat.JPEG: "image/jpeg",
    DocumentFormat.PDF: "application/pdf",
}
UNKNOWN_MEDIA_TYPE = "application/octet-stream"
PHONE_ADVICE = (
    "On an iPhone choose Settings → Camera → Formats → Most Compatible and take the photo again."
    " On any phone you can send a screenshot of it."
)

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_PATH_SEPARATORS = re.compile(r"[/\\]")
_MEDIA_TYPE = re.compile(r"[^/]+/[^/]+")
# Names that operating systems, browsers and programs give to the formats.
_FORMAT_BY_MEDIA_TYPE = {
    f"{group}/{name}": document_format
    for document_format, groups, names in (
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
# Names for any file, or for a file that is to be saved.
_UNSPECIFIC_MEDIA_TYPE = re.compile(
    r"(?:application|binary|content|unknown|image)/(?:x-)?(?:octet-?stream|binary|unknown"
    r"|unknown-content-type|(?:force-)?download|save|file|\*)|\*/\*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRule:
    kind: DocumentKind
    formats: tuple[DocumentFormat, ...]
    min_bytes: int = 1
    max_bytes: int = MAX_FILE_BYTES
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """A file as its sender describes it before sending it."""

    kind: DocumentKind
    file_name: str
    content_type: str
    byte_size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRef:
    """An upload that a form refers to."""

    id: UUID
    kind: DocumentKind
    is_claimed: bool


def join_formats(formats: Collection[DocumentFormat]) -> str:
    """Format names for a sentence: `PNG, JPEG or PDF`."""
    *others, last = (document_format.value for document_format in formats)
    return f"{', '.join(others)} or {last}" if others else last


def _file_rule(kind: DocumentKind) -> FileRule:
    formats = IMAGE_FORMATS if kind in IMAGE_KINDS else tuple(DocumentFormat)
    description = f"A {join_formats(formats)}, at most {_MAX_SIZE}."
    return FileRule(kind=kind, formats=formats, description=description)


RULE_BY_KIND = {kind: _file_rule(kind) for kind in DocumentKind}
FILE_RULES = tuple(RULE_BY_KIND.values())


def upload_advice(formats: Collection[DocumentFormat]) -> str:
    """Advice on the file to send instead of a refused file, with help for phones."""
    return f"Send a {join_formats(formats)} of at most {_MAX_SIZE}. {PHONE_ADVICE}"


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
    # An unknown type may still be an accepted format: the content decides after the upload.
    accepted_types = {UNKNOWN_MEDIA_TYPE, *map(CONTENT_TYPES.__getitem__, rule.formats)}
    if normalize_media_type(file.content_type) not in accepted_types:
        raise FileTypeNotAllowed(
            f"We cannot take this type of file. {upload_advice(rule.formats)}",
            details={"formats": [accepted.value for accepted in rule.formats]},
        )
    issues = list(_upload_issues(file))
    if issues:
        raise InvalidForm(issues)


def normalize_media_type(content_type: str) -> str:
    """The registered media type in lower case, without parameters.

    UNKNOWN_MEDIA_TYPE for an empty, malformed or unspecific type.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in _FORMAT_BY_MEDIA_TYPE:
        return CONTENT_TYPES[_FORMAT_BY_MEDIA_TYPE[media_type]]
    if _UNSPECIFIC_MEDIA_TYPE.fullmatch(media_type) or not _MEDIA_TYPE.fullmatch(media_type):
        return UNKNOWN_MEDIA_TYPE
    return media_type


def _upload_issues(file: UploadRequest) -> Iterator[Issue]:
    if not _ends_with_file_name(file.file_name):
        bounds = {"min": 1, "max": FILE_NAME_MAX_LENGTH}
        yield make_issue((*INPUT, "fileName"), IssueCode.FILE_NAME_INVALID, bounds)
    if not _SHA256.fullmatch(file.sha256):
        yield make_issue((*INPUT, "sha256"), IssueCode.HASH_INVALID)


def _ends_with_file_name(path: str) -> bool:
    """Whether a valid file name ends the path. Some systems send the folders before it too."""
    name = _PATH_SEPARATORS.split(strip_invisible(path).rstrip("/\\"))[-1]
    has_name = 0 < len(name) <= FILE_NAME_MAX_LENGTH and name.strip() not in {"", ".", ".."}
    return has_name and is_storable(path)
