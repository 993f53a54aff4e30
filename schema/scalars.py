"""Scalars. Those of the form's leaves take any JSON value: a wrong one becomes an issue with a
path, never an error that hides the others.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, NewType

import strawberry
from graphql import GraphQLError, StringValueNode, ValueNode
from graphql.utilities import value_from_ast_untyped

from domain.datetimes import read_day, read_moment, utc_text
from domain.errors.exceptions import IssueCode
from domain.errors.issues import message_of

PhoneNumber = NewType("PhoneNumber", object)
EmailAddress = NewType("EmailAddress", object)
JerseyNumber = NewType("JerseyNumber", object)
DateText = NewType("DateText", object)
PlayerRoleInput = NewType("PlayerRoleInput", object)
IssuePath = NewType("IssuePath", object)
JSON = NewType("JSON", object)

_LEAVES = frozenset(
    one.__name__ for one in (PhoneNumber, EmailAddress, JerseyNumber, DateText, PlayerRoleInput)
)


def _literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
    return _leaf(value_from_ast_untyped(node, variables))


def is_lenient(kind: object) -> bool:
    """Whether a type of the schema is a scalar that takes any JSON value for a leaf of the form."""
    return getattr(kind, "name", None) in _LEAVES


def _leaf(value: Any) -> Any:
    """What a list or an object holds is dropped, however deep it is: no leaf is one."""
    return type(value)() if type(value) in {list, dict} else value


def _lenient(name: str, description: str, specified_by_url: str | None = None) -> Any:
    return strawberry.scalar(
        name=name,
        description=description,
        specified_by_url=specified_by_url,
        parse_value=_leaf,
        parse_literal=_literal,
    )


class ScalarRefused(GraphQLError):
    """A value that is none of its scalar, in a variable or, at its node, in a document."""

    def __init__(self, code: IssueCode, node: ValueNode | None = None) -> None:
        super().__init__(message_of(code), node)
        self.code = code


def _exact(read: Callable[[object], Any], code: IssueCode) -> dict[str, Any]:
    """The parsers of a scalar whose text `read` takes, or refuses with ValueError."""

    def parse(value: object, node: ValueNode | None = None) -> Any:
        try:
            return read(value)
        except ValueError:
            raise ScalarRefused(code, node) from None

    def parse_literal(node: ValueNode, _variables: dict[str, Any] | None = None) -> Any:
        return parse(node.value if isinstance(node, StringValueNode) else None, node)

    return {"parse_value": parse, "parse_literal": parse_literal}


SCALARS: dict[object, Any] = {
    PhoneNumber: _lenient(
        "PhoneNumber",
        "A phone number, written any way people write it; Indian unless it starts with +. Any JSON"
        " value is taken; what is no valid number becomes the issue PHONE_INVALID.",
    ),
    EmailAddress: _lenient(
        "EmailAddress",
        "An e-mail address of at most 254 characters, stored in lower case. Any JSON value is"
        " taken; what is no address becomes the issue EMAIL_INVALID.",
        "https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address",
    ),
    JerseyNumber: _lenient(
        "JerseyNumber",
        "A whole number from 0 to 999. Any JSON value is taken; another one becomes the issue"
        " JERSEY_INVALID.",
    ),
    DateText: _lenient(
        "DateText",
        "A calendar date as YYYY-MM-DD. Any JSON value is taken; what is no date becomes the issue"
        " DATE_INVALID.",
        "https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
    ),
    PlayerRoleInput: _lenient(
        "PlayerRoleInput",
        "The name of a PlayerRole, as text. Any JSON value is taken; another one becomes the issue"
        " ROLE_UNKNOWN.",
    ),
    IssuePath: _lenient("IssuePath", "One step of a path: a field's name or a list index from 0."),
    JSON: _lenient("JSON", "Any JSON value.", "https://www.rfc-editor.org/rfc/rfc8259"),
    date: strawberry.scalar(
        name="Date",
        description="A calendar date as YYYY-MM-DD.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
        serialize=date.isoformat,
        **_exact(read_day, IssueCode.DATE_INVALID),
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="A moment as RFC 3339: answered in UTC with microseconds, e.g."
        " 2026-11-23T09:30:00.000000Z; taken with any offset, which may not be missing, in the"
        " years 1900 to 2200. Digits after microseconds are dropped.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=utc_text,
        **_exact(read_moment, IssueCode.DATE_TIME_INVALID),
    ),
}
