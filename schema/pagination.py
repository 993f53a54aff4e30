"""Relay connections with opaque keyset cursors. `totalCount` is only counted if it is selected."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Generic, Self, TypeVar
from uuid import UUID

import orjson
import strawberry
from strawberry import Private, field

from domain.datetimes import parse_datetime
from domain.errors.exceptions import BadUserInput
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import make_issue
from domain.ids import parse_uuid
from persistence.pagination import Key, Page, PageRequest

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 100
MAX_SEARCH_LENGTH = 200
FIRST = "The maximum number of entries: 1 to 100, 50 by default."
AFTER = "The endCursor of the previous page."
LAST = (
    "The maximum number of entries, counted from the end: 1 to 100. Cannot be combined with first."
)
BEFORE = "The startCursor of the next page."

T = TypeVar("T")
R = TypeVar("R")


@strawberry.type(description="The position of a page in its list.")
class PageInfo:
    has_next_page: bool = field(description="Whether the list has entries after endCursor.")
    has_previous_page: bool = field(description="Whether the list has entries before startCursor.")
    start_cursor: str | None = field(description="The first entry's cursor; null on an empty page.")
    end_cursor: str | None = field(description="The last entry's cursor; null on an empty page.")


@strawberry.type(description="An entry of a list.")
class Edge(Generic[T]):
    cursor: str = field(description="The entry's opaque cursor.")
    node: T = field(description="The entry itself.")


def _edges(root: Any) -> list[Edge[T]]:
    entries = zip(root.cursor_keys, root.nodes, strict=True)
    return [Edge(cursor=root.codec.cursor(key), node=node) for key, node in entries]


async def _total_count(root: Any) -> int:
    count: int = await root.count()
    return count


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = field(resolver=_edges, description="The entries with their cursors.")
    nodes: list[T] = field(description="The entries without cursors.")
    page_info: PageInfo = field(description="The position of the page in the list.")
    codec: Private[Any]
    cursor_keys: Private[Sequence[Key]]
    count: Private[Callable[[], Awaitable[int]]]
    total_count: int = field(
        resolver=_total_count,
        description="The number of entries in the whole list, counted only if this field is"
        " selected.",
    )

    @classmethod
    def from_page(
        cls,
        page: Page[R],
        codec: "CursorCodec",
        create_node: Callable[[R], T],
        *,
        count: Callable[[], Awaitable[int]],
    ) -> Self:
        return cls(
            nodes=[create_node(row) for row in page.rows],
            page_info=PageInfo(
                has_next_page=page.has_next,
                has_previous_page=page.has_previous,
                start_cursor=codec.cursor(page.keys[0]) if page.keys else None,
                end_cursor=codec.cursor(page.keys[-1]) if page.keys else None,
            ),
            codec=codec,
            cursor_keys=page.keys,
            count=count,
        )


class CursorCodec:
    """Encodes the sort keys of a list's entries as cursors, and decodes them.

    `name` tells lists apart; `types` are the types of a key's parts.
    """

    def __init__(self, name: str, *types: type) -> None:
        self._name = name
        self._types = types

    def cursor(self, key: Key) -> str:
        values = [value.hex if isinstance(value, UUID) else value for value in key]
        return base64.urlsafe_b64encode(orjson.dumps([self._name, *values])).decode()

    def page_request(
        self,
        *,
        first: int | None,
        after: str | None,
        last: int | None = None,
        before: str | None = None,
    ) -> PageRequest:
        """Return the requested page. Raises BadUserInput for invalid sizes and cursors."""
        if first is not None and last is not None:
            names = {"names": ["first", "last"]}
            raise BadUserInput(
                make_issue(("last",), IssueCode.CHOOSE_ONE, names),
                message="Please give either first or last, not both.",
            )
        return PageRequest(
            size=_page_size("first", first) if last is None else _page_size("last", last),
            after=self._decode("after", after),
            before=self._decode("before", before),
            is_backward=last is not None,
        )

    def _decode(self, argument: str, cursor: str | None) -> Key | None:
        if cursor is None:
            return None
        try:
            name, *values = orjson.loads(
                base64.b64decode(cursor.encode(), altchars=b"-_", validate=True)
            )
            if name == self._name:
                return tuple(
                    _decode_value(value, value_type)
                    for value, value_type in zip(values, self._types, strict=True)
                )
        except (binascii.Error, ValueError, TypeError, AttributeError):
            pass
        raise BadUserInput(
            make_issue((argument,), IssueCode.CURSOR_INVALID),
            message=f"{argument} is not a cursor of this list. Please start from the first page.",
        )


def checked_search(text: str | None, *path: str) -> str | None:
    """Check the length of a search text. Raises BadUserInput, at this path of the arguments."""
    if text is not None and len(text) > MAX_SEARCH_LENGTH:
        raise BadUserInput(
            make_issue(path, IssueCode.NAME_TOO_LONG, {"max": MAX_SEARCH_LENGTH}),
            message=f"{path[-1]} has at most {MAX_SEARCH_LENGTH} characters.",
        )
    return text


def _page_size(name: str, size: int | None) -> int:
    if size is None:
        return DEFAULT_PAGE_SIZE
    if not 1 <= size <= MAX_PAGE_SIZE:
        raise BadUserInput(
            make_issue((name,), IssueCode.NUMBER_OUT_OF_RANGE, {"min": 1, "max": MAX_PAGE_SIZE}),
            message=f"{name} must be between 1 and {MAX_PAGE_SIZE}.",
        )
    return size


def _decode_value(value: Any, value_type: type) -> Any:
    """Convert a decoded value of a key. Raises ValueError, TypeError."""
    if value_type is UUID and (identifier := parse_uuid(value)) is not None:
        return identifier
    if value_type is datetime:
        return parse_datetime(value)
    if value_type is str and isinstance(value, str) and "\0" not in value:
        return value
    # Integers of keys are PostgreSQL integers.
    if value_type is int and type(value) is int and 0 <= value < 2**31:
        return value
    raise ValueError
