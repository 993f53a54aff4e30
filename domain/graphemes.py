"""Lengths as readers count them: a letter with its marks is one, whatever code points it has.

The library that knows them takes long to import; plain names do without it.
"""

from functools import lru_cache
from typing import Any


def count_graphemes(text: str) -> int:
    """The number of extended grapheme clusters (UAX 29)."""
    return len(text) if text.isascii() else len(_pattern(r"\X").findall(text))


def longest_grapheme(text: str) -> int:
    """The most code points that one letter of a text has, as `length` counts letters."""
    if text.isascii():
        return min(len(text), 1)
    return max(map(len, _pattern(r"\X").findall(text)), default=0)


def count_alphabetic(text: str) -> int:
    """The number of letters and vowel signs: those that Unicode calls alphabetic.

    A consonant and its vowel sign are two, as in the name Jo: \u0b9c and \u0bcb.
    """
    return len(_pattern(r"\p{Alphabetic}").findall(text))


@lru_cache
def _pattern(expression: str) -> Any:
    import regex  # noqa: PLC0415 - takes long, few names need it

    return regex.compile(expression)
