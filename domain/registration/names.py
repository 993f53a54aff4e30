"""Names as people have them: the rule, its ECMAScript pattern and its check, from one source."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from domain.characters import (
    JOINERS,
    is_storable,
    nfkc,
    printable_character,
    strip_ignorable,
    strip_invisible,
)
from domain.errors.issue_codes import IssueCode
from domain.graphemes import count_alphabetic, count_graphemes, longest_grapheme
from domain.identity_numbers import has_identity_number

# As many code points may be sent, and stored, for each letter that is allowed: a letter has marks,
# and leaving out invisible ones makes a text shorter. UTF-8 takes at most four bytes for each.
RAW_LENGTH_FACTOR = 4
MIN_LETTERS = 2
# Points of Hebrew and Arabic, accents of Vietnamese and Yoruba, signs of Indian vowels: no letter
# that people write has more marks in a row; joined consonants make one letter of at most so many.
MAX_CONSECUTIVE_MARKS = 6
MAX_GRAPHEME_CODE_POINTS = 16
MAX_SEARCHED_LENGTH = 1000
MAX_LISTED_CHARACTERS = 5

# As keyboards, word processors and other people's forms write them. Looked at before NFKC, which
# makes a space and an accent of ´.
_FOLDED = dict.fromkeys(map(ord, "‘‛`´ʹʼ′"), "’") | dict.fromkeys(map(ord, "‐‑‒–—―−﹘"), "-")
# What parts the words of a name as a space does.
SEPARATORS = ",/()"
_PARTED_IN_COMPARISON = dict.fromkeys(map(ord, SEPARATORS), " ") | dict.fromkeys(
    map(ord, "‐‑‒–—―−﹘"), "-"
)
_IGNORED_IN_COMPARISON = dict.fromkeys(map(ord, ".'’‘‛`´ʹʼ′＇"))
_BLANKS = re.compile(r"[ \t]+")
# Of a text of several lines, but for the line feed.
_LINE_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROLS = re.compile("[\0-\x09\x0e-\x1f\x7f-\x9f\ufff9-\ufffb\ufffe\uffff]")
# What most names are: two letters and more of these, which every rule allows.
_PLAIN = re.compile(r"[ .'-]*[A-Za-z][ .'-]*[A-Za-z][A-Za-z .'-]*")
# What nearly all are: canonical already, and compared in lower case.
_LETTERS = re.compile(r"[A-Za-z]+(?: [A-Za-z]+)*")

# ECMAScript: marks, joiners, parts of Korean syllables and the few letters that join the next one.
# What begins a new letter for certain is none of these and does not follow one.
_JOINING = (
    r"[\p{M}\u200c\u200d\u1100-\u11ff\ua960-\ua97c\ud7b0-\ud7fb\u0d4e\u{111c2}\u{111c3}"
    r"\u{113d1}\u{1193f}\u{11941}\u{11a3a}\u{11a84}-\u{11a89}\u{11d46}\u{11f02}]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NameRule:
    """A kind of name: its lengths, and what it may hold besides letters, marks and spaces."""

    min_length: int
    max_length: int
    signs: str
    allows_digits: bool
    words: str

    @property
    def pattern(self) -> str:
        """For ECMAScript with flag u or v: a text that was trimmed, its spaces collapsed and its
        invisible characters taken out.

        It refuses nothing that `read` takes. Where marks join letters to one, it takes longer
        names: ECMAScript's expressions cannot count letters as readers do.
        """
        digits = r"\p{Nd}" if self.allows_digits else ""
        signs = "".join(f"\\{sign}" if sign in "-.()/" else sign for sign in self.signs)
        allowed = rf"[\p{{L}}\p{{M}}{digits} {signs}\u200c\u200d]"
        counted = rf"[\p{{Alphabetic}}\p{{L}}{digits} {signs}]"
        long_enough = (
            rf"(?=(?:(?!{counted}).)*(?:{counted}(?:(?!{counted}).)*){{{self.min_length}}})"
        )
        two_letters = r"(?=(?:\P{Alphabetic}*\p{Alphabetic}){2})"
        a_letter = r"(?=.*[\p{Lu}\p{Ll}\p{Lt}\p{Lo}])"
        no_tower = rf"(?!.*\p{{M}}(?:[\u200c\u200d]?\p{{M}}){{{MAX_CONSECUTIVE_MARKS}}})"
        no_stray_joiner = r"(?!.*(?:^|[^\p{L}\p{M}])[\u200c\u200d])"
        # What follows a mark may belong to the letter before it.
        joined = rf"(?:{_JOINING}(?!{_JOINING}).|{_JOINING}(?={_JOINING}|$))*"
        short_enough = rf"(?=(?:{joined}(?!{_JOINING}).){{0,{self.max_length}}}{joined}$)"
        placed = f"{no_stray_joiner}{self._no_stray_mark}{no_tower}"
        return f"^{long_enough}{two_letters}{a_letter}{placed}{short_enough}{allowed}+$"

    @property
    def _no_stray_mark(self) -> str:
        """For ECMAScript, without looking behind, which older phones cannot."""
        if not self.allows_digits:
            return r"(?!(?:.*[^\p{L}\p{M}\u200c\u200d])?\p{M})"
        return (
            r"(?!(?:.*[^\p{L}\p{M}\p{Nd}\u200c\u200d\-])?\p{M})"
            r"(?!(?:.*\P{Nd})?-\p{M})(?!.*\p{Nd}-?[\p{Mn}\p{Me}])"
        )

    @property
    def description(self) -> str:
        return f"{self.min_length} to {self.max_length} characters: {self.words}."

    def read(self, value: object) -> tuple[str, IssueCode | None]:
        """The canonical text, and what is wrong with it, None if nothing is.

        A value of more than four times the length is not looked at.
        """
        text = value if isinstance(value, str) else ""
        if len(text) > RAW_LENGTH_FACTOR * self.max_length:
            return "", IssueCode.NAME_TOO_LONG
        if _LETTERS.fullmatch(text):
            return text, self._problem_of_length(len(text), len(text), min(len(text), 2))
        text = canonicalize_name(text)
        return text, self.problem(text)

    def problem(self, text: str) -> IssueCode | None:
        """The issue of a canonical name, None without one."""
        if _PLAIN.fullmatch(text):
            return self._problem_of_length(len(text), len(text), MIN_LETTERS)
        # What is longer than any name is refused in any case: no time is spent on its rest.
        if has_identity_number(text[:MAX_SEARCHED_LENGTH]):
            return IssueCode.IDENTITY_NUMBER_NOT_ALLOWED
        if next(self._strange(text), None) is not None:
            return IssueCode.NAME_CHARACTERS
        if len(text) > RAW_LENGTH_FACTOR * self.max_length:
            return IssueCode.NAME_TOO_LONG
        if longest_grapheme(text) > MAX_GRAPHEME_CODE_POINTS:
            return IssueCode.NAME_CHARACTERS
        letters = count_alphabetic(text)
        others = sum(
            unicodedata.category(one)[0] not in "LM" and one not in JOINERS for one in text
        )
        return self._problem_of_length(
            count_graphemes(text), letters + others, letters * _has_letter(text)
        )

    def params(self, text: str, code: IssueCode) -> dict[str, Any]:
        """The params of the issue that `read` gave with this text."""
        if code == IssueCode.NAME_TOO_SHORT:
            return {"min": self.min_length}
        if code == IssueCode.NAME_TOO_LONG:
            return {"max": self.max_length}
        strange = dict.fromkeys(self._strange(text)) if code == IssueCode.NAME_CHARACTERS else ()
        return (
            {"characters": [*map(printable_character, strange)][:MAX_LISTED_CHARACTERS]}
            if strange
            else {}
        )

    def _strange(self, text: str) -> Iterator[str]:
        """Each character that such a name does not have, or not in this place."""
        previous, marks = "", 0
        for place, character in enumerate(text):
            category = unicodedata.category(character)
            if character in JOINERS:
                is_allowed = previous in {"L", "M"}
            elif category[0] == "M":
                marks += 1
                # C is a joiner here, or was refused itself.
                has_base = previous in {"L", "M", "C"} or self._ends_number(text[:place], category)
                is_allowed = has_base and marks <= MAX_CONSECUTIVE_MARKS
            else:
                marks = 0
                is_allowed = self._allows(character, category)
            if not is_allowed:
                yield character
            previous = category[0]

    def _ends_number(self, before: str, category: str) -> bool:
        """Whether a mark makes an ordinal of a number, as Malayalam has them: 2-\u0d3e\u0d02."""
        return (
            self.allows_digits
            and category == "Mc"
            and before[-2:].removesuffix("-")[-1:].isdecimal()
        )

    def _problem_of_length(self, size: int, signs: int, letters: int) -> IssueCode | None:
        """`size` counts letters as readers do, `signs` their vowel signs too."""
        if signs < self.min_length:
            return IssueCode.NAME_TOO_SHORT
        if size > self.max_length:
            return IssueCode.NAME_TOO_LONG
        return None if letters >= MIN_LETTERS else IssueCode.NAME_CHARACTERS

    def _allows(self, character: str, category: str) -> bool:
        return (
            category[0] == "L"
            or character == " "
            or character in self.signs
            or (self.allows_digits and category == "Nd")
        )


PERSON_NAME = NameRule(
    min_length=2,
    max_length=50,
    signs=".'’-(),/",
    allows_digits=False,
    words="letters of any script, spaces, . ' ’ - ( ) , and /",
)
TEAM_OR_CHURCH_NAME = NameRule(
    min_length=3,
    max_length=80,
    signs=".'’-&(),/",
    allows_digits=True,
    words="letters of any script, digits, spaces, . ' ’ - & ( ) , and /",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeText:
    """A kind of text in people's own words, of at least one character."""

    max_length: int
    has_lines: bool = False

    def read(self, text: str) -> tuple[str, IssueCode | None]:
        """The text as it is stored, and what is wrong with it, None if nothing is.

        A text of more than four times the length is not looked at.
        """
        if len(text) > RAW_LENGTH_FACTOR * self.max_length:
            return "", IssueCode.NAME_TOO_LONG
        if not is_storable(text):
            return "", IssueCode.TEXT_CHARACTERS
        text = _lines(text) if self.has_lines else canonicalize(text)
        return text, self._problem(text)

    def params(self, code: IssueCode | None) -> dict[str, Any]:
        """The params of an issue with this code."""
        return {"max": self.max_length} if code == IssueCode.NAME_TOO_LONG else {}

    def _problem(self, text: str) -> IssueCode | None:
        if not text:
            return IssueCode.TEXT_REQUIRED
        if (
            len(text) > RAW_LENGTH_FACTOR * self.max_length
            or count_graphemes(text) > self.max_length
        ):
            return IssueCode.NAME_TOO_LONG
        if has_stacked_marks(text):
            return IssueCode.TEXT_CHARACTERS
        if not self.has_lines and not strip_ignorable(text).isprintable():
            return IssueCode.TEXT_CHARACTERS
        return IssueCode.IDENTITY_NUMBER_NOT_ALLOWED if has_identity_number(text) else None


def has_stacked_marks(text: str) -> bool:
    """Whether a letter has more marks, or code points, than any that people write."""
    marks = 0
    for character in () if text.isascii() else text:
        if unicodedata.category(character)[0] == "M":
            marks += 1
        elif character not in JOINERS:
            marks = 0
        if marks > MAX_CONSECUTIVE_MARKS:
            return True
    return longest_grapheme(text) > MAX_GRAPHEME_CODE_POINTS


def _has_letter(text: str) -> bool:
    """Whether it has a letter that is no mark and no modifier, such as a lengthening sign."""
    return any(unicodedata.category(character) in {"Lu", "Ll", "Lt", "Lo"} for character in text)


def canonicalize_name(text: str) -> str:
    """As `canonical`, with the apostrophe ’ and the hyphen - for all that look like them."""
    # Before NFKC, and after it, which makes dashes of some other signs.
    return canonicalize(strip_invisible(text).translate(_FOLDED)).translate(_FOLDED)


def canonicalize(text: str) -> str:
    """NFKC without invisible characters, trimmed, runs of blanks collapsed.

    What no name has, a line break in the middle too, stays. Raises ValueError above 1,000
    characters.
    """
    # Before NFKC, which would compose across them, and after it, which parts some letters.
    return _BLANKS.sub(" ", strip_invisible(nfkc(strip_invisible(text)))).strip()


def _lines(text: str) -> str:
    """Without invisible and control characters, lines parted by line feeds, trimmed."""
    text = _LINE_BREAKS.sub("\n", text).replace("\t", " ")
    return strip_invisible(_CONTROLS.sub("", text)).strip()


def normalize(text: str) -> str:
    """For comparison: case folded, dots, apostrophes and invisible characters ignored, commas,
    brackets and slashes as spaces, these collapsed. Raises ValueError above 1,000 characters.
    """
    if _LETTERS.fullmatch(text):
        return text.lower()
    # Before NFKC too, which makes a space and an accent of ´.
    plain = strip_ignorable(text).translate(_IGNORED_IN_COMPARISON).translate(_PARTED_IN_COMPARISON)
    if text.isascii():
        return " ".join(plain.lower().split())
    folded = unicodedata.normalize("NFKC", nfkc(plain).casefold())
    folded = folded.translate(_IGNORED_IN_COMPARISON).translate(_PARTED_IN_COMPARISON)
    return " ".join(folded.split())
