"""Ids as text."""

import re
from uuid import UUID

_ID = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def parse_uuid(text: object) -> UUID | None:
    """The id that is written in 32 hexadecimal digits, with the usual hyphens or without.

    None for anything else. `UUID` itself also takes braces, `urn:`, hyphens anywhere, signs,
    underscores and the digits of other scripts, so that one id would have many names.
    """
    is_written = isinstance(text, str) and _ID.fullmatch(text)
    return UUID(str(text)) if is_written else None
