"""The schema definition language of the schema, and its breaking changes."""

from graphql import build_schema
from graphql.utilities import find_breaking_changes

from schema import schema


def print_sdl() -> str:
    return schema.as_str() + "\n"


def breaking_changes(old: str) -> list[str]:
    """Describe the changes since the schema `old` that break its clients."""
    changes = find_breaking_changes(build_schema(old), build_schema(print_sdl()))
    return [change.description for change in changes]
