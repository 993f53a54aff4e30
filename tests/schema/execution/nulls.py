"""Propagation of nulls and errors from non-null fields."""

from collections.abc import Iterator
from itertools import product

from tests.schema.execution.cases import Case
from tests.schema.execution.model import Box
from tests.schema.executions import Error

FAULT = ValueError("broken")
# By whether they may be null.
LEAVES = {"word": True, "must": False, "wordLater": True, "mustLater": False}
PARENTS = {"inner": True, "mustInner": False, "innerLater": True, "mustInnerLater": False}
ATTRIBUTES = {
    "word": "word",
    "must": "must",
    "wordLater": "word_later",
    "mustLater": "must_later",
    "inner": "inner",
    "mustInner": "must_inner",
    "innerLater": "inner_later",
    "mustInnerLater": "must_inner_later",
}


def _null(type_name: str, field: str) -> str:
    return f"Cannot return null for non-nullable field {type_name}.{field}."


def _at_the_root() -> Iterator[Case]:
    for (leaf, is_nullable), fault in product(LEAVES.items(), (None, FAULT)):
        message = "broken" if fault else _null("Query", leaf)
        errors: list[Error] = [(message, [leaf], [(1, 3)])] if fault or not is_nullable else []
        yield Case(
            name=f"{leaf} {'raises' if fault else 'is null'}",
            query=f"{{ {leaf} }}",
            gives={ATTRIBUTES[leaf]: fault},
            data={leaf: None} if is_nullable else None,
            errors=errors,
            way="reexecuted" if errors else "compiled",
        )


def _below(parent: str, leaf: str, fault: Exception | None) -> Case:
    message = "broken" if fault else _null("Box", leaf)
    errors: list[Error] = []
    if fault or not LEAVES[leaf]:
        errors = [(message, ["top", parent, leaf], [(1, 19 + len(parent))])]
    reached: dict | None = {"top": {parent: {leaf: None}}}
    if not LEAVES[leaf]:
        reached = {"top": {parent: None} if PARENTS[parent] else None}
    return Case(
        name=f"{leaf} below {parent} {'raises' if fault else 'is null'}",
        query=f"{{ top: inner {{ {parent} {{ {leaf} }} }} }}",
        gives={"inner": Box(gives={ATTRIBUTES[parent]: Box(gives={ATTRIBUTES[leaf]: fault})})},
        data=reached,
        errors=errors,
        way="reexecuted" if errors else "compiled",
    )


def _nested() -> Iterator[Case]:
    for parent, leaf, fault in product(PARENTS, LEAVES, (None, FAULT)):
        yield _below(parent, leaf, fault)


BROKEN = {"word": FAULT, "must": FAULT, "word_later": FAULT, "must_later": FAULT}
CASES = (
    *_at_the_root(),
    *_nested(),
    Case(
        name="an attribute that is null",
        query="{ inner { label mustLabel } }",
        gives={"inner": Box(gives={}, must_label=None)},
        data={"inner": None},
        errors=[(_null("Box", "mustLabel"), ["inner", "mustLabel"], [(1, 17)])],
        way="reexecuted",
    ),
    Case(
        name="nothing is wrong at any depth",
        query="{ mustInnerLater { mustInner { innerLater { mustLater must label } } } }",
        gives={
            "must_inner_later": Box(
                gives={
                    "must_inner": Box(
                        gives={"inner_later": Box(gives={"must_later": "a", "must": "b"})}
                    )
                }
            )
        },
        data={
            "mustInnerLater": {
                "mustInner": {"innerLater": {"mustLater": "a", "must": "b", "label": None}}
            }
        },
    ),
    Case(
        name="a null goes up through all that may not be null, to the answer",
        query="{ mustInner { mustInnerLater { mustInner { must } } } }",
        gives={
            "must_inner": Box(
                gives={"must_inner_later": Box(gives={"must_inner": Box(gives={"must": None})})}
            )
        },
        data=None,
        errors=[
            (
                _null("Box", "must"),
                ["mustInner", "mustInnerLater", "mustInner", "must"],
                [(1, 44)],
            )
        ],
        way="reexecuted",
    ),
    Case(
        name="a null goes up to the first place where it may be, and leaves the others",
        query="{ inner { word inner { mustInner { mustInner { must } } } } word }",
        gives={
            "word": "whole",
            "inner": Box(
                gives={
                    "word": "kept",
                    "inner": Box(
                        gives={"must_inner": Box(gives={"must_inner": Box(gives={"must": FAULT})})}
                    ),
                }
            ),
        },
        data={"inner": {"word": "kept", "inner": None}, "word": "whole"},
        errors=[("broken", ["inner", "inner", "mustInner", "mustInner", "must"], [(1, 48)])],
        way="reexecuted",
    ),
    Case(
        name="several errors in one selection, none of which takes the parent",
        query="{ inner { word one: word label two: word } }",
        gives={"inner": Box(gives=BROKEN, label="kept")},
        data={"inner": {"word": None, "one": None, "label": "kept", "two": None}},
        errors=[
            ("broken", ["inner", "word"], [(1, 11)]),
            ("broken", ["inner", "one"], [(1, 16)]),
            ("broken", ["inner", "two"], [(1, 32)]),
        ],
        way="reexecuted",
    ),
    Case(
        name="after the error that takes the parent no other is told",
        query="{ inner { must again: must } word }",
        gives={"inner": Box(gives=BROKEN), "word": "kept"},
        data={"inner": None, "word": "kept"},
        errors=[("broken", ["inner", "must"], [(1, 11)])],
        way="reexecuted",
    ),
    Case(
        name="an error before the one that takes the parent is told too",
        query="{ inner { word must } }",
        gives={"inner": Box(gives=BROKEN)},
        data={"inner": None},
        errors=[
            ("broken", ["inner", "word"], [(1, 11)]),
            ("broken", ["inner", "must"], [(1, 16)]),
        ],
        way="reexecuted",
    ),
    Case(
        name="an object in the place of a text",
        query="{ word must }",
        gives={"word": Box(gives={}).gives, "must": "kept"},
        data={"word": None, "must": "kept"},
        errors=[("String cannot represent value: {}", ["word"], [(1, 3)])],
        way="reexecuted",
    ),
    Case(
        name="a text in the place of an object",
        query="{ inner { mustLabel } }",
        gives={"inner": "text"},
        data={"inner": None},
        errors=[
            ("'str' object has no attribute 'must_label'", ["inner", "mustLabel"], [(1, 11)]),
        ],
        way="reexecuted",
    ),
    Case(
        name="an error that is returned is as one that is raised",
        query="{ word must }",
        gives={"word": lambda: FAULT, "must": "kept"},
        data={"word": None, "must": "kept"},
        errors=[("broken", ["word"], [(1, 3)])],
        way="reexecuted",
    ),
    Case(
        name="an error is an attribute",
        query="{ inner { label mustLabel } }",
        gives={"inner": Box(gives={}, label=FAULT)},
        data={"inner": {"label": None, "mustLabel": "box"}},
        errors=[("broken", ["inner", "label"], [(1, 11)])],
        way="reexecuted",
    ),
    Case(
        name="an error is returned for an object",
        query="{ inner { word } mustInner { word } }",
        gives={"inner": lambda: FAULT, "must_inner": Box(gives={"word": lambda: FAULT})},
        data={"inner": None, "mustInner": {"word": None}},
        errors=[
            ("broken", ["inner"], [(1, 3)]),
            ("broken", ["mustInner", "word"], [(1, 30)]),
        ],
        way="reexecuted",
    ),
)
