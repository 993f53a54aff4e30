import pytest

from domain.auth.passwords import require_strong
from domain.errors.exceptions import InvalidForm

EMAIL = "somebody@example.org"


def refusal(password):
    """Place, code, message and params of the one issue."""
    with pytest.raises(InvalidForm) as refused:
        require_strong(password, email=EMAIL)
    (issue,) = refused.value.issues
    return issue.pointer, issue.code.value, issue.message, issue.params


@pytest.mark.parametrize("length", [12, 128])
def test_passwords_of_the_right_length_are_taken(length):
    require_strong("ab" * (length // 2), email=EMAIL)


@pytest.mark.parametrize("password", ["", "a", "elevenchars", "ab" * 64 + "c"])
def test_passwords_of_another_length_are_refused(password):
    assert refusal(password) == (
        "/input/password",
        "PASSWORD_LENGTH",
        "A password has 12 to 128 characters. Please choose another password.",
        {"min": 12, "max": 128},
    )


@pytest.mark.parametrize(
    "password",
    ["password1234", "PassWord1234", "qwertyuiop12", "zzzzzzzzzzzzz", "ｐａｓｓｗｏｒｄ１２３４"],
)
def test_passwords_that_everybody_tries_are_refused_however_written(password):
    assert refusal(password) == (
        "/input/password",
        "PASSWORD_COMMON",
        "This password is easy to guess. Please choose another password.",
        {},
    )


def test_the_own_address_is_no_password():
    assert refusal("Somebody@Example.org") == (
        "/input/password",
        "PASSWORD_IS_EMAIL",
        "The e-mail address cannot be the password. Please choose another password.",
        {},
    )


def test_length_is_counted_after_characters_were_made_the_same():
    with pytest.raises(InvalidForm):
        require_strong("e\u0301" * 6 + "abcde", email=EMAIL)

    require_strong("e\u0301" * 6 + "abcdef", email=EMAIL)
