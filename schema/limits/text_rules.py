"""Text rules of arguments: length and characters of all String and ID values.

GraphQL's own scalars accept any text. As the rules are applied to the arguments of resolvers, they
hold for variables and literals alike, and for each executor.
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any

import strawberry
from strawberry.extensions import FieldExtension
from strawberry.types.base import StrawberryContainer, StrawberryList, has_object_definition
from strawberry.types.field import StrawberryField

from domain.characters import is_storable
from domain.errors.exceptions import BadUserInput
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import Path, make_issue
from domain.registration.names import RAW_LENGTH_FACTOR, REASON, unstorable_text
from schema.name_converter import NAMES

# As many characters as may be sent for the longest kind of text, at most 8,000 bytes.
MAX_TEXT_LENGTH = RAW_LENGTH_FACTOR * REASON.max_length

Check = Callable[[Any, Path], None]
ReadArguments = Callable[[Mapping[str, Any]], list[dict[str, Any]]]


class TextRule(Enum):
    """Exceptions for fields whose text a domain rule checks."""

    # An invalid text becomes an issue of the form.
    FORM = auto()
    # A text of any length is accepted and then checked by `domain.registration.names`.
    REASON = auto()


TEXT_RULE = "text_rule"
"""Key of a field's metadata for its TextRule; without one the general limits hold."""
FORM_TEXT = {TEXT_RULE: TextRule.FORM}
REASON_TEXT = {TEXT_RULE: TextRule.REASON}


class TextRulesExtension(FieldExtension):
    """Refuses arguments with a text that is too long or cannot be stored."""

    def __init__(self, checks: Mapping[str, tuple[str, Check]]) -> None:
        self._checks = checks

    def map_arguments(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the same arguments. Raises BadUserInput."""
        for python_name, (name, check) in self._checks.items():
            check(kwargs.get(python_name), (name,))
        return kwargs


def apply_text_rules(*graphql_types: type) -> None:
    """Add the text rules to the fields of these object types."""
    for graphql_type in graphql_types:
        for field in graphql_type.__strawberry_definition__.fields:  # type: ignore[attr-defined]
            checks = {
                argument.python_name: (NAMES.get_graphql_name(argument), check)
                for argument in field.arguments
                if (check := _build_check(argument.type, argument.metadata)) is not None
            }
            if checks:
                field.extensions = [*field.extensions, TextRulesExtension(checks)]


def wraps_resolver(field: StrawberryField) -> bool:
    """Return whether an extension wraps the field's resolver."""
    return any(extension.has_resolver for extension in field.extensions)


def apply_extensions(read: ReadArguments, fields: list[StrawberryField]) -> ReadArguments:
    """Return a function that reads arguments and passes them through the fields' extensions."""
    mapped = [(number, field.extensions) for number, field in enumerate(fields) if field.extensions]

    def read_and_map(variables: Mapping[str, Any]) -> list[dict[str, Any]]:
        arguments = read(variables)
        for number, extensions in mapped:
            for extension in extensions:
                arguments[number] = extension.map_arguments(arguments[number])
        return arguments

    return read_and_map if mapped else read


def _build_check(graphql_type: Any, metadata: Mapping[Any, Any]) -> Check | None:
    """Return the check of a value of this type; None if it contains no text."""
    rule = metadata.get(TEXT_RULE)
    if rule is TextRule.FORM:
        return None
    if isinstance(graphql_type, StrawberryList):
        item = _build_check(graphql_type.of_type, metadata)
        return None if item is None else _items_check(item)
    if isinstance(graphql_type, StrawberryContainer):
        return _build_check(graphql_type.of_type, metadata)
    if has_object_definition(graphql_type):
        return _fields_check(graphql_type.__strawberry_definition__.fields)
    if graphql_type in {str, strawberry.ID}:
        return _require_storable if rule is TextRule.REASON else _require_text
    return None


def _fields_check(fields: list[StrawberryField]) -> Check | None:
    checks = [
        (field.python_name, NAMES.get_graphql_name(field), check)
        for field in fields
        if (check := _build_check(field.type, field.metadata or {})) is not None
    ]

    def check_members(value: Any, path: Path) -> None:
        if value:
            for python_name, name, check in checks:
                check(getattr(value, python_name), (*path, name))

    return check_members if checks else None


def _items_check(item: Check) -> Check:
    def check_items(value: Any, path: Path) -> None:
        for index, entry in enumerate(value or ()):
            item(entry, (*path, index))

    return check_items


def _require_text(value: Any, path: Path) -> None:
    if isinstance(value, str) and len(value) > MAX_TEXT_LENGTH:
        name = next(step for step in reversed(path) if isinstance(step, str))
        raise BadUserInput(
            make_issue(path, IssueCode.NAME_TOO_LONG, {"max": MAX_TEXT_LENGTH}),
            message=f"{name} has at most {MAX_TEXT_LENGTH} characters. Please shorten it.",
            details={"path": list(path), "max": MAX_TEXT_LENGTH},
        )
    _require_storable(value, path)


def _require_storable(value: Any, path: Path) -> None:
    # Only as many characters as a rule may accept are searched.
    if isinstance(value, str) and not is_storable(value[:MAX_TEXT_LENGTH]):
        raise unstorable_text(path)
