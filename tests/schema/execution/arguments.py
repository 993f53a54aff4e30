"""Arguments: present, absent or null, as literals and as variables."""

from tests.schema.execution.cases import Case
from tests.schema.executions import Error

TOLD = "query ($text: String, $count: Int) { told(text: $text, count: $count) }"
DEFAULTS = 'query ($text: String = "of it") { told(text: $text) }'
NEEDED = "query ($text: String!, $often: Int) { needed(text: $text, often: $often) }"
SIZE = "query ($size: Size, $colours: [Colour!]) { measured(size: $size, colours: $colours) }"
INSIDE = "query ($width: Int) { measured(size: {height: 1, width: $width}) }"
SCALED = "query ($by: Float!, $key: ID, $up: Boolean!) { scaled(by: $by, key: $key, isUp: $up) }"


NO_NULL = (
    "Argument 'often' has invalid value: Expected variable '$often' provided to non-null type"
    " 'Int!' not to be None."
)


def _case(name: str, query: str, data: dict, *, way="compiled", **variables) -> Case:
    return Case(name=name, query=query, variables=variables, data=data, way=way)


def _refused(name: str, query: str, *errors: Error, data: dict | None = None, **variables) -> Case:
    return Case(
        name=name,
        query=query,
        variables=variables,
        data=data,
        errors=list(errors),
        way="interpreted",
    )


def _wrong(name: str, message: str, column: int = 8) -> Error:
    return f"Variable '${name}' has invalid value{message}", None, [(1, column)]


CASES = (
    _case("none", "{ told }", {"told": "text='none given', count=None"}),
    _case("a literal", '{ told(text: "a") }', {"told": "text='a', count=None"}),
    _case("literals", '{ told(count: 3, text: "a") }', {"told": "text='a', count=3"}),
    _case("a null", "{ told(text: null, count: null) }", {"told": "text=None, count=None"}),
    _case("variables", TOLD, {"told": "text='a', count=2"}, text="a", count=2),
    _case("absent variables", TOLD, {"told": "text='none given', count=None"}),
    _case("variables that are null", TOLD, {"told": "text=None, count=1"}, text=None, count=1),
    _case("the default of a variable", DEFAULTS, {"told": "text='of it', count=None"}),
    _case("in the place of the default", DEFAULTS, {"told": "text='a', count=None"}, text="a"),
    _case(
        "null in the place of the default", DEFAULTS, {"told": "text=None, count=None"}, text=None
    ),
    _case(
        "one variable twice and another beside a literal",
        "query ($a: String) {"
        ' told(text: $a, count: 3) two: told(text: $a) three: told(text: "$a") }',
        {
            "told": "text='x', count=3",
            "two": "text='x', count=None",
            "three": "text='$a', count=None",
        },
        a="x",
    ),
    _case(
        "a float that is whole",
        TOLD,
        {"told": "text='none given', count=2"},
        way="interpreted",
        count=2.0,
    ),
    _case(
        "the default of what must be",
        NEEDED,
        {"needed": "text='a', often=2"},
        text="a",
        way="interpreted",
    ),
    _case("what must be", NEEDED, {"needed": "text='a', often=5"}, text="a", often=5),
    _case("the default beside a literal", '{ needed(text: "a") }', {"needed": "text='a', often=2"}),
    _case("nothing of an object", SIZE, {"measured": "size=None, colours=None"}),
    _case("null for an object", SIZE, {"measured": "size=None, colours=None"}, size=None),
    _case(
        "an object with its defaults",
        SIZE,
        {"measured": "size=Size(height=1, width=None, unit='cm'), colours=None"},
        size={"height": 1},
    ),
    _case(
        "an object and a list of members",
        SIZE,
        {
            "measured": "size=Size(height=1, width=2, unit='m'),"
            " colours=[<Colour.RED: 'r'>, <Colour.GREEN: 'g'>]"
        },
        size={"unit": "m", "width": 2, "height": 1},
        colours=["RED", "GREEN"],
    ),
    _case(
        "one item in the place of a list",
        SIZE,
        {"measured": "size=None, colours=[<Colour.RED: 'r'>]"},
        way="interpreted",
        colours="RED",
    ),
    _case(
        "a variable inside a literal",
        INSIDE,
        {"measured": "size=Size(height=1, width=7, unit='cm'), colours=None"},
        width=7,
    ),
    _case(
        "an absent variable inside a literal",
        INSIDE,
        {"measured": "size=Size(height=1, width=None, unit='cm'), colours=None"},
    ),
    _case(
        "numbers, keys and truths",
        SCALED,
        {"scaled": "by=0.5, key='k', is_up=False"},
        by=0.5,
        key="k",
        up=False,
    ),
    _case(
        "a number for a key",
        SCALED,
        {"scaled": "by=2.0, key='12', is_up=True"},
        way="interpreted",
        by=2,
        key=12,
        up=True,
    ),
    _case(
        "a variable beyond those that are asked for",
        TOLD,
        {"told": "text='a', count=None"},
        text="a",
        other=1,
    ),
    _refused(
        "a variable that must be",
        NEEDED,
        _wrong("text", ": Expected a value of non-null type 'String!' to be provided."),
    ),
    _refused(
        "null for a variable that must be",
        NEEDED,
        _wrong("text", ": Expected value of non-null type 'String!' not to be None."),
        text=None,
    ),
    _refused(
        "null for an argument that must be",
        NEEDED,
        (
            NO_NULL,
            ["needed"],
            [(1, 66)],
        ),
        data={"needed": None},
        text="a",
        often=None,
    ),
    _refused(
        "a number for a text",
        TOLD,
        _wrong("text", ": String cannot represent a non string value: 1"),
        text=1,
    ),
    _refused(
        "a number that is too large",
        TOLD,
        _wrong("count", ": Int cannot represent non 32-bit signed integer value: 2147483648", 23),
        count=2**31,
    ),
    _refused(
        "an object with what it does not have",
        SIZE,
        _wrong(
            "size",
            ": Expected value of type 'Size' not to include unknown field 'depth'."
            " Did you mean 'width'? Found: {'height': 1, 'depth': 2}.",
        ),
        size={"height": 1, "depth": 2},
    ),
    _refused(
        "an object without what it must have",
        SIZE,
        _wrong(
            "size", ": Expected value of type 'Size' to include required field 'height', found: {}."
        ),
        size={},
    ),
    _refused(
        "a word that is no member",
        SIZE,
        _wrong("colours", " at [1]: Value 'BLUE' does not exist in 'Colour' enum.", 21),
        colours=["RED", "BLUE"],
    ),
    _refused(
        "several that are wrong",
        TOLD,
        _wrong("text", ": String cannot represent a non string value: 1"),
        _wrong("count", ": Int cannot represent non-integer value: 'x'", 23),
        text=1,
        count="x",
    ),
)
