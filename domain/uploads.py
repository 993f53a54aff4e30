"""What is known of a file before its bytes are there."""

import re
import unicodedata
from dataclasses import dataclass

from domain.characters import visible
from domain.documents import CONTENT_TYPES, RULE_OF_KIND, DocumentKind
from domain.errors import BadUserInput, FileEmpty, FileTooLarge, FileTypeNotAllowed

FILE_NAME_MAX_LENGTH = 255
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """A file as its sender describes it."""

    kind: DocumentKind
    file_name: str
    content_type: str
    byte_size: int
    sha256: str


def check_announcement(file: Announcement) -> None:
    """Raises FileEmpty, FileTooLarge, FileTypeNotAllowed, BadUserInput."""
    rule = RULE_OF_KIND[file.kind]
    if file.byte_size < rule.min_bytes:
        raise FileEmpty
    if file.byte_size > rule.max_bytes:
        raise FileTooLarge(details={"limitBytes": rule.max_bytes})
    if media_type(file.content_type) not in {CONTENT_TYPES[one] for one in rule.formats}:
        raise FileTypeNotAllowed(details={"formats": [one.value for one in rule.formats]})
    if not _SHA256.fullmatch(file.sha256):
        raise BadUserInput("sha256 has to be 64 hexadecimal digits.")
    if not _is_plain(file.file_name):
        raise BadUserInput("fileName has to be 1 to 255 characters without a / in it.")


def media_type(content_type: str) -> str:
    """The type without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def _is_plain(name: str) -> bool:
    """A bare name. It is used for nothing, but one with a path is a mistake or an attempt.

    Browsers send a made-up folder of Windows before it, and most systems have the backslash in
    names.
    """
    name = visible(name).strip()
    return (
        0 < len(name) <= FILE_NAME_MAX_LENGTH
        and name not in {"", ".", ".."}
        and not any(one == "/" or unicodedata.category(one) in {"Cc", "Cs"} for one in name)
    )
