import pytest

from domain.auth.passwords import require_strong
from domain.errors.exceptions import InvalidForm

EMAIL = "somebody@example.org"


def password_issue(password):
    """Pointer, code, message and params of the only issue."""
    with pytest.raises(InvalidForm) as error:
        require_strong(password, email=EMAIL)
    (issue,) = error.value.issues
    return issue.pointer, issue.code.value, issue.message, issue.params


@pytest.mark.parametrize("length", [12, 128])
def test_password_within_the_length_limits_is_accepted(length):
    require_strong("ab" * (length // 2), email=EMAIL)


@pytest.mark.parametrize("password", ["", "a", "elevenchars", "ab" * 64 + "c"])
def test_password_outside_the_length_limits_is_refused(password):
    assert password_issue(password) == (
        "/input/password",
        "PASSWORD_LENGTH",
        "A password has 12 to 128 characters. Please choose another password.",
        {"min": 12, "max": 128},
    )


@pytest.mark.parametrize(
    "password",
    ["password1234", "PassWord1234", "qwertyuiop12", "zzzzzzzzzzzzz", "ｐａｓｓｗｏｒｄ１２３４"],
)
def test_common_password_is_refused_in_any_spelling(password):
    assert password_issue(password) == (
        "/input/password",
        "PASSWORD_COMMON",
        "This password is easy to guess. Please choose another password.",
        {},
    )


def test_own_email_is_refused_as_password():
    assert password_issue("Somebody@Example.org") == (
        "/input/password",
        "PASSWORD_IS_EMAIL",
        "The e-mail address cannot be the password. Please choose another password.",
        {},
    )


def test_length_is_counted_after_normalization():
    with pytest.raises(InvalidForm):
        require_strong("e\u0301" * 6 + "abcde", email=EMAIL)

    require_strong("e\u0301" * 6 + "abcdef", email=EMAIL)
