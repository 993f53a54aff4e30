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

LENIENT_SCALARS = frozenset(
    one.__name__ for one in (PhoneNumber, EmailAddress, JerseyNumber, DateText, PlayerRoleInput)
)


def parse_lenient_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
    return empty_containers(value_from_ast_untyped(node, variables))


def is_lenient_scalar(kind: object) -> bool:
    """Whether a type of the schema is a scalar that takes any JSON value for a leaf of the form."""
    return getattr(kind, "name", None) in LENIENT_SCALARS


def empty_containers(value: Any) -> Any:
    """What a list or an object holds is dropped, however deep it is: no leaf is one."""
    return type(value)() if type(value) in {list, dict} else value


def lenient_scalar(name: str, description: str, specified_by_url: str | None = None) -> Any:
    return strawberry.scalar(
        name=name,
        description=description,
        specified_by_url=specified_by_url,
        parse_value=empty_containers,
        parse_literal=parse_lenient_literal,
    )


class InvalidScalar(GraphQLError):
    """A value that is none of its scalar, in a variable or, at its node, in a document."""

    def __init__(self, code: IssueCode, node: ValueNode | None = None) -> None:
        super().__init__(message_of(code), node)
        self.code = code


def strict_parsers(read: Callable[[object], Any], code: IssueCode) -> dict[str, Any]:
    """The parsers of a scalar whose text `read` takes, or refuses with ValueError."""

    def parse(value: object, node: ValueNode | None = None) -> Any:
        try:
            return read(value)
        except ValueError:
            raise InvalidScalar(code, node) from None

    def parse_literal(node: ValueNode, _variables: dict[str, Any] | None = None) -> Any:
        return parse(node.value if isinstance(node, StringValueNode) else None, node)

    return {"parse_value": parse, "parse_literal": parse_literal}


SCALARS: dict[object, Any] = {
    PhoneNumber: lenient_scalar(
        "PhoneNumber",
        "A phone number, written any way people write it; Indian unless it starts with +. Any JSON"
        " value is taken; what is no valid number becomes the issue PHONE_INVALID.",
    ),
    EmailAddress: lenient_scalar(
        "EmailAddress",
        "An e-mail address of at most 254 characters, stored in lower case. Any JSON value is"
        " taken; what is no address becomes the issue EMAIL_INVALID.",
        "https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address",
    ),
    JerseyNumber: lenient_scalar(
        "JerseyNumber",
        "A whole number from 0 to 999. Any JSON value is taken; another one becomes the issue"
        " JERSEY_INVALID.",
    ),
    DateText: lenient_scalar(
        "DateText",
        "A calendar date as YYYY-MM-DD. Any JSON value is taken; what is no date becomes the issue"
        " DATE_INVALID.",
        "https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
    ),
    PlayerRoleInput: lenient_scalar(
        "PlayerRoleInput",
        "The name of a PlayerRole, as text. Any JSON value is taken; another one becomes the issue"
        " ROLE_UNKNOWN.",
    ),
    IssuePath: lenient_scalar(
        "IssuePath", "One step of a path: a field's name or a list index from 0."
    ),
    JSON: lenient_scalar("JSON", "Any JSON value.", "https://www.rfc-editor.org/rfc/rfc8259"),
    date: strawberry.scalar(
        name="Date",
        description="A calendar date as YYYY-MM-DD.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
        serialize=date.isoformat,
        **strict_parsers(read_day, IssueCode.DATE_INVALID),
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="A moment as RFC 3339: answered in UTC with microseconds, e.g."
        " 2026-11-23T09:30:00.000000Z; taken with any offset, which may not be missing, in the"
        " years 1900 to 2200. Digits after microseconds are dropped.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=utc_text,
        **strict_parsers(read_moment, IssueCode.DATE_TIME_INVALID),
    ),
}
