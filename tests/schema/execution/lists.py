"""Lists: valid and invalid values, nulls and errors in them."""

from collections import deque
from itertools import product

from tests.schema.execution.cases import Case
from tests.schema.execution.model import Box, soon
from tests.schema.executions import Error

FAULT = ValueError("broken")
# By what may be null: the list, its items.
KINDS = {
    "words": (True, True),
    "mustWords": (False, True),
    "fullWords": (True, False),
    "mustFullWords": (False, False),
}
ATTRIBUTES = {
    "words": "words",
    "mustWords": "must_words",
    "fullWords": "full_words",
    "mustFullWords": "must_full_words",
}


async def one_after_the_other(*values):
    for value in values:
        yield value


def _expected(field: str, base: str, found: str) -> tuple[dict | None, list[Error]]:
    """Return the response to `{ field }` for an item, no item, no list or an error in the list."""
    list_may, item_may = KINDS[base]
    null = f"Cannot return null for non-nullable field Query.{field}."
    whole = {field: None} if list_may else None
    if found == "no list":
        return whole, [] if list_may else [(null, [field], [(1, 3)])]
    if found == "items":
        return {field: ["a", "b"]}, []
    message = "broken" if found == "a fault" else null
    errors: list[Error] = [(message, [field, 1], [(1, 3)])]
    if item_may:
        return {field: ["a", None, "b"]}, errors if found == "a fault" else []
    return whole, errors


FOUND = {
    "items": ["a", "b"],
    "no list": None,
    "a null": ["a", None, "b"],
    "a fault": ["a", FAULT, "b"],
}


def _kind(base: str, found: str, *, is_later: bool) -> Case:
    field = base + ("Later" if is_later else "")
    data, errors = _expected(field, base, found)
    return Case(
        name=f"{field} has {found}",
        query=f"{{ {field} }}",
        gives={ATTRIBUTES[base] + ("_later" if is_later else ""): FOUND[found]},
        data=data,
        errors=errors,
        way="reexecuted" if errors else "compiled",
    )


def _awaited(base: str, found: str) -> Case:
    data, errors = _expected(base, base, found)
    return Case(
        name=f"{base} has {found} that is awaited",
        query=f"{{ {base} }}",
        gives={ATTRIBUTES[base]: lambda: [soon(item) for item in FOUND[found]]},
        data=data,
        errors=errors,
        way="reexecuted",
    )


def _stands_for(
    name: str, given, words: list[str | None] | None, message: str = "", way=""
) -> Case:
    return Case(
        name=f"{name} {'stands' if words is not None else 'does not stand'} for a list",
        query="{ words }",
        gives={"words": given},
        data={"words": words},
        errors=[(message, ["words"], [(1, 3)])] if message else [],
        way=way or "reexecuted",
    )


NO_LIST = "Expected Iterable, but did not find one for field 'Query.words'."
CASES = (
    *(
        _kind(*chosen, is_later=is_later)
        for is_later in (False, True)
        for chosen in product(KINDS, FOUND)
    ),
    *(_awaited(*chosen) for chosen in product(KINDS, ("items", "a null", "a fault"))),
    _stands_for("an empty list", [], [], way="compiled"),
    _stands_for("a tuple", ("a", None), ["a", None], way="compiled"),
    _stands_for("a deque", deque("ab"), ["a", "b"]),
    _stands_for("a set", {"a"}, ["a"]),
    _stands_for("an iterator", lambda: (entry for entry in "ab"), ["a", "b"]),
    _stands_for("an asynchronous iterator", lambda: one_after_the_other("a", None), ["a", None]),
    _stands_for("a text", "ab", None, NO_LIST),
    _stands_for("a mapping", {"a": "b"}, None, NO_LIST),
    _stands_for("a number", 3, None, NO_LIST),
    Case(
        name="every item that is wrong is told",
        query="{ words }",
        gives={"words": ["a", {}, FAULT, "b", []]},
        data={"words": ["a", None, None, "b", None]},
        errors=[
            ("String cannot represent value: {}", ["words", 1], [(1, 3)]),
            ("broken", ["words", 2], [(1, 3)]),
            ("String cannot represent value: []", ["words", 4], [(1, 3)]),
        ],
        way="reexecuted",
    ),
    Case(
        name="a list of lists",
        query="{ grid }",
        gives={"grid": [[1, 2], None, [], (3,)]},
        data={"grid": [[1, 2], None, [], [3]]},
    ),
    Case(
        name="a null takes the inner list and not the outer",
        query="{ grid }",
        gives={"grid": [[1, None, 2], [3], [None]]},
        data={"grid": [None, [3], None]},
        errors=[
            ("Cannot return null for non-nullable field Query.grid.", ["grid", 0, 1], [(1, 3)]),
            ("Cannot return null for non-nullable field Query.grid.", ["grid", 2, 0], [(1, 3)]),
        ],
        way="reexecuted",
    ),
    Case(
        name="objects, with what each of them awaits",
        query="{ boxes { mustLater } fullBoxes { wordLater mustLabel } }",
        gives={
            "boxes": [Box(gives={"must_later": "a"}), None, Box(gives={"must_later": "b"})],
            "full_boxes": [Box(gives={"word_later": None}), Box(gives={"word_later": "c"})],
        },
        data={
            "boxes": [{"mustLater": "a"}, None, {"mustLater": "b"}],
            "fullBoxes": [
                {"wordLater": None, "mustLabel": "box"},
                {"wordLater": "c", "mustLabel": "box"},
            ],
        },
    ),
    Case(
        name="an object that is lost where it may be",
        query="{ boxes { must } }",
        gives={"boxes": [Box(gives={"must": "a"}), Box(gives={}), Box(gives={"must": "b"})]},
        data={"boxes": [{"must": "a"}, None, {"must": "b"}]},
        errors=[
            ("Cannot return null for non-nullable field Box.must.", ["boxes", 1, "must"], [(1, 11)])
        ],
        way="reexecuted",
    ),
    Case(
        name="an object that is lost where it may not be, and what it awaited",
        query="{ fullBoxes { mustLater } word }",
        gives={
            "full_boxes": [Box(gives={"must_later": "a"}), Box(gives={"must_later": FAULT})],
            "word": "kept",
        },
        data={"fullBoxes": None, "word": "kept"},
        errors=[("broken", ["fullBoxes", 1, "mustLater"], [(1, 15)])],
        way="reexecuted",
    ),
    Case(
        name="the list itself is raised",
        query="{ words mustInner { mustFullWords } }",
        gives={"words": FAULT, "must_inner": Box(gives={"must_full_words": FAULT})},
        data=None,
        errors=[
            ("broken", ["words"], [(1, 3)]),
            ("broken", ["mustInner", "mustFullWords"], [(1, 21)]),
        ],
        way="reexecuted",
    ),
)
