"""Scalars of the schema.

The scalars of form fields accept any JSON value: an invalid one becomes an issue with a path, and
does not hide the issues of other fields.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, NewType

import strawberry
from graphql import GraphQLError, StringValueNode, ValueNode
from graphql.utilities import value_from_ast_untyped

from domain.datetimes import format_utc, parse_date, parse_datetime
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import issue_message

PhoneNumber = NewType("PhoneNumber", object)
EmailAddress = NewType("EmailAddress", object)
JerseyNumber = NewType("JerseyNumber", object)
DateText = NewType("DateText", object)
PlayerRoleInput = NewType("PlayerRoleInput", object)
PathStep = NewType("PathStep", object)
JSON = NewType("JSON", object)

LENIENT_SCALARS = frozenset(
    scalar.__name__
    for scalar in (PhoneNumber, EmailAddress, JerseyNumber, DateText, PlayerRoleInput)
)


def parse_lenient_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
    return empty_containers(value_from_ast_untyped(node, variables))


def is_lenient_scalar(graphql_type: object) -> bool:
    """Return whether a type is a scalar of form fields, which accepts any JSON value."""
    return getattr(graphql_type, "name", None) in LENIENT_SCALARS


def empty_containers(value: Any) -> Any:
    """Replace a list or an object by an empty one, which the form's rules refuse like any other.

    No field of a form accepts a list or an object, and its content can be large.
    """
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
    """A value that is invalid for its scalar, in a variable or, at its node, in a document."""

    def __init__(self, code: IssueCode, node: ValueNode | None = None) -> None:
        super().__init__(issue_message(code), node)
        self.code = code


def strict_parsers(read: Callable[[object], Any], code: IssueCode) -> dict[str, Any]:
    """Return the parsers of a scalar. `read` raises ValueError for an invalid text."""

    def parse(value: object, node: ValueNode | None = None) -> Any:
        try:
            return read(value)
        except ValueError:
            raise InvalidScalar(code, node) from None

    def parse_literal(node: ValueNode, _variables: dict[str, Any] | None = None) -> Any:
        return parse(node.value if isinstance(node, StringValueNode) else None, node)

    return {"parse_value": parse, "parse_literal": parse_literal}


def output_scalar(name: str, description: str, specified_by_url: str | None = None) -> Any:
    """Return a scalar of responses, which no argument may have: its parsers refuse every value."""

    def refuse(_value: object) -> Any:
        raise ValueError

    return strawberry.scalar(
        name=name,
        description=description,
        specified_by_url=specified_by_url,
        **strict_parsers(refuse, IssueCode.VALUE_INVALID),
    )


SCALARS: dict[object, Any] = {
    PhoneNumber: lenient_scalar(
        "PhoneNumber",
        "A phone number in any notation, Indian unless it starts with +. Any JSON value"
        " is accepted; an invalid number becomes the issue PHONE_INVALID.",
    ),
    EmailAddress: lenient_scalar(
        "EmailAddress",
        "An e-mail address of at most 254 characters, stored in lower case. Any JSON"
        " value is accepted; an invalid address becomes the issue EMAIL_INVALID.",
        "https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address",
    ),
    JerseyNumber: lenient_scalar(
        "JerseyNumber",
        "A whole number from 0 to 999. Any JSON value is accepted; an invalid number"
        " becomes the issue JERSEY_INVALID.",
    ),
    DateText: lenient_scalar(
        "DateText",
        "A calendar date as YYYY-MM-DD. Any JSON value is accepted; an invalid date"
        " becomes the issue DATE_INVALID.",
        "https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
    ),
    PlayerRoleInput: lenient_scalar(
        "PlayerRoleInput",
        "The name of a PlayerRole, as a string. Any JSON value is accepted; an unknown"
        " name becomes the issue ROLE_UNKNOWN.",
    ),
    PathStep: output_scalar(
        "IssuePath", "A step of a path: a field's name, or a list index from 0."
    ),
    JSON: output_scalar("JSON", "Any JSON value.", "https://www.rfc-editor.org/rfc/rfc8259"),
    date: strawberry.scalar(
        name="Date",
        description="A calendar date as YYYY-MM-DD.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
        serialize=date.isoformat,
        **strict_parsers(parse_date, IssueCode.DATE_INVALID),
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="A time as in RFC 3339: returned in UTC with microseconds, e.g."
        " 2026-11-23T09:30:00.000000Z; accepted with any offset, which is required, in"
        " the years 1900 to 2200. Digits beyond microseconds are ignored.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=format_utc,
        **strict_parsers(parse_datetime, IssueCode.DATE_TIME_INVALID),
    ),
}
