"""Selections: repeated fields, fragments, aliases, conditions."""

from tests.schema.execution.cases import Case
from tests.schema.execution.model import Box

FAULT = ValueError("broken")
INNER = Box(gives={"word": "w", "must": "m", "word_later": "wl"}, label="l")
GIVES = {"inner": INNER, "word": "top", "inner_later": INNER}


def _case(name: str, query: str, data: dict, **variables) -> Case:
    return Case(name=name, query=query, gives=GIVES, variables=variables, data=data)


SKIP = "query ($no: Boolean!) { word @skip(if: $no) inner { label @skip(if: $no) must } }"
INCLUDE = "query ($yes: Boolean = false) { inner { label @include(if: $yes) must } }"
BOTH = "query ($a: Boolean!, $b: Boolean!) { inner { label @skip(if: $a) @include(if: $b) must } }"
PART = """
query ($yes: Boolean!) {
  inner { ...part @include(if: $yes) ... @skip(if: $yes) { must } ... { wordLater } }
}
fragment part on Box { label word }
"""
NO_NULL = (
    "Argument 'if' has invalid value: Expected variable '$yes' provided to non-null type"
    " 'Boolean!' not to be None."
)
CASES = (
    _case(
        "the same field twice, with other fields below",
        "{ inner { label } word inner { word label must } }",
        {"inner": {"label": "l", "word": "w", "must": "m"}, "word": "top"},
    ),
    _case(
        "the same object at two depths of fragments",
        "{ ...one inner { must } ... on Query { inner { word } } }"
        " fragment one on Query { ...two inner { label } } fragment two on Query { inner"
        " { wordLater } word }",
        {
            "inner": {"wordLater": "wl", "label": "l", "must": "m", "word": "w"},
            "word": "top",
        },
    ),
    _case(
        "one field under several names",
        "{ a: inner { x: word word } b: inner { x: must } a: inner { y: label } }",
        {"a": {"x": "w", "word": "w", "y": "l"}, "b": {"x": "m"}},
    ),
    _case(
        "one fragment in several places",
        "{ inner { ...part } innerLater { ...part ...part } } fragment part on Box { must label }",
        {"inner": {"must": "m", "label": "l"}, "innerLater": {"must": "m", "label": "l"}},
    ),
    _case(
        "what is awaited keeps its place",
        "{ innerLater { wordLater must } inner { must wordLater label } word }",
        {
            "innerLater": {"wordLater": "wl", "must": "m"},
            "inner": {"must": "m", "wordLater": "wl", "label": "l"},
            "word": "top",
        },
    ),
    _case("skipped", SKIP, {"inner": {"must": "m"}}, no=True),
    _case("not skipped", SKIP, {"word": "top", "inner": {"label": "l", "must": "m"}}, no=False),
    _case("included", INCLUDE, {"inner": {"label": "l", "must": "m"}}, yes=True),
    _case("not included", INCLUDE, {"inner": {"must": "m"}}, yes=False),
    _case("not included where nothing is said", INCLUDE, {"inner": {"must": "m"}}),
    _case("skip and include: neither", BOTH, {"inner": {"must": "m"}}, a=True, b=False),
    _case("skip and include: skipped", BOTH, {"inner": {"must": "m"}}, a=True, b=True),
    _case("skip and include: left out", BOTH, {"inner": {"must": "m"}}, a=False, b=False),
    _case("skip and include: both", BOTH, {"inner": {"label": "l", "must": "m"}}, a=False, b=True),
    _case(
        "literal conditions",
        "{ word @skip(if: true) inner { a: label @include(if: true) b: label @include(if: false)"
        " c: label @skip(if: false) } }",
        {"inner": {"a": "l", "c": "l"}},
    ),
    _case("nothing is left", "{ word @skip(if: true) }", {}),
    _case("nothing is left below", "{ inner { word @include(if: false) } }", {"inner": {}}),
    _case(
        "conditions of fragments hold",
        PART,
        {"inner": {"label": "l", "word": "w", "wordLater": "wl"}},
        yes=True,
    ),
    _case(
        "conditions of fragments do not hold",
        PART,
        {"inner": {"must": "m", "wordLater": "wl"}},
        yes=False,
    ),
    _case(
        "a field that is there twice, once under a condition",
        "{ word @skip(if: true) inner { label } word }",
        {"inner": {"label": "l"}, "word": "top"},
    ),
    Case(
        name="a condition that is null",
        query=INCLUDE,
        gives=GIVES,
        variables={"yes": None},
        data={"inner": None},
        errors=[
            (
                NO_NULL,
                ["inner"],
                [(1, 60)],
            )
        ],
        way="interpreted",
    ),
    Case(
        name="a condition that is the number of one",
        query=SKIP,
        gives=GIVES,
        variables={"no": 1},
        data=None,
        errors=[
            (
                "Variable '$no' has invalid value: Boolean cannot represent a non boolean value: 1",
                None,
                [(1, 8)],
            )
        ],
        way="interpreted",
    ),
    Case(
        name="an error of a merged field is at all its places",
        query="{ inner { word } inner { ...part } } fragment part on Box { word label }",
        gives={"inner": Box(gives={"word": FAULT}, label="l")},
        data={"inner": {"word": None, "label": "l"}},
        errors=[("broken", ["inner", "word"], [(1, 11), (1, 61)])],
        way="reexecuted",
    ),
    Case(
        name="an error under another name is at that name",
        query="{\n  a: inner {\n    b: word\n  }\n}",
        gives={"inner": Box(gives={"word": FAULT})},
        data={"a": {"b": None}},
        errors=[("broken", ["a", "b"], [(3, 5)])],
        way="reexecuted",
    ),
    Case(
        name="the name of the root beside a field that fails",
        query="{ __typename word }",
        gives={"word": FAULT},
        data={"__typename": "Query", "word": None},
        errors=[("broken", ["word"], [(1, 14)])],
        way="reexecuted",
    ),
    Case(
        name="one mutation",
        query="mutation { a: wordLater }",
        gives={"word_later": "done"},
        data={"a": "done"},
    ),
    Case(
        name="several mutations, one after the other",
        query="mutation { a: wordLater b: word c: wordLater }",
        gives={"word_later": "done", "word": FAULT},
        data={"a": "done", "b": None, "c": "done"},
        errors=[("broken", ["b"], [(1, 25)])],
        way="reexecuted",
    ),
    Case(
        name="several mutations without an error",
        query="mutation { a: wordLater b: word again: wordLater }",
        gives={"word_later": "done", "word": "too"},
        data={"a": "done", "b": "too", "again": "done"},
    ),
)
