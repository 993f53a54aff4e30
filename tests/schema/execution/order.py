"""The order of errors with resolvers that take different times."""

from tests.schema.execution.cases import Case
from tests.schema.execution.model import Box

ONE, TWO, THREE = (ValueError(text) for text in ("one", "two", "three"))
CASES = (
    Case(
        name="below one object too",
        query="{ inner { wordLater word again: wordLater } }",
        gives={"inner": Box(gives={"word_later": ONE, "word": TWO})},
        data={"inner": {"wordLater": None, "word": None, "again": None}},
        errors=[
            ("two", ["inner", "word"], [(1, 21)]),
            ("one", ["inner", "wordLater"], [(1, 11)]),
            ("one", ["inner", "again"], [(1, 26)]),
        ],
        way="reexecuted",
    ),
    Case(
        name="of one awaited object, before what another awaits",
        query="{ a: innerLater { wordLater must } b: innerLater { word } }",
        gives={"inner_later": Box(gives={"word_later": ONE, "must": TWO, "word": THREE})},
        data={"a": None, "b": {"word": None}},
        errors=[("two", ["a", "must"], [(1, 29)]), ("three", ["b", "word"], [(1, 52)])],
        way="reexecuted",
    ),
)
