"""Kinds of documents and what their files may be."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

MAX_FILE_BYTES = 5 * 1024 * 1024


class DocumentKind(StrEnum):
    PASTOR_LETTER = "PASTOR_LETTER"
    PAYMENT_RECEIPT = "PAYMENT_RECEIPT"
    GROUP_PHOTO = "GROUP_PHOTO"
    IDENTITY_PROOF = "IDENTITY_PROOF"
    SUBSCRIPTION_CARD = "SUBSCRIPTION_CARD"
    PHOTO = "PHOTO"


class RetentionClass(StrEnum):
    """Kinds that are kept for the same time."""

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
KINDS_BY_RETENTION_CLASS = {
    RetentionClass.IDENTITY: (DocumentKind.IDENTITY_PROOF, DocumentKind.SUBSCRIPTION_CARD),
    RetentionClass.LETTER: (DocumentKind.PASTOR_LETTER,),
    RetentionClass.PAYMENT: (DocumentKind.PAYMENT_RECEIPT,),
    RetentionClass.PHOTO: (DocumentKind.GROUP_PHOTO, DocumentKind.PHOTO),
}
IMAGE_KINDS = frozenset({DocumentKind.GROUP_PHOTO, DocumentKind.PHOTO})
CONTENT_TYPES = {
    DocumentFormat.PNG: "image/png",
    DocumentFormat.JPEG: "image/jpeg",
    DocumentFormat.PDF: "application/pdf",
}
IMAGE_FORMATS = (DocumentFormat.PNG, DocumentFormat.JPEG)
PHONE_ADVICE = (
    "On an iPhone choose Settings → Camera → Formats → Most Compatible and take the photo again."
    " On any phone a screenshot of it will do."
)


def join_formats(formats: Collection[DocumentFormat]) -> str:
    """Their names, as a sentence has them: `PNG, JPEG or PDF`."""
    *others, last = (one.value for one in formats)
    return f"{', '.join(others)} or {last}" if others else last


def upload_advice(formats: Collection[DocumentFormat]) -> str:
    """Sentences that say what to send instead of a file that is not taken."""
    return f"Send a {join_formats(formats)} of at most {MAX_FILE_BYTES >> 20} MB. {PHONE_ADVICE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRule:
    kind: DocumentKind
    formats: tuple[DocumentFormat, ...]
    min_bytes: int = 1
    max_bytes: int = MAX_FILE_BYTES
    description: str


def _rule(kind: DocumentKind) -> FileRule:
    if kind in IMAGE_KINDS:
        return FileRule(
            kind=kind, formats=IMAGE_FORMATS, description="A PNG or JPEG, at most 5 MiB."
        )
    formats = (*IMAGE_FORMATS, DocumentFormat.PDF)
    return FileRule(kind=kind, formats=formats, description="A PNG, JPEG or PDF, at most 5 MiB.")


RULE_BY_KIND = {kind: _rule(kind) for kind in DocumentKind}
FILE_RULES = tuple(RULE_BY_KIND.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRef:
    """What a form has to know of an upload that it names."""

    id: UUID
    kind: DocumentKind
    is_claimed: bool
