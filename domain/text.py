"""Names as people have them: the rule, its ECMAScript pattern and its check, from one source."""

import re
import unicodedata
from dataclasses import dataclass

from domain.catalog import IssueCode
from domain.characters import JOINERS, compatible, is_storable, skeleton, visible

# As many characters may be sent for each that is allowed: composing and leaving out invisible ones
# make a text shorter. UTF-8 takes at most four bytes for each.
RAW_FACTOR = 4
LETTERS_NEEDED = 2
AADHAAR_DIGITS = 12
SEARCHED_LENGTH = 1000

_IGNORED_IN_COMPARISON = dict.fromkeys(map(ord, ".'’‘‛`´ʹʼ′＇"))
_BLANKS = re.compile(r"[ \t]+")
# Of a text of several lines, but for the line feed.
_LINE_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROLS = re.compile("[\0-\x09\x0e-\x1f\x7f-\x9f\ufff9-\ufffb\ufffe\uffff]")
# Twelve digits, whatever but letters stands between them, that are not part of a longer number.
# Looked ahead at, since one may begin inside another: "1234 2341 2341 2346".
_TWELVE_DIGITS = re.compile(r"(?<!\d)(?=((?:\d[\W_]*+){11}\d)(?!\d))")

# Verhoeff's tables: multiplication in the dihedral group of order 10, and the permutation.
_PRODUCT = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_PERMUTATION = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 5, 7, 6, 2, 8, 3, 0, 9, 4),
    (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7),
    (9, 4, 5, 3, 1, 2, 6, 8, 7, 0),
    (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5),
    (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)


# What most names are: two letters and more of these, which every rule allows.
_PLAIN = re.compile(r"[ .'-]*[A-Za-z][ .'-]*[A-Za-z][A-Za-z .'-]*")
# What nearly all are: canonical already, and compared in lower case.
_LETTERS = re.compile(r"[A-Za-z]+(?: [A-Za-z]+)*")


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
        """For ECMAScript with flag u: a text that was trimmed, its spaces collapsed and its
        invisible characters taken out.
        """
        digits = r"\p{Nd}" if self.allows_digits else ""
        signs = "".join(f"\\{sign}" if sign in "-." else sign for sign in self.signs)
        allowed = rf"[\p{{L}}\p{{M}}{digits} {signs}\u200c\u200d]"
        two_letters = r"(?=(?:.*\p{L}){2})"
        no_stray_joiner = r"(?!.*(?:^|[^\p{L}\p{M}])[\u200c\u200d])"
        lengths = f"{{{self.min_length},{self.max_length}}}"
        return f"^{two_letters}{no_stray_joiner}{allowed}{lengths}$"

    def read(self, value: object) -> tuple[str, IssueCode | None]:
        """The canonical text, and what is wrong with it, None if nothing is.

        A value of more than four times the length is not looked at.
        """
        text = value if isinstance(value, str) else ""
        if len(text) > RAW_FACTOR * self.max_length:
            return "", IssueCode.NAME_TOO_LONG
        if _LETTERS.fullmatch(text):
            return text, self._problem_of_length(len(text), min(len(text), LETTERS_NEEDED))
        text = canonical(text)
        return text, self.problem(text)

    def problem(self, text: str) -> IssueCode | None:
        """What is wrong with a canonical text, None if nothing is."""
        if _PLAIN.fullmatch(text):
            return self._problem_of_length(len(text), LETTERS_NEEDED)
        # What is longer than any name is refused in any case: no time is spent on its rest.
        if has_identity_number(text[:SEARCHED_LENGTH]):
            return IssueCode.IDENTITY_NUMBER_NOT_ALLOWED
        letters = 0
        previous = ""
        for character in text:
            category = unicodedata.category(character)
            if category[0] == "L":
                letters += 1
            elif character in JOINERS:
                if previous not in {"L", "M"}:
                    return IssueCode.NAME_CHARACTERS
            elif not self._allows(character, category):
                return IssueCode.NAME_CHARACTERS
            previous = category[0]
        return self._problem_of_length(len(text), letters)

    def _problem_of_length(self, length: int, letters: int) -> IssueCode | None:
        if length < self.min_length:
            return IssueCode.NAME_TOO_SHORT
        if length > self.max_length:
            return IssueCode.NAME_TOO_LONG
        return None if letters >= LETTERS_NEEDED else IssueCode.NAME_CHARACTERS

    def _allows(self, character: str, category: str) -> bool:
        return (
            category[0] == "M"
            or character == " "
            or character in self.signs
            or (self.allows_digits and category == "Nd")
        )


PERSON_NAME = NameRule(
    min_length=2,
    max_length=50,
    signs=".'’-",
    allows_digits=False,
    words="letters of any script, spaces, . ' ’ and -",
)
GROUP_NAME = NameRule(
    min_length=3,
    max_length=80,
    signs=".'’-&",
    allows_digits=True,
    words="letters of any script, digits, spaces, . ' ’ - and &",
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
        if len(text) > RAW_FACTOR * self.max_length:
            return "", IssueCode.NAME_TOO_LONG
        if not is_storable(text):
            return "", IssueCode.NAME_CHARACTERS
        text = _lines(text) if self.has_lines else canonical(text)
        return text, self._problem(text)

    def _problem(self, text: str) -> IssueCode | None:
        if not text:
            return IssueCode.NAME_TOO_SHORT
        if len(text) > self.max_length:
            return IssueCode.NAME_TOO_LONG
        if not self.has_lines and not skeleton(text).isprintable():
            return IssueCode.NAME_CHARACTERS
        return IssueCode.IDENTITY_NUMBER_NOT_ALLOWED if has_identity_number(text) else None


def canonical(text: str) -> str:
    """NFKC without invisible characters, trimmed, runs of blanks collapsed.

    What no name has, a line break in the middle too, stays. Raises ValueError above 1,000
    characters.
    """
    # Before NFKC, which would compose across them, and after it, which parts some letters.
    return _BLANKS.sub(" ", visible(compatible(visible(text)))).strip()


def _lines(text: str) -> str:
    """Without invisible and control characters, lines parted by line feeds, trimmed."""
    text = _LINE_BREAKS.sub("\n", text).replace("\t", " ")
    return visible(_CONTROLS.sub("", text)).strip()


def normalize(text: str) -> str:
    """For comparison: case folded, dots, apostrophes and invisible characters ignored, spaces
    collapsed. Raises ValueError above 1,000 characters.
    """
    if _LETTERS.fullmatch(text):
        return text.lower()
    # Before NFKC too, which makes a space and an accent of ´.
    plain = skeleton(text).translate(_IGNORED_IN_COMPARISON)
    if text.isascii():
        return " ".join(plain.lower().split())
    folded = unicodedata.normalize("NFKC", compatible(plain).casefold())
    return " ".join(folded.translate(_IGNORED_IN_COMPARISON).split())


def has_identity_number(text: str) -> bool:
    """Whether twelve digits in it, of any script, have the check digit of an Aadhaar number."""
    if len(text) < AADHAAR_DIGITS:
        return False
    if sum(character.isdecimal() for character in text) < AADHAAR_DIGITS:
        return False
    return any(
        _has_verhoeff_digit([int(c) for c in found[1] if c.isdecimal()])
        for found in _TWELVE_DIGITS.finditer(text)
    )


def _has_verhoeff_digit(digits: list[int]) -> bool:
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = _PRODUCT[check][_PERMUTATION[place % 8][digit]]
    return check == 0
