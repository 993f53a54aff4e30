"""Lengths of text as readers count them: a letter with its marks is one character.

`regex` takes long to import, and ASCII text does not need it.
"""

from functools import lru_cache
from typing import Any


def count_graphemes(text: str) -> int:
    """The number of extended grapheme clusters (UAX 29)."""
    return len(text) if text.isascii() else len(_pattern(r"\X").findall(text))


def longest_grapheme(text: str) -> int:
    """The number of code points of the longest grapheme cluster, 0 without any."""
    if text.isascii():
        return min(len(text), 1)
    return max(map(len, _pattern(r"\X").findall(text)), default=0)


def count_alphabetic(text: str) -> int:
    """The number of characters with Unicode's property Alphabetic: letters and vowel signs.

    A consonant and its vowel sign count as two, as in the name Jo: \u0b9c and \u0bcb.
    """
    return len(_pattern(r"\p{Alphabetic}").findall(text))


@lru_cache
def _pattern(expression: str) -> Any:
    import regex  # noqa: PLC0415 - slow to import

    return regex.compile(expression)
