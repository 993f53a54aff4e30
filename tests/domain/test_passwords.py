import pytest

from domain.errors import BadUserInput
from domain.passwords import require_strong

EMAIL = "somebody@example.org"


@pytest.mark.parametrize("length", [12, 128])
def test_passwords_of_the_right_length_are_taken(length):
    require_strong("ab" * (length // 2), email=EMAIL)


@pytest.mark.parametrize("password", ["", "a", "elevenchars", "ab" * 64 + "c"])
def test_passwords_of_another_length_are_refused(password):
    with pytest.raises(BadUserInput) as refused:
        require_strong(password, email=EMAIL)

    assert refused.value.message == "A password has 12 to 128 characters."
    assert refused.value.details == {"min": 12, "max": 128}


@pytest.mark.parametrize(
    "password",
    ["password1234", "PassWord1234", "qwertyuiop12", "zzzzzzzzzzzzz", "ｐａｓｓｗｏｒｄ１２３４"],
)
def test_passwords_that_everybody_tries_are_refused_however_written(password):
    with pytest.raises(BadUserInput, match="one of the first that are tried"):
        require_strong(password, email=EMAIL)


def test_the_own_address_is_no_password():
    with pytest.raises(BadUserInput, match="e-mail address is no password"):
        require_strong("Somebody@Example.org", email=EMAIL)


def test_length_is_counted_after_characters_were_made_the_same():
    with pytest.raises(BadUserInput):
        require_strong("e\u0301" * 6 + "abcde", email=EMAIL)

    require_strong("e\u0301" * 6 + "abcdef", email=EMAIL)
