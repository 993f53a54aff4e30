"""What a password of an organiser must be."""

from collections.abc import Mapping

from domain.characters import is_storable, nfkc
from domain.errors.exceptions import InvalidForm
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import INPUT, make_issue
from domain.registration.names import RAW_LENGTH_FACTOR

MIN_LENGTH = 12
MAX_LENGTH = 128

# Those of the usual lists that are long enough, and what comes of "make it longer".
_COMMON = frozenset(
    """
    000000000000 111111111111 112233445566 121212121212 123123123123 123412341234 123454321234
    123456123456 123456654321 123456789000 123456789012 1234567890123 1234567890qwerty
    12345678901234567890 123456789abc 123456qwerty 123qweasdzxc 1q2w3e4r5t6y 1q2w3e4r5t6y7u8i
    1qaz2wsx3edc 1qaz2wsx3edc4rfv 987654321098 999999999999 aaaaaaaaaaaa abc123abc123
    abcd1234abcd abcdef123456 abcdefghijkl administrator administrator1 adminadminadmin
    admin1234567 admin123admin asdfghjkl123 asdfghjklqwerty asdfasdfasdf bismillah786
    changeme1234 changemenow1 changethis123 cricketcricket cricket12345 default12345
    football1234 iloveyou1234 iloveyouforever india1234567 jesuschrist1 jesuschrist7
    jesusislord1 jesuslovesme letmein12345 letmeinplease loveyouforever master123456
    monkey123456 mypassword12 mypassword123 p@ssw0rd1234 p@ssword1234 passw0rd1234
    password1234 password12345 password123456 password1234567 password12345678
    password123456789 passwordpassword praisethelord q1w2e3r4t5y6 qazwsxedc123 qazwsxedcrfv
    qwerty123456 qwerty12345678 qwertyqwerty qwertyuiop12 qwertyuiop123 qwertyuiopasdf
    qwertyuiopasdfghjkl root12345678 sachin123456 secret123456 superman1234 test12345678
    testtesttest thisismypassword trustno1trustno1 welcome12345 welcome123456 welcometoindia
    whatever1234 zaq12wsxcde3 zxcvbnm12345 zxcvbnmasdfgh
    """.split()
)


def canonicalize(password: str) -> str:
    """The same for every keyboard that can write it; empty for what is longer than any password.

    Half a surrogate pair stays: it makes a wrong password.
    """
    return nfkc(password) if len(password) <= RAW_LENGTH_FACTOR * MAX_LENGTH else ""


def require_strong(password: str, *, email: str) -> None:
    """Raises InvalidForm, which says what is wrong and never repeats it."""
    chosen = canonicalize(password)
    if not MIN_LENGTH <= len(chosen) <= MAX_LENGTH or not is_storable(chosen):
        raise _refusal(IssueCode.PASSWORD_LENGTH, {"min": MIN_LENGTH, "max": MAX_LENGTH})
    if chosen.casefold() in _COMMON or len(set(chosen)) == 1:
        raise _refusal(IssueCode.PASSWORD_COMMON)
    if chosen.casefold() == email.casefold():
        raise _refusal(IssueCode.PASSWORD_IS_EMAIL)


def _refusal(code: IssueCode, params: Mapping[str, int] | None = None) -> InvalidForm:
    return InvalidForm([make_issue((*INPUT, "password"), code, params)])
