"""Unicode helpers: invisible characters, NFKC, and characters that cannot be stored."""

import re
import unicodedata

# NFKC sorts a run of marks in quadratic time, so longer texts are refused.
NFKC_MAX_LENGTH = 1000

# PostgreSQL does not store NUL, UTF-8 does not encode half a surrogate pair.
_UNSTORABLE_CHARACTERS = re.compile("[\0\ud800-\udfff]")
# ZWNJ and ZWJ, which join and separate letters of Indic scripts.
JOINERS = "\u200c\u200d"
# Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt without the joiners: soft
# hyphen, combining grapheme joiner, fillers, variation selectors, directions, tags and the like.
# The last range is two blank hieroglyphs of Unicode 15.
_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\U00013441\U00013442"
)
IGNORABLE_PATTERN = f"[{_IGNORABLE}{JOINERS}]"
"""Characters that no normalized name has; also valid as a regular expression of PostgreSQL."""

_INVISIBLE = re.compile(f"[{_IGNORABLE}]+")
_INVISIBLE_OR_JOINER = re.compile(f"{IGNORABLE_PATTERN}+")
_JOINERS = re.compile(f"[{JOINERS}]+")
_VIRAMA_COMBINING_CLASS = 9


def is_storable(text: str) -> bool:
    """Whether PostgreSQL and UTF-8 can hold the text: no NUL, no lone surrogate."""
    return _UNSTORABLE_CHARACTERS.search(text) is None


def strip_invisible(text: str) -> str:
    """Remove invisible characters, except for joiners that shape letters."""
    if text.isascii():
        return text
    return _JOINERS.sub(_shaping_joiner, _INVISIBLE.sub("", text))


def strip_ignorable(text: str) -> str:
    """Remove all invisible characters, joiners included."""
    return text if text.isascii() else _INVISIBLE_OR_JOINER.sub("", text)


def printable_character(character: str) -> str:
    """The character, or its number if it is not visible by itself: U+0007."""
    is_visible = character.isprintable() and unicodedata.category(character)[0] not in "MZ"
    return character if is_visible else f"U+{ord(character):04X}"


def is_blank(value: object) -> bool:
    """Whether the value is a text without visible characters, as forms send empty fields."""
    return isinstance(value, str) and not strip_ignorable(value).strip()


def nfkc(text: str) -> str:
    """The text in NFKC. Raises ValueError above 1,000 characters."""
    if len(text) > NFKC_MAX_LENGTH:
        raise ValueError("text is too long to be normalized")
    return unicodedata.normalize("NFKC", text)


def _shaping_joiner(run: re.Match[str]) -> str:
    """The first joiner of a run between letters or after a virama, else nothing.

    Older Malayalam text ends words with a virama and a joiner.
    """
    text, start, end = run.string, run.start(), run.end()
    before, after = text[max(start - 1, 0) : start], text[end : end + 1]
    is_shaping = _is_letter_or_mark(after) or (
        before and unicodedata.combining(before) == _VIRAMA_COMBINING_CLASS
    )
    return run[0][0] if _is_letter_or_mark(before) and is_shaping else ""


def _is_letter_or_mark(character: str) -> bool:
    return bool(character) and unicodedata.category(character)[0] in "LM"
