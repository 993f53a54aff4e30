"""Check the result of a unit of work before it is committed."""

import math
from collections.abc import Mapping
from dataclasses import is_dataclass
from datetime import datetime
from typing import Any

_INT_MAX = 2**31 - 1


class UnrepresentableResult(Exception):
    """A result holds a value that GraphQL cannot represent. Its transaction is rolled back."""


def require_representable(value: Any) -> None:
    """Check a value and everything inside it.

    Raises UnrepresentableResult for datetimes without an offset, integers beyond 32 bits, NaN and
    infinite floats, and strings that cannot be encoded as UTF-8.
    """
    if value is None or isinstance(value, bool):
        return
    if is_dataclass(value):
        for name in value.__dataclass_fields__:
            require_representable(getattr(value, name))
    elif isinstance(value, Mapping):
        require_representable(list(value.items()))
    elif isinstance(value, tuple | list | set | frozenset):
        for item in value:
            require_representable(item)
    elif not _is_representable(value):
        raise UnrepresentableResult(type(value).__name__)


def _is_representable(value: Any) -> bool:
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, int):
        return -_INT_MAX - 1 <= value <= _INT_MAX
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, datetime) or value.tzinfo is not None
