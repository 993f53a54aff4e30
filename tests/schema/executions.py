"""Counters of executions, and results in a comparable form."""

from collections.abc import Iterable
from typing import Any

from graphql import GraphQLError

from observability.metrics import GRAPHQL_EXECUTIONS

Error = tuple[str, list[str | int] | None, list[tuple[int, int]]]
"""Message, path, and line and column of each location."""


def executions(how: str) -> int:
    """Return the number of executions of this kind so far."""
    return int(GRAPHQL_EXECUTIONS.labels(how)._value.get())


def errors_of(errors: Iterable[GraphQLError] | None) -> list[Error]:
    return [
        (item.message, item.path, [(place.line, place.column) for place in item.locations or ()])
        for item in errors or ()
    ]


def ordered(data: Any) -> Any:
    """Convert data so that comparison includes the order of keys and the types of leaves."""
    if isinstance(data, dict):
        return [(key, ordered(value)) for key, value in data.items()]
    if isinstance(data, list):
        return [ordered(value) for value in data]
    return type(data), repr(data)
