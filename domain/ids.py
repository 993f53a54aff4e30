"""Identifiers as text."""

import re
from uuid import UUID

_UUID = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def parse_uuid(text: object) -> UUID | None:
    """The UUID in 32 hexadecimal digits, with or without the usual hyphens; else None.

    Stricter than `UUID`, which also accepts braces, `urn:`, hyphens anywhere, signs, underscores
    and digits of other scripts: an id would have many spellings.
    """
    return UUID(text) if isinstance(text, str) and _UUID.fullmatch(text) else None
