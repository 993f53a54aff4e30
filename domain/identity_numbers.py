"""Aadhaar numbers in people's texts, told from the numbers of payments, phones and dates.

One in ten of all numbers of twelve digits has a valid check digit, so that the digits alone are
no evidence: people write their Aadhaar number unbroken or as three groups of four, and the words
beside a number say what kind it is.
"""

import re
from collections.abc import Sequence
from datetime import datetime

DIGITS = 12
SEARCHED_BEFORE = 80
SEARCHED_AFTER = 40

# The first digit is 2 to 9. Looked ahead at, since one may begin inside another number that is
# grouped in fours: "1234 2341 2341 2346". Between groups stands anything but letters and digits.
_CANDIDATE = re.compile(r"(?<!\d)(?=(\d{4})([\W_]{0,4})(\d{4})([\W_]{0,4})(\d{4})(?!\d))")

_AADHAAR = re.compile(
    r"a+dh+a*r|(?<![a-z])uid(?:ai)?(?![a-z])|(?<![a-z])vid(?![a-z])|ஆதார்|ആധാർ|ആധാര്|ఆధార్|ಆಧಾರ್|आधार"
)
# With these before it even a number in groups of four is a reference or a phone.
_REFERENCE = re.compile(
    r"(?<![a-z])(?:upi|utr|rrn|imps|neft|rtgs|nach|ref(?:erence)?s?|refno|refid|trans(?:action)?s?"
    r"|tra?ns?[xz]n?s?|txns?(?:id|no)?|trxs?|g-?pay|google ?pay|phone ?pe|pay ?tm|bhim|cred|amazon"
    r" ?pay|phones?|ph|telephone|tel|mobiles?|mob|cell|calls?|called|contact|whats ?app|wa|wa\.me"
    r"|sms|fax|landline|helpline)(?![a-z])"
)
# With these near it a number that is unbroken is one of a payment.
_PAYMENT = re.compile(
    r"(?<![a-z])(?:paid|pays?|payments?|payer|payee|fees?|amounts?|amt|rs|inr|rupees|money|cash"
    r"|transfer(?:red|s)?|transferring|remit(?:ted|tance)?|deposit(?:ed|s)?|credit(?:ed|s)?"
    r"|debit(?:ed|s)?|refund(?:ed|s)?|received|receipts?|bank|a/c|accounts?|acct|acc|cheques?"
    r"|challans?|invoices?|bills?|orders?|bookings?|tickets?|vouchers?|wallet|qr|screenshots?"
    r"|statements?|sbi|hdfc|icici|axis|kotak|canara|iob|pnb|federal|tracking|courier|consignment"
    r"|awb|serial|sl|otp)(?![a-z])|₹"
)
# An end of the sentence, but not the dot of "no." or "ref.".
_STOP = re.compile(
    r"[\n!?;]|(?<!\bno)(?<!\bnos)(?<!\bnum)(?<!\bref)(?<!\btel)(?<!\bph)(?<!\bmob)\.\s"
)
_ATTACHED = re.compile(r"[A-Za-z]+$")
_LONG_NUMBER = re.compile(r"\d[\d\W_]{6,}\d")
_NO_CODE = frozenset({"no", "nos", "num", "nr", "number", "is", "id", "card", "aadhaarno", "of"})

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


def has_identity_number(text: str) -> bool:
    """Whether the text holds an Aadhaar number, in digits of any script."""
    if len(text) < DIGITS or sum(character.isdecimal() for character in text) < DIGITS:
        return False
    plain = "".join(
        str(int(character)) if character.isdecimal() else character for character in text
    )
    return any(_is_identity_number(plain, match) for match in _CANDIDATE.finditer(plain))


def _is_identity_number(text: str, match: re.Match[str]) -> bool:
    first, gap, second, other_gap, third = match.groups()
    if first[0] in "01" or bool(gap) != bool(other_gap):
        return False
    if not _has_verhoeff_digit(first + second + third):
        return False
    start, end = match.start(1), match.end(5)
    before = text[max(start - SEARCHED_BEFORE, 0) : start].lower()
    after = text[end : end + SEARCHED_AFTER].lower()
    if _is_called_aadhaar(before, after):
        return True
    if _is_moment(first, second, third, gap):
        return False
    return not _is_reference(
        before, after, is_unbroken=not gap, attached=text[max(start - SEARCHED_BEFORE, 0) : start]
    )


def _is_called_aadhaar(before: str, after: str) -> bool:
    """Whether the word stands beside it, without another number or a sentence's end between."""
    words = list(_AADHAAR.finditer(before))
    if words:
        between = before[words[-1].end() :]
        if not _STOP.search(between) and not _LONG_NUMBER.search(between):
            return True
    word = _AADHAAR.search(after)
    if word is None:
        return False
    between = after[: word.start()]
    return not _STOP.search(between) and not any(one.isdecimal() for one in between)


def _is_moment(first: str, second: str, third: str, gap: str) -> bool:
    """Whether it is a row of years, or date and time without anything between."""
    if gap:
        return all("1990" <= group <= "2040" for group in (first, second, third))
    if not "2020" <= first <= "2035":
        return False
    try:
        datetime.strptime(f"{first}{second}{third}+0000", "%Y%m%d%H%M%z")
    except ValueError:
        return False
    return True


def _is_reference(before: str, after: str, *, is_unbroken: bool, attached: str) -> bool:
    """Whether words or a prefix say that it is the number of a payment or a phone."""
    if before.endswith(("+", "wa.me/", "tel:")):
        return True
    sentence = _sentence(before)
    if not is_unbroken:
        return _REFERENCE.search(sentence[-24:]) is not None
    code = _ATTACHED.search(attached)
    if code is not None and code[0].lower() not in _NO_CODE:
        return True
    near = f"{sentence} | {_STOP.split(after, maxsplit=1)[0]}"
    return bool(_REFERENCE.search(near) or _PAYMENT.search(near))


def _sentence(before: str) -> str:
    """The part of the same sentence, and the one before it where that is all."""
    *_, last = _STOP.split(before)
    return last if len(last.strip()) > 1 else before


def _has_verhoeff_digit(digits: Sequence[str]) -> bool:
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = _PRODUCT[check][_PERMUTATION[place % 8][int(digit)]]
    return check == 0
