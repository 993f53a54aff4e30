"""The schema as text, and what a change of it would break."""

from graphql import build_schema
from graphql.utilities import find_breaking_changes

from schema import schema


def printed() -> str:
    return schema.as_str() + "\n"


def breaking_changes(old: str) -> list[str]:
    """What clients of the schema `old` could no longer do."""
    changes = find_breaking_changes(build_schema(old), build_schema(printed()))
    return [change.description for change in changes]
