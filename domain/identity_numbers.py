"""Detection of Aadhaar numbers in text, as opposed to numbers of payments, phones and dates.

A number is considered only if it has twelve digits and a valid check digit, as one in ten of all
such numbers has. Its form then decides:

- In groups of four it is an Aadhaar number, unless all groups are years.
- In two halves it is one, unless it is a date and time, or a word before it names another kind.
- Unbroken it is one, unless it is a date and time, or its context (a word such as UTR, a bank code,
  a + sign) marks it as the number of a payment or a phone.

The word Aadhaar nearby decides against all of these exceptions.
"""

import re
from collections.abc import Sequence
from datetime import datetime

AADHAAR_DIGITS = 12
# Characters of the context that are searched for words.
CONTEXT_BEFORE = 80
CONTEXT_AFTER = 40

# A lookahead, because a candidate may begin inside another number in groups of four:
# "1234 2341 2341 2346". Groups are separated by anything except letters and digits; halves also not
# by a comma or a line break, which separate postal codes.
_CANDIDATE = re.compile(
    r"(?<!\d)(?=(?:(\d{4})([\W_]{0,4})(\d{4})([\W_]{0,4})(\d{4})|(\d{6})(?:[^\w,;&\n]|_){1,3}(\d{6}))"
    r"(?!\d))"
)

# Names of the number: Aadhaar, UID, VID, and Aadhaar in Tamil, Malayalam, Telugu, Kannada, Hindi.
_AADHAAR = re.compile(
    r"a+dh+a*r|(?<![a-z])uid(?:ai)?(?![a-z])|(?<![a-z])vid(?![a-z])|ஆதார்|ആധാർ|ആധാര്|ఆధార్|ಆಧಾರ್|आधार"
)
# Fillers between a word and its number: a word, an amount or a date.
_AMOUNT = r"(?:rs\.?|inr|₹) ?\d[\d,.]*(?:/-)?"
_MONTH = r"(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]{0,6}\.?"
_DATE = (
    rf"(?:(?:on|of|dated?) )?(?:\d{{1,2}}[ ./-](?:{_MONTH}|\d{{1,2}})(?:,?[ ./-]\d{{2,4}})?"
    r"|\d{4}-\d\d-\d\d"
    r"|(?:sun|mon|tues|wednes|thurs|fri|satur)day|today|yesterday)"
)
_FILLER = (
    r"(?:nos?\.?|num(?:ber)?\.?|nr\.?|id|code|is(?: not)?|was|should be|12[ -]digits?"
    r"|எண்|നമ്പർ|నంబర్|नंबर|नम्बर"
    rf"|{_AMOUNT}|{_DATE})(?![a-z])"
)
# Punctuation between a word and its number. A comma ends the influence of most words, but not that
# of words for payment references.
_GAP = r"[ \t\xa0:#=()\[\]*'\"’_/–-]{0,4}\n?"
_GAP_OR_COMMA = r"[ \t\xa0:#=()\[\]*'\"’_/–,-]{0,4}\n?"
# Words for payment references.
_REFERENCE = (
    r"(?:upi|utr|rrn|imps|neft|rtgs|nach|ref\.?|refs|reference|transactions?|trans\.?"
    r"|tra?ns?[xz]n?s?\.?|txns?\.?|trxs?|g-?pay|google ?pay|phone ?pe|pay ?tm|bhim|cred"
    r"|amazon ?pay)"
)
# Such a word directly before an unbroken number: the number belongs to a payment.
_REFERENCE_BEFORE = re.compile(
    rf"(?<![a-z]){_REFERENCE}(?:(?<=[a-z])(?:id|nos?\.?))?(?![a-z])"
    rf"{_GAP_OR_COMMA}(?:{_FILLER}{_GAP_OR_COMMA}){{0,2}}$"
)
# Other words directly before an unbroken number: it belongs to a payment or a phone, unless
# _PAID_AFTER shows that the word names the payer or the thing paid for.
_KIND_BEFORE = re.compile(
    r"(?<![a-z])(?:phones?|ph\.?|telephone|tel\.?|mobiles?|mob\.?|cell|call|contact|whats ?app|wa"
    r"|sms|fax|landline|helpline|போன்|ஃபோன்|கைபேசி|ഫോൺ|മൊബൈൽ|ఫోన్|ಫೋನ್|फोन|मोबाइल|payments?|paid"
    r"|received|credited|debited|transferred|refunded|deposited|remitted|a/c|accounts?|acct\.?"
    r"|acc\.?|cheques?|challans?|invoices?|bills?|orders?|bookings?|tickets?|vouchers?|tracking"
    r"|courier|consignment|awb|otp|(?:receipts?|screenshots?|statements?)(?: (?:shows?|says|has))?)"
    rf"(?![a-z]){_GAP}(?:{_FILLER}{_GAP}){{0,2}}$"
)
_PAID_AFTER = re.compile(
    r"[\s,;:.()-]*(?:(?:has|have|had|is|was|please|pls|kindly|to|will|not|already|also) ){0,3}"
    r"(?:pay|paid|pays|paying|receive|received|send|sent|transfer(?:red)?|deposit(?:ed)?|credit(?:ed)?"
    r"|debit(?:ed)?|refund(?:ed)?|remit(?:ted)?)(?![a-z])"
)
# After a number N: "N (UPI)", "N is our UPI reference".
_REFERENCE_AFTER = re.compile(
    rf" ?(?:\((?:{_REFERENCE} ?){{1,3}}\)|(?:is|was) (?:(?:the|my|our|your) )?"
    rf"(?:utr|rrn|(?:{_REFERENCE}|payment) (?:{_REFERENCE}|id|no|number))(?![a-z]))"
)
# The narration of a bank statement up to a number N: UPI/CR/N/RAJAN, IMPS-N.
_NARRATION = re.compile(
    r"(?<![a-z])(?:upi|imps|neft|rtgs|nach|mmt|bil)([/-])"
    r"(?:(?! )(?:(?!\1)[^\n/]){1,40}(?<! )\1){0,8}$"
)
# The end of a sentence, but not the dot of "no." or "ref.".
_SENTENCE_END = re.compile(
    r"[\n!?;]|(?<!\bno)(?<!\bnos)(?<!\bnum)(?<!\bref)(?<!\btel)(?<!\bph)(?<!\bmob)\.\s"
)
# The code of a bank or an app directly before a number: SBIN, T.
_BANK_CODE = re.compile(r"(?<![^\W\d_])(?!(?:NO|NOS|NUM|NR|IS|ID|CARD|OF|BY|UID|VID)$)[A-Z]{1,4}$")
_INDIAN_MOBILE = re.compile(r"91[6-9]")
_LONG_NUMBER = re.compile(r"\d[\d\W_]{6,}\d")
_DATETIME_FORMATS = ("%Y%m%d%H%M", "%d%m%Y%H%M")
_DATETIME_FORMATS_IN_HALVES = ("%d%m%y%H%M%S", "%y%m%d%H%M%S")

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
    """Whether the text contains an Aadhaar number, in digits of any script."""
    if len(text) < AADHAAR_DIGITS:
        return False
    if sum(character.isdecimal() for character in text) < AADHAAR_DIGITS:
        return False
    ascii_digits = "".join(
        str(int(character)) if character.isdecimal() else character for character in text
    )
    return any(
        _is_identity_number(ascii_digits, match) for match in _CANDIDATE.finditer(ascii_digits)
    )


def _is_identity_number(text: str, match: re.Match[str]) -> bool:
    digits = "".join(filter(None, match.group(1, 3, 5, 6, 7)))
    if digits[0] in "01" or not _has_verhoeff_digit(digits):
        return False
    start = match.start()
    end = max(match.end(5), match.end(7))
    before_as_written = text[max(start - CONTEXT_BEFORE, 0) : start]
    before, after = before_as_written.lower(), text[end : end + CONTEXT_AFTER].lower()
    if _is_named_aadhaar(before, after):
        return True
    if before.endswith("+") and _INDIAN_MOBILE.match(digits):
        return False
    if _is_date_or_time(digits, match):
        return False
    if match[6]:
        return not _is_named_reference(before, after)
    is_unbroken = end - start == AADHAAR_DIGITS
    return not (is_unbroken and _is_reference(before, after, before_as_written))


def _is_named_aadhaar(before: str, after: str) -> bool:
    """Whether the word Aadhaar is near, with no other number or sentence end in between."""
    words_before = list(_AADHAAR.finditer(before))
    if words_before:
        between = before[words_before[-1].end() :]
        if not _SENTENCE_END.search(between) and not _LONG_NUMBER.search(between):
            return True
    word_after = _AADHAAR.search(after)
    if word_after is None:
        return False
    between = after[: word_after.start()]
    has_digit = any(character.isdecimal() for character in between)
    return not _SENTENCE_END.search(between) and not has_digit


def _is_date_or_time(digits: str, match: re.Match[str]) -> bool:
    """Whether the groups are years, or the digits a date and time with at most one gap."""
    first, gap, second, _, third, half, _ = match.groups()
    if gap:
        return all("1990" <= group <= "2040" for group in (first, second, third))
    formats = _DATETIME_FORMATS_IN_HALVES if half else _DATETIME_FORMATS
    return any(_is_recent_datetime(digits, datetime_format) for datetime_format in formats)


def _is_recent_datetime(digits: str, datetime_format: str) -> bool:
    try:
        # The offset makes it a datetime with a time zone.
        moment = datetime.strptime(f"{digits}+0000", f"{datetime_format}%z")
    except ValueError:
        return False
    return 2020 <= moment.year <= 2035  # noqa: PLR2004 - years of a tournament


def _is_reference(before: str, after: str, before_as_written: str) -> bool:
    """Whether words or a prefix mark an unbroken number as that of a payment or a phone."""
    return (
        before.endswith(("+", "wa.me/", "tel:"))
        or _BANK_CODE.search(before_as_written) is not None
        or _NARRATION.search(before) is not None
        or _REFERENCE_AFTER.match(after) is not None
        or _is_named_reference(before, after)
    )


def _is_named_reference(before: str, after: str) -> bool:
    """Whether a word directly before the number marks it as that of a payment or a phone."""
    if _REFERENCE_BEFORE.search(before):
        return True
    return _KIND_BEFORE.search(before) is not None and not _PAID_AFTER.match(after)


def _has_verhoeff_digit(digits: Sequence[str]) -> bool:
    checksum = 0
    for position, digit in enumerate(reversed(digits)):
        checksum = _PRODUCT[checksum][_PERMUTATION[position % 8][int(digit)]]
    return checksum == 0
