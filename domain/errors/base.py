"""The base class of all errors that reach a client, and the metadata that each class declares."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from domain.errors.issues import Issue


class Category(StrEnum):
    USER_INPUT = "USER_INPUT"
    AUTH = "AUTH"
    CONFLICT = "CONFLICT"
    LIMIT = "LIMIT"
    UPSTREAM = "UPSTREAM"
    INTERNAL = "INTERNAL"


class DetailType(StrEnum):
    """JSON types in the terms of JSON Schema, and GraphQL types; an array names its items' type."""

    STRING = "string"
    DATE_TIME = "date-time"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    LIMIT = "name of a limit"
    PATH = "array of string or integer"
    BLOCKERS = "array of object"
    STATUS = "TeamStatus"
    OPERATION = "TeamOperation"
    OPERATIONS = "array of TeamOperation"
    FORMATS = "array of DocumentFormat"


@dataclass(frozen=True, slots=True)
class Detail:
    """Documentation of one key of `extensions.details`."""

    name: str
    type: DetailType
    description: str
    is_required: bool = True
    """Whether every error with the code has the key."""


class DomainError(Exception):
    """An error that the client sees with its code, message and details.

    A subclass that sets `code` adds an error code. The enumeration, the catalogue, the
    documentation and the JSON Schema are derived from its attributes (`domain/errors/codes.py`).
    No attribute ever repeats a value that was received.
    """

    code: ClassVar[str]
    category: ClassVar[Category] = Category.USER_INPUT
    http_status: ClassVar[int] = 400
    """Status of routes outside GraphQL."""
    retryable: ClassVar[bool] = False
    default_retry_after_seconds: ClassVar[int | None] = None
    description: ClassVar[str]
    """Meaning of the code, and the message of an error without its own."""
    cause: ClassVar[str]
    action: ClassVar[str]
    """Advice to the author of a client."""
    documented_details: ClassVar[tuple[Detail, ...]] = ()

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        self.message = message or self.description
        self.details = dict(details or {})
        self.issues: tuple[Issue, ...] = ()
        self.retry_after_seconds = (
            self.default_retry_after_seconds if retry_after_seconds is None else retry_after_seconds
        )
        super().__init__(self.message)


class ConflictError(DomainError):
    """The state of the service does not allow the request."""

    category = Category.CONFLICT
    http_status = 409


class UnavailableError(DomainError):
    """Something that the service depends on does not answer."""

    category = Category.UPSTREAM
    http_status = 503
    retryable = True
