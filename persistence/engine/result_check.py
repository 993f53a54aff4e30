"""Check the result of a unit of work before it is committed."""

import math
from collections.abc import Mapping
from dataclasses import is_dataclass
from datetime import datetime
from typing import Any

_INT_MAX = 2**31 - 1


class UnrepresentableResult(Exception):
    """A value that no answer can show. What it came with is not committed."""


def require_representable(value: Any) -> None:
    """Look at a value and all that it holds.

    Raises Unanswerable for moments without an offset, integers of more than 32 bits, numbers that
    are none, and text that UTF-8 cannot hold.
    """
    if value is None or isinstance(value, bool):
        return
    if is_dataclass(value):
        for name in value.__dataclass_fields__:
            require_representable(getattr(value, name))
    elif isinstance(value, Mapping):
        require_representable(list(value.items()))
    elif isinstance(value, tuple | list | set | frozenset):
        for part in value:
            require_representable(part)
    elif not _is_shown(value):
        raise UnrepresentableResult(type(value).__name__)


def _is_shown(value: Any) -> bool:
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in value)
    if isinstance(value, int):
        return -_INT_MAX - 1 <= value <= _INT_MAX
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, datetime) or value.tzinfo is not None
