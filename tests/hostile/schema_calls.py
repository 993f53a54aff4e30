"""Valid input for each field of the schema, and hostile values for each of its leaves."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    is_composite_type,
)

from schema import schema
from tests.domain.test_datetimes import INVALID_DATETIMES
from tests.hostile.odd_texts import ODD

HEX = "0123456789abcdef" * 2
TOKEN = f"icm_{HEX}_1_{'a' * 43}"
# What fits by the names of arguments and fields; by their types where no name says more.
FITTING: Mapping[str, Any] = {
    "teamId": "ICCT-001", "code": "ICCT-001", "playerId": "ICCT-001-P01",
    "playerCode": "ICCT-001-P01",
    "expectedVersion": 1, "reason": "A reason.", "overrideReason": "A reason.", "note": "A note.",
    "name": "Anand Kumar", "teamName": "Other Warriors", "churchName": "CSI Church 1",
    "email": "other@example.org", "phone": "+919876543210", "whatsapp": "+919876543211",
    "jerseyNumber": 7, "role": "BOWLER", "dateOfBirth": "2001-02-03", "fileName": "photo.png",
    "contentType": "image/png", "byteSize": 100, "sha256": "ab" * 32, "timeZone": "Asia/Kolkata",
    "venue": "St. Thomas Mount", "feeCurrency": "INR", "upiId": "payee@bank", "upiPayee": "ICCT",
    "opensAt": "2026-01-01T00:00:00Z", "closesAt": "2099-01-01T00:00:00Z", "capacity": 16,
    "teamsPerChurch": 2, "squadMin": 11, "squadMax": 15, "feeAmount": 100, "consentVersion": "1",
    "password": "correct horse battery", "token": TOKEN, "locale": "ta", "expiresInDays": 7,
    "idempotencyKey": "a key of the test", "first": 5, "last": None, "before": None, "after": None,
    "documentId": HEX, "id": HEX, "churchId": HEX,
    "intoChurchId": HEX, "organiserId": HEX, "search": "CSI", "text": "Warriors",
}  # fmt: skip
BY_TYPE: Mapping[str, Any] = {
    "String": "text", "ID": HEX, "Int": 1, "Boolean": True, "DateTime": "2026-11-23T09:30:00Z",
}  # fmt: skip
# PostgreSQL or UTF-8 cannot hold them, nobody sees them, or they mean something elsewhere.
TEXTS = (
    *ODD, "", "a\0b", "a" + "\u0301" * 300, "\u3164" * 11, "\u115f\u1160", "a\u034f", "\ufe0f",
    "\u17b4", "\u180b", "\u202ea\u202c", "\u2066", "\U000e0001", "\ud83d" * 20, "x\udc00y",
    "\U0010ffff",
    "2341 2341 2346", "'; DROP TABLE team; --", "%", "_%\\", "=1+1", "\u2028", "9" * 400,
)  # fmt: skip
LONG = tuple(character * 100_000 for character in ("a", " ", "9", "."))
LONGEST_MARKS = ("a" + "\u0301" * 15_000, "\u3164" * 30_000, "é" * 15_000, "\ud800" * 15_000)
MOMENTS = (*INVALID_DATETIMES, "1900-01-01T00:00:00Z", "2200-12-31T23:59:59.9999999Z")
ANYTHING = (None, True, 0, -1, 2**31, 2**70, 1.5, 1e308, [], {}, [["a"]], {"a": "\0"})
LENIENT = frozenset(("PhoneNumber EmailAddress JerseyNumber DateText PlayerRoleInput").split())
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A root field with valid variables."""

    name: str
    is_mutation: bool
    document: str
    variables: Mapping[str, Any]
    leaves: Mapping[Path, str]
    """The types of leaves by their paths."""

    def with_value(self, path: Path, value: Any) -> dict[str, Any]:
        """Return the variables with another value at this path."""
        if self.name == "team":
            # Either the id or the code.
            return {str(path[0]): value}
        variables: Any = deepcopy(dict(self.variables))
        if path[-1] != "token":
            # Captains send it in the header.
            variables.get("input", {}).pop("token", None)
        place = variables
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        return dict(variables)


def calls() -> list[Call]:
    """Return a call for each query and mutation."""
    native = schema._schema
    return [
        _call(name, field, is_mutation=root is native.mutation_type)
        for root in (native.query_type, native.mutation_type)
        for name, field in root.fields.items()
    ]


def values_of(kind: str) -> tuple[Any, ...]:
    """Return the values to try at a leaf of this type."""
    if kind == "DateTime":
        return (*MOMENTS, *ANYTHING)
    if kind in LENIENT or kind == "ID":
        return (*TEXTS, *ANYTHING, *LONG[:1], *LONGEST_MARKS[:1])
    return (*TEXTS, *LONG[:1], *LONGEST_MARKS[:1])


def _call(name: str, field: Any, *, is_mutation: bool) -> Call:
    leaves: dict[Path, str] = {}
    variables = {n: _fitting(n, a.type, (n,), leaves) for n, a in field.args.items()}
    declared = ", ".join(f"${n}: {a.type}" for n, a in field.args.items())
    given = ", ".join(f"{n}: ${n}" for n in field.args)
    document = f"{'mutation' if is_mutation else 'query'} C" + (f"({declared})" if declared else "")
    document += f" {{ {name}" + (f"({given})" if given else "") + f" {_selection(field.type, 2)} }}"
    return Call(
        name=name, is_mutation=is_mutation, document=document, variables=variables, leaves=leaves
    )


def _fitting(name: str, kind: Any, path: Path, leaves: dict[Path, str]) -> Any:
    """Return a valid value of the type; add the paths of texts and times in it to `leaves`."""
    if isinstance(kind, GraphQLNonNull):
        return _fitting(name, kind.of_type, path, leaves)
    if isinstance(kind, GraphQLList):
        return [_fitting(name, kind.of_type, (*path, 0), leaves)]
    if isinstance(kind, GraphQLInputObjectType):
        return {n: _fitting(n, f.type, (*path, n), leaves) for n, f in kind.fields.items()}
    if isinstance(kind, GraphQLEnumType):
        return next(iter(kind.values))
    if kind.name not in {"Int", "Boolean"}:
        leaves[path] = kind.name
    return FITTING.get(name) if name in FITTING else BY_TYPE[kind.name]


def _selection(kind: Any, depth: int) -> str:
    """Return a selection of fields without arguments, two levels deep."""
    while hasattr(kind, "of_type"):
        kind = kind.of_type
    if not is_composite_type(kind):
        return ""
    if not isinstance(kind, GraphQLObjectType):
        return "{ __typename id }"
    return "{ " + " ".join(_selected(kind, depth)) + " }"


def _selected(kind: GraphQLObjectType, depth: int) -> Iterator[str]:
    yield "__typename"
    for name, field in kind.fields.items():
        below = _selection(field.type, depth - 1) if depth > 1 else ""
        inner = field.type
        while hasattr(inner, "of_type"):
            inner = inner.of_type
        if field.args or (is_composite_type(inner) and not below):
            continue
        yield f"{name} {below}".strip()
