"""Characters that no stored text has: what cannot be encoded, and what shows nothing."""

import re
import unicodedata

# Longer than any text that is compared: NFKC sorts a run of marks in quadratic time.
NFKC_MAX_LENGTH = 1000

# NUL is no text to PostgreSQL, half of a surrogate pair none to UTF-8.
_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")
# Indic scripts join and part letters with these two.
JOINERS = "\u200c\u200d"
# Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt without the joiners: soft
# hyphen, combining grapheme joiner, fillers, variation selectors, directions, tags and the like.
# The last range are two hieroglyphs of Unicode 15, letters that are blank.
_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\U00013441\U00013442"
)
_INVISIBLE = re.compile(f"[{_IGNORABLE}]+")
# An expression for PostgreSQL too: no normalised name has one of these.
IGNORABLE_PATTERN = f"[{_IGNORABLE}{JOINERS}]"
_INVISIBLE_OR_JOINER = re.compile(f"{IGNORABLE_PATTERN}+")
_JOINERS = re.compile(f"[{JOINERS}]+")
_VIRAMA = 9


def is_storable(text: str) -> bool:
    """Whether PostgreSQL and UTF-8 can hold the text: no NUL, no lone surrogate."""
    return _NOT_STORABLE.search(text) is None


def strip_invisible(text: str) -> str:
    """The text without characters that show nothing; joiners stay where they shape letters."""
    if text.isascii():
        return text
    return _JOINERS.sub(_shaping, _INVISIBLE.sub("", text))


def strip_ignorable(text: str) -> str:
    """The text without characters that show nothing, joiners included: for comparison."""
    return text if text.isascii() else _INVISIBLE_OR_JOINER.sub("", text)


def printable_character(character: str) -> str:
    """The character, or its number where nobody would see it: U+0007."""
    is_seen = character.isprintable() and unicodedata.category(character)[0] not in "MZ"
    return character if is_seen else f"U+{ord(character):04X}"


def is_blank(value: object) -> bool:
    """Whether it is a text that shows nothing, as forms send fields that were left empty."""
    return isinstance(value, str) and not strip_ignorable(value).strip()


def nfkc(text: str) -> str:
    """The text in NFKC. Raises ValueError above 1,000 characters, whose sorting takes too long."""
    if len(text) > NFKC_MAX_LENGTH:
        raise ValueError("text is too long to be normalized")
    return unicodedata.normalize("NFKC", text)


def _shaping(run: re.Match[str]) -> str:
    """The first joiner of a run between letters, or after a virama, as older Malayalam ends."""
    text, start, end = run.string, run.start(), run.end()
    before, after = text[max(start - 1, 0) : start], text[end : end + 1]
    shapes = _is_letter_or_mark(after) or (before and unicodedata.combining(before) == _VIRAMA)
    return run[0][0] if _is_letter_or_mark(before) and shapes else ""


def _is_letter_or_mark(character: str) -> bool:
    return bool(character) and unicodedata.category(character)[0] in "LM"
