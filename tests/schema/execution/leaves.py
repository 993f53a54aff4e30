"""Valid and invalid results for scalars, enums and object types."""

from datetime import UTC, datetime
from enum import Enum

from tests.schema.execution.cases import Case
from tests.schema.execution.model import Box, Cat, Colour, Dog, Stone, soon

FAULT = ValueError("broken")


class Paint(Enum):
    RED = "r"


def _leaf(name: str, field: str, given, answered, *, way="compiled") -> Case:
    return Case(
        name=name, query=f"{{ {field} }}", gives={field: given}, data={field: answered}, way=way
    )


def _refused(name: str, field: str, given, message: str) -> Case:
    return Case(
        name=name,
        query=f"{{ {field} }}",
        gives={field: given},
        data={field: None},
        errors=[(message, [field], [(1, 3)])],
        way="reexecuted",
    )


NO_TYPE = (
    "Abstract type 'Pet' was resolved to a type 'Stone' that does not exist inside the schema."
)
TWO_TO_31 = 2**31
PETS = [Dog(name="Rex", barks=True), Cat(name="Tom", lives=9)]
CASES = (
    _leaf("the largest Int", "whole", TWO_TO_31 - 1, 2_147_483_647),
    _leaf("the smallest Int", "whole", -TWO_TO_31, -2_147_483_648),
    _leaf("a float without a fraction is an Int", "whole", 3.0, 3, way="reexecuted"),
    _leaf("a bool is an Int", "whole", True, 1, way="reexecuted"),
    _leaf("a text of digits is an Int", "whole", "12", 12, way="reexecuted"),
    _refused(
        "an Int that is too large",
        "whole",
        TWO_TO_31,
        "Int cannot represent non 32-bit signed integer value: 2147483648",
    ),
    _refused(
        "an Int that is too small",
        "whole",
        -TWO_TO_31 - 1,
        "Int cannot represent non 32-bit signed integer value: -2147483649",
    ),
    _refused("a fraction", "whole", 1.5, "Int cannot represent non-integer value: 1.5"),
    _refused("no text is an Int", "whole", "", "Int cannot represent non-integer value: ''"),
    _leaf("a Float", "real", 1.5, 1.5),
    _leaf("an int is a Float", "real", 2, 2.0),
    _refused("NaN", "real", float("nan"), "Float cannot represent non numeric value: nan"),
    _refused("infinity", "real", float("inf"), "Float cannot represent non numeric value: inf"),
    _refused("a word is no Float", "real", "x", "Float cannot represent non numeric value: 'x'"),
    _leaf("a Boolean", "flag", False, False),
    _leaf("a number is a Boolean", "flag", 2, True, way="reexecuted"),
    _refused(
        "a text is no Boolean", "flag", "no", "Boolean cannot represent a non boolean value: 'no'"
    ),
    _leaf("a text", "word", "‘அ’", "‘அ’"),
    _leaf("a number is a String", "word", 12, "12", way="reexecuted"),
    _leaf("a bool is a String", "word", True, "true", way="reexecuted"),
    _refused("a list is no String", "word", ["a"], "String cannot represent value: ['a']"),
    _leaf("an ID", "key", "a", "a"),
    _leaf("a number is an ID", "key", 12, "12", way="reexecuted"),
    _refused("a fraction is no ID", "key", 1.5, "ID cannot represent value: 1.5"),
    _leaf(
        "a scalar of our own",
        "moment",
        datetime(2026, 1, 2, 3, tzinfo=UTC),
        "2026-01-02T03:00:00+00:00",
    ),
    _refused("no moment", "moment", 3, "'int' object has no attribute 'isoformat'"),
    _leaf("any value", "anything", {"a": [1, None]}, {"a": [1, None]}),
    _refused("any value but an error that is returned", "anything", lambda: FAULT, "broken"),
    Case(
        name="an attribute that is awaited in the place of a text",
        query="{ inner { label mustLabel } }",
        gives={"inner": lambda: Box(gives={}, label=soon("a"))},
        data={"inner": {"label": "a", "mustLabel": "box"}},
        way="reexecuted",
    ),
    _leaf("a member", "colour", Colour.GREEN, "GREEN"),
    _leaf("the value of a member", "colour", "g", "GREEN", way="reexecuted"),
    _refused(
        "a word that is no member", "colour", "b", "Enum 'Colour' cannot represent value: 'b'"
    ),
    _refused(
        "a member of another enum",
        "colour",
        Paint.RED,
        "Enum 'Colour' cannot represent value: <Paint instance>",
    ),
    Case(
        name="no member where there may be no null",
        query="{ inner { mustColour } word }",
        gives={"inner": Box(gives={"must_colour": 5}), "word": "kept"},
        data={"inner": None, "word": "kept"},
        errors=[("Enum 'Colour' cannot represent value: 5", ["inner", "mustColour"], [(1, 11)])],
        way="reexecuted",
    ),
    Case(
        name="members in a list, and one that is none",
        query="{ colours }",
        gives={"colours": [Colour.RED, "blue"]},
        data={"colours": None},
        errors=[("Enum 'Colour' cannot represent value: 'blue'", ["colours", 1], [(1, 3)])],
        way="reexecuted",
    ),
    Case(
        name="an interface",
        query="{ pets { __typename name ... on Dog { barks } ... on Cat { lives } } }",
        gives={"pets": PETS},
        data={
            "pets": [
                {"__typename": "Dog", "name": "Rex", "barks": True},
                {"__typename": "Cat", "name": "Tom", "lives": 9},
            ]
        },
    ),
    Case(
        name="the name of a type under other names, at every depth",
        query="{ a: __typename inner { b: __typename __typename } pet { c: __typename } }",
        gives={"inner": Box(gives={}), "pet": PETS[1]},
        data={"a": "Query", "inner": {"b": "Box", "__typename": "Box"}, "pet": {"c": "Cat"}},
    ),
    Case(
        name="nothing but the name of the type",
        query="{ __typename }",
        data={"__typename": "Query"},
    ),
    Case(
        name="fragments of types that an object is not of",
        query="{ pet { ... on Dog { barks } ...cat } } fragment cat on Cat { lives }",
        gives={"pet": PETS[0]},
        data={"pet": {"barks": True}},
    ),
    Case(
        name="an object of a type that the schema does not list",
        query="{ pet { name } }",
        gives={"pet": Stone(name="x")},
        data={"pet": None},
        errors=[
            (
                NO_TYPE,
                ["pet"],
                [(1, 3)],
            )
        ],
        way="reexecuted",
    ),
    Case(
        name="a union",
        query="{ either { __typename ... on Dog { name } } }",
        gives={"either": PETS[0]},
        data={"either": {"__typename": "Dog", "name": "Rex"}},
        way="interpreted",
    ),
    Case(
        name="the schema",
        query='{ __type(name: "Pet") { name kind } }',
        data={"__type": {"name": "Pet", "kind": "INTERFACE"}},
        way="interpreted",
    ),
)
