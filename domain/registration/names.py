"""Rules of names and free text: how they are stored, checked and compared.

The check of a name and its ECMAScript pattern for clients come from the same `NameRule`. Lengths
count characters as readers do: a letter with its marks is one (`domain/graphemes.py`).
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from domain.characters import (
    JOINERS,
    is_blank,
    is_storable,
    nfkc,
    printable_character,
    strip_ignorable,
    strip_invisible,
)
from domain.errors.exceptions import BadUserInput, InvalidForm
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import INPUT, Issue, Path, make_issue
from domain.graphemes import count_alphabetic, count_graphemes, longest_grapheme
from domain.identity_numbers import has_identity_number

# Code points that may be sent and stored for each allowed character: a letter may have marks, and
# invisible characters are removed. UTF-8 takes at most four bytes for each code point.
RAW_LENGTH_FACTOR = 4
MIN_LETTERS = 2
# No writing system puts more marks on a letter: points of Hebrew and Arabic, accents of Vietnamese
# and Yoruba, Indian vowel signs. Joined consonants form one character of at most 16 code points.
MAX_CONSECUTIVE_MARKS = 6
MAX_GRAPHEME_CODE_POINTS = 16
MAX_SEARCHED_LENGTH = 1000
MAX_LISTED_CHARACTERS = 5
REASON_MAX_LENGTH = 500

_APOSTROPHES = "‘‛`´ʹʼ′"
_DASHES = "‐‑‒–—―−﹘"
_FOLDED = dict.fromkeys(map(ord, _APOSTROPHES), "’") | dict.fromkeys(map(ord, _DASHES), "-")
# Separate the words of a name as a space does.
SEPARATORS = ",/()"
_SEPARATED_IN_COMPARISON = dict.fromkeys(map(ord, SEPARATORS), " ") | dict.fromkeys(
    map(ord, _DASHES), "-"
)
_IGNORED_IN_COMPARISON = dict.fromkeys(map(ord, f".'’{_APOSTROPHES}＇"))
_BLANKS = re.compile(r"[ \t]+")
_LINE_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROLS = re.compile("[\0-\x09\x0e-\x1f\x7f-\x9f\ufff9-\ufffb\ufffe\uffff]")
# Fast paths. Most names match _PLAIN, which every rule allows. Nearly all match _LETTERS: they are
# canonical already, and their comparison form is their lower case.
_PLAIN = re.compile(r"[ .'-]*[A-Za-z][ .'-]*[A-Za-z][A-Za-z .'-]*")
_LETTERS = re.compile(r"[A-Za-z]+(?: [A-Za-z]+)*")

# ECMAScript: marks, joiners, parts of Korean syllables and the few letters that join the next
# letter. A character outside this class, after another outside it, begins a new letter.
_JOINING = (
    r"[\p{M}\u200c\u200d\u1100-\u11ff\ua960-\ua97c\ud7b0-\ud7fb\u0d4e\u{111c2}\u{111c3}"
    r"\u{113d1}\u{1193f}\u{11941}\u{11a3a}\u{11a84}-\u{11a89}\u{11d46}\u{11f02}]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NameRule:
    """The lengths and characters of one kind of name.

    Letters, marks and spaces are always allowed, `punctuation` and digits in addition.
    """

    min_length: int
    max_length: int
    punctuation: str
    allows_digits: bool
    allowed_characters: str
    """The allowed characters in words."""

    @property
    def pattern(self) -> str:
        """An ECMAScript expression with flag u or v, for text that was trimmed, with collapsed
        spaces and without invisible characters.

        It accepts every name that `parse` accepts. In scripts with marks it also accepts longer
        names, because ECMAScript's expressions cannot count letters as readers do.
        """
        digits = r"\p{Nd}" if self.allows_digits else ""
        punctuation = "".join(f"\\{c}" if c in "-.()/" else c for c in self.punctuation)
        allowed = rf"[\p{{L}}\p{{M}}{digits} {punctuation}\u200c\u200d]"
        counted = rf"[\p{{Alphabetic}}\p{{L}}{digits} {punctuation}]"
        long_enough = (
            rf"(?=(?:(?!{counted}).)*(?:{counted}(?:(?!{counted}).)*){{{self.min_length}}})"
        )
        two_letters = r"(?=(?:\P{Alphabetic}*\p{Alphabetic}){2})"
        a_letter = r"(?=.*[\p{Lu}\p{Ll}\p{Lt}\p{Lo}])"
        no_stacked_marks = rf"(?!.*\p{{M}}(?:[\u200c\u200d]?\p{{M}}){{{MAX_CONSECUTIVE_MARKS}}})"
        no_stray_joiner = r"(?!.*(?:^|[^\p{L}\p{M}])[\u200c\u200d])"
        # The character after a mark may belong to the letter before it.
        joined = rf"(?:{_JOINING}(?!{_JOINING}).|{_JOINING}(?={_JOINING}|$))*"
        short_enough = rf"(?=(?:{joined}(?!{_JOINING}).){{0,{self.max_length}}}{joined}$)"
        placement = f"{no_stray_joiner}{self._no_stray_mark}{no_stacked_marks}"
        return f"^{long_enough}{two_letters}{a_letter}{placement}{short_enough}{allowed}+$"

    @property
    def _no_stray_mark(self) -> str:
        """An ECMAScript expression without lookbehind, which browsers of older phones lack."""
        if not self.allows_digits:
            return r"(?!(?:.*[^\p{L}\p{M}\u200c\u200d])?\p{M})"
        return (
            r"(?!(?:.*[^\p{L}\p{M}\p{Nd}\u200c\u200d\-])?\p{M})"
            r"(?!(?:.*\P{Nd})?-\p{M})(?!.*\p{Nd}-?[\p{Mn}\p{Me}])"
        )

    @property
    def description(self) -> str:
        return f"{self.min_length} to {self.max_length} characters: {self.allowed_characters}."

    def parse(self, value: object) -> tuple[str, IssueCode | None]:
        """The canonical name and its issue, None for a valid name.

        The name is empty if the value is not text or has more than four times the length.
        """
        text = value if isinstance(value, str) else ""
        if len(text) > RAW_LENGTH_FACTOR * self.max_length:
            return "", IssueCode.NAME_TOO_LONG
        if _LETTERS.fullmatch(text):
            return text, self._length_problem(len(text), len(text), min(len(text), 2))
        text = canonicalize_name(text)
        return text, self.problem(text)

    def problem(self, name: str) -> IssueCode | None:
        """The issue of a canonical name, None for a valid name."""
        if _PLAIN.fullmatch(name):
            return self._length_problem(len(name), len(name), MIN_LETTERS)
        # A longer text is refused in any case, so its rest is not searched.
        if has_identity_number(name[:MAX_SEARCHED_LENGTH]):
            return IssueCode.IDENTITY_NUMBER_NOT_ALLOWED
        if next(self._invalid_characters(name), None) is not None:
            return IssueCode.NAME_CHARACTERS
        if len(name) > RAW_LENGTH_FACTOR * self.max_length:
            return IssueCode.NAME_TOO_LONG
        if longest_grapheme(name) > MAX_GRAPHEME_CODE_POINTS:
            return IssueCode.NAME_CHARACTERS
        letters = count_alphabetic(name)
        others = sum(unicodedata.category(c)[0] not in "LM" and c not in JOINERS for c in name)
        letter_count = letters if _has_letter(name) else 0
        return self._length_problem(count_graphemes(name), letters + others, letter_count)

    def params(self, name: str, code: IssueCode) -> dict[str, Any]:
        """The params of the issue that `parse` returned with this name."""
        if code == IssueCode.NAME_TOO_SHORT:
            return {"min": self.min_length}
        if code == IssueCode.NAME_TOO_LONG:
            return {"max": self.max_length}
        if code != IssueCode.NAME_CHARACTERS:
            return {}
        characters = dict.fromkeys(self._invalid_characters(name))
        listed = [*map(printable_character, characters)][:MAX_LISTED_CHARACTERS]
        return {"characters": listed} if listed else {}

    def _invalid_characters(self, name: str) -> Iterator[str]:
        """Characters that the rule does not allow, or not at their position."""
        previous, marks = "", 0
        for position, character in enumerate(name):
            category = unicodedata.category(character)
            if character in JOINERS:
                is_allowed = previous in {"L", "M"}
            elif category[0] == "M":
                marks += 1
                # Category C: a joiner is allowed here, and any other was yielded as invalid.
                has_base = previous in {"L", "M", "C"} or self._follows_number(
                    name[:position], category
                )
                is_allowed = has_base and marks <= MAX_CONSECUTIVE_MARKS
            else:
                marks = 0
                is_allowed = self._allows(character, category)
            if not is_allowed:
                yield character
            previous = category[0]

    def _follows_number(self, preceding: str, category: str) -> bool:
        """Whether a mark makes an ordinal of a number, as in Malayalam: 2-\u0d3e\u0d02."""
        return (
            self.allows_digits
            and category == "Mc"
            and preceding[-2:].removesuffix("-")[-1:].isdecimal()
        )

    def _length_problem(self, graphemes: int, characters: int, letters: int) -> IssueCode | None:
        """Check the lengths. `characters` counts vowel signs as well, unlike `graphemes`."""
        if characters < self.min_length:
            return IssueCode.NAME_TOO_SHORT
        if graphemes > self.max_length:
            return IssueCode.NAME_TOO_LONG
        return None if letters >= MIN_LETTERS else IssueCode.NAME_CHARACTERS

    def _allows(self, character: str, category: str) -> bool:
        return (
            category[0] == "L"
            or character == " "
            or character in self.punctuation
            or (self.allows_digits and category == "Nd")
        )


PERSON_NAME = NameRule(
    min_length=2,
    max_length=50,
    punctuation=".'’-(),/",
    allows_digits=False,
    allowed_characters="letters of any script, spaces, . ' ’ - ( ) , and /",
)
TEAM_OR_CHURCH_NAME = NameRule(
    min_length=3,
    max_length=80,
    punctuation=".'’-&(),/",
    allows_digits=True,
    allowed_characters="letters of any script, digits, spaces, . ' ’ - & ( ) , and /",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeText:
    """A kind of free text of at least one character."""

    max_length: int
    is_multiline: bool = False

    def parse(self, text: str) -> tuple[str, IssueCode | None]:
        """The text as it is stored and its issue, None for a valid text.

        The text is empty if it has more than four times the length or cannot be stored.
        """
        if len(text) > RAW_LENGTH_FACTOR * self.max_length:
            return "", IssueCode.NAME_TOO_LONG
        if not is_storable(text):
            return "", IssueCode.TEXT_CHARACTERS
        text = _canonicalize_lines(text) if self.is_multiline else canonicalize(text)
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
        if not self.is_multiline and not strip_ignorable(text).isprintable():
            return IssueCode.TEXT_CHARACTERS
        return IssueCode.IDENTITY_NUMBER_NOT_ALLOWED if has_identity_number(text) else None


REASON = FreeText(max_length=REASON_MAX_LENGTH, is_multiline=True)
"""Reasons and notes that organisers and captains write to each other."""


def require_reason(text: str | None, *path: str | int) -> str:
    """The reason at this path of the input as it is stored: 1 to 500 characters.

    Raises InvalidForm, and BadUserInput for characters that cannot be stored.
    """
    issues: list[Issue] = []
    reason = parse_reason(text, issues, *path)
    if issues:
        raise InvalidForm(issues)
    return reason


def parse_reason(text: str | None, issues: list[Issue], *path: str | int) -> str:
    """Like `require_reason`, but append the issue to `issues`."""
    reason, code = REASON.parse(text or "")
    if code == IssueCode.TEXT_CHARACTERS:
        raise unstorable_text((*INPUT, *path))
    if code is not None:
        issues.append(make_issue((*INPUT, *path), code, REASON.params(code)))
    return reason


def is_reason_omitted(text: str | None) -> bool:
    """Whether an optional reason is blank. A text that is too long to be checked is not."""
    return text is None or (len(text) <= RAW_LENGTH_FACTOR * REASON_MAX_LENGTH and is_blank(text))


def unstorable_text(path: Path) -> BadUserInput:
    """The error for a text with NUL or half a surrogate pair."""
    name = next(step for step in reversed(path) if isinstance(step, str))
    return BadUserInput(
        make_issue(path, IssueCode.TEXT_CHARACTERS),
        message=f"{name} has characters that cannot be stored. Please type it again.",
        details={"path": list(path)},
    )


def has_stacked_marks(text: str) -> bool:
    """Whether a letter has more marks or code points than letters of any writing system."""
    if text.isascii():
        return False
    marks = 0
    for character in text:
        if unicodedata.category(character)[0] == "M":
            marks += 1
        elif character not in JOINERS:
            marks = 0
        if marks > MAX_CONSECUTIVE_MARKS:
            return True
    return longest_grapheme(text) > MAX_GRAPHEME_CODE_POINTS


def canonicalize_name(text: str) -> str:
    """Like `canonicalize`, with ’ for all apostrophes and - for all dashes."""
    # Before NFKC, which would turn ´ into a space and an accent; after NFKC, which turns some
    # other characters into dashes.
    return canonicalize(strip_invisible(text).translate(_FOLDED)).translate(_FOLDED)


def canonicalize(text: str) -> str:
    """NFKC without invisible characters, trimmed, with collapsed blanks.

    Line breaks and other control characters stay. Raises ValueError above 1,000 characters.
    """
    # Before NFKC, which would compose across them; after NFKC, which splits some letters.
    return _BLANKS.sub(" ", strip_invisible(nfkc(strip_invisible(text)))).strip()


def normalize(text: str) -> str:
    """The comparison form: case-folded, without dots, apostrophes and invisible characters, with
    commas, brackets and slashes as spaces, blanks collapsed. Raises ValueError above 1,000
    characters.
    """
    if _LETTERS.fullmatch(text):
        return text.lower()
    # Before NFKC too, which would turn ´ into a space and an accent.
    plain = strip_ignorable(text).translate(_IGNORED_IN_COMPARISON)
    plain = plain.translate(_SEPARATED_IN_COMPARISON)
    if text.isascii():
        return " ".join(plain.lower().split())
    folded = unicodedata.normalize("NFKC", nfkc(plain).casefold())
    folded = folded.translate(_IGNORED_IN_COMPARISON).translate(_SEPARATED_IN_COMPARISON)
    return " ".join(folded.split())


def _canonicalize_lines(text: str) -> str:
    """Text without invisible and control characters, with line feeds between lines, trimmed."""
    text = _LINE_BREAKS.sub("\n", text).replace("\t", " ")
    return strip_invisible(_CONTROLS.sub("", text)).strip()


def _has_letter(text: str) -> bool:
    """Whether a character is a letter but no mark and no modifier, such as a lengthening sign."""
    return any(unicodedata.category(character) in {"Lu", "Ll", "Lt", "Lo"} for character in text)
