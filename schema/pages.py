"""Connections after Relay: keyset cursors, opaque, `totalCount` only when it is selected."""

import base64
import binascii
import re
from collections.abc import Awaitable, Callable
from typing import Any, Self
from uuid import UUID

import orjson
import strawberry
from strawberry import Private, field

from domain.errors import BadUserInput
from persistence.churches import ChurchPage
from persistence.records import ChurchRecord
from schema.objects import Church

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 100

_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    has_next_page: bool = field(description="Whether there is more after endCursor.")
    has_previous_page: bool = field(description="Whether there is more before startCursor.")
    start_cursor: str | None = field(description="The first entry's; null on an empty page.")
    end_cursor: str | None = field(description="The last entry's; null on an empty page.")


@strawberry.type(description="A church in a list.")
class ChurchEdge:
    cursor: str = field(description="Where the entry stands; opaque.")
    node: Church = field(description="The church.")


async def _total_count(root: Any) -> int:
    count: int = await root.count()
    return count


@strawberry.type(description="A page of churches, by name.")
class ChurchConnection:
    edges: list[ChurchEdge] = field(description="The entries with their cursors.")
    nodes: list[Church] = field(description="The entries alone.")
    page_info: PageInfo = field(description="Where the page stands.")
    count: Private[Callable[[], Awaitable[int]]]
    total_count: int = field(
        resolver=_total_count,
        description="How many entries the whole list has; counted only when asked for.",
    )

    @classmethod
    def from_page(
        cls, page: ChurchPage, *, has_previous: bool, count: Callable[[], Awaitable[int]]
    ) -> Self:
        edges = [
            ChurchEdge(cursor=_cursor(record), node=Church.from_record(record))
            for record in page.rows
        ]
        return cls(
            edges=edges,
            nodes=[edge.node for edge in edges],
            page_info=PageInfo(
                has_next_page=page.has_next,
                has_previous_page=has_previous,
                start_cursor=edges[0].cursor if edges else None,
                end_cursor=edges[-1].cursor if edges else None,
            ),
            count=count,
        )


def page_size(first: int | None) -> int:
    """Raises BadUserInput outside 1 to 100."""
    if first is None:
        return PAGE_SIZE_DEFAULT
    if not 1 <= first <= PAGE_SIZE_MAX:
        raise BadUserInput(f"first must be between 1 and {PAGE_SIZE_MAX}.")
    return first


def search_text(search: str | None) -> str | None:
    """Raises BadUserInput for what is no text to a database: NUL and half a character."""
    if search is not None and _NO_TEXT.search(search):
        raise BadUserInput("search has characters that no text has.")
    return search


def parse_cursor(cursor: str | None) -> tuple[str, UUID] | None:
    """The name and id after which a page starts. Raises BadUserInput."""
    if cursor is None:
        return None
    try:
        name, key = orjson.loads(base64.b64decode(cursor.encode(), altchars=b"-_", validate=True))
        if not isinstance(name, str) or "\0" in name:
            raise BadUserInput("after is no cursor of this list.")
        return name, UUID(key)
    except (binascii.Error, ValueError, TypeError, AttributeError) as error:
        raise BadUserInput("after is no cursor of this list.") from error


def _cursor(record: ChurchRecord) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([record.name, record.id.hex])).decode()
