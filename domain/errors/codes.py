"""The error catalogue, derived from the classes in `domain/errors/exceptions.py`."""

from collections.abc import Mapping
from enum import StrEnum

from domain.errors import exceptions
from domain.errors.base import DomainError

# In the order of the definitions. Subclasses without a `code` of their own share their parent's.
CATALOG: Mapping[str, type[DomainError]] = {
    error.code: error
    for error in vars(exceptions).values()
    if isinstance(error, type) and issubclass(error, DomainError) and "code" in vars(error)
}


class ErrorCode(StrEnum):
    """A member for each code of the catalogue."""

    vars().update({code: code for code in CATALOG})
