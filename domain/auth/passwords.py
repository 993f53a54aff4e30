"""Rules of organisers' passwords."""

from collections.abc import Mapping

from domain.characters import is_storable, nfkc
from domain.errors.exceptions import InvalidForm
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import INPUT, make_issue
from domain.registration.names import RAW_LENGTH_FACTOR

MIN_LENGTH = 12
MAX_LENGTH = 128

# Entries of the usual lists that are long enough, and usual ways of making a short one longer.
_COMMON_PASSWORDS = frozenset(
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
    """Return the password in NFKC, which is the same for every keyboard; "" if it is too long.

    Unpaired surrogates are not removed, since the password would then equal one without them.
    """
    return nfkc(password) if len(password) <= RAW_LENGTH_FACTOR * MAX_LENGTH else ""


def require_strong(password: str, *, email: str) -> None:
    """Raises InvalidForm, which never repeats the password."""
    password = canonicalize(password)
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH or not is_storable(password):
        raise _invalid_password(IssueCode.PASSWORD_LENGTH, {"min": MIN_LENGTH, "max": MAX_LENGTH})
    if password.casefold() in _COMMON_PASSWORDS or len(set(password)) == 1:
        raise _invalid_password(IssueCode.PASSWORD_COMMON)
    if password.casefold() == email.casefold():
        raise _invalid_password(IssueCode.PASSWORD_IS_EMAIL)


def _invalid_password(code: IssueCode, params: Mapping[str, int] | None = None) -> InvalidForm:
    return InvalidForm([make_issue((*INPUT, "password"), code, params)])
