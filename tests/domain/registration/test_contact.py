from datetime import date

import phonenumbers
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from domain.registration.contact import parse_birth_date, parse_email, parse_phone

TODAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    "text",
    [
        "98765 43210",
        "+91-98765-43210",
        "09876543210",
        "+91 98765-43210",
        "9876543210",
        "(+91) 9876543210",
        "+91\u00a098765\u00a043210",
        "091-98765 43210",
        "0919876543210",
        "(091) 98765 43210",
        "0091 98765 43210",
        "+091-98765 43210",
        "+91-91-9876543210",
        "09198765\u201343210",
        "91 098765 43210",
        "+91 (0) 98765 43210",
        "௦௯௧ ௯௮௭௬௫ ௪௩௨௧௦",
    ],
)
def test_every_notation_of_an_indian_mobile_is_the_same_number(text):
    assert parse_phone(text) == "+919876543210"


def test_foreign_number_keeps_its_country_code():
    assert parse_phone("+44 20 7946 0958") == "+442079460958"


@pytest.mark.parametrize(
    "value",
    [
        None, "", "0000000000", "12345", "+91 00000 00000", "9876543210 ext. 5", "x" * 41,
        "98765\n43210", "98765\x0043210", 9876543210, True, ["9876543210"], {}, 1.5, "call me",
        "091-98765 4321", "091 00000 00000", "0919876543210 ext 5", "091 9876543210 or 1",
    ],
)  # fmt: skip
def test_invalid_phone_is_refused(value):
    with pytest.raises(ValueError, match="phone"):
        parse_phone(value)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("Anand@Church.ORG", "anand@church.org"),
        ("  a.b+c@church.example.org ", "a.b+c@church.example.org"),
        ("ஆனந்த்@church.org", "ஆனந்த்@church.org"),
        ("anand＠church.org", "anand@church.org"),
        ("Ａｎａｎｄ＠Ｃｈｕｒｃｈ．ｏｒｇ", "anand@church.org"),
        ("ａ１．b@church。org", "a1.b@church.org"),
        ("ﬁona@church.org", "fiona@church.org"),
        ("\u3000anand@church.org\u3000", "anand@church.org"),
        ("jose\u0301@church.org", "jos\u00e9@church.org"),
    ],
)
def test_email_is_stored_in_lower_case(text, stored):
    assert parse_email(text) == stored


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "a",
        "a@",
        "@b.org",
        "a b@c.org",
        "a@b",
        f"{'a' * 64}@{'b' * 190}.org",
        5,
        [],
        "a\0@b.org",
        "\ud800@b.org",
    ],
)
def test_invalid_email_is_refused(value):
    with pytest.raises(ValueError, match="e-mail"):
        parse_email(value)


@pytest.mark.parametrize("text", ["2026-11-23", "1926-11-23", "2008-02-29"])
def test_birth_date_is_parsed(text):
    assert parse_birth_date(text, today=TODAY) == date.fromisoformat(text)


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-24",
        "1926-11-22",
        "2007-02-29",
        "20080229",
        "2008-2-9",
        "29.02.2008",
        "",
        None,
        20080230,
        "2008-W01-1",
        "２００８-01-01",
    ],
)
def test_invalid_birth_date_is_refused(value):
    with pytest.raises(ValueError, match=r"date|format|day|month|year"):
        parse_birth_date(value, today=TODAY)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(json_values)
def test_any_value_is_parsed_or_refused(value):
    for parse in (parse_phone, parse_email, lambda v: parse_birth_date(v, today=TODAY)):
        try:
            parse(value)
        except ValueError:
            continue


@given(st.integers(min_value=7_000_000_000, max_value=9_999_999_999))
def test_stored_phone_is_parsed_unchanged(number):
    try:
        stored = parse_phone(str(number))
    except ValueError:
        return
    assert parse_phone(stored) == stored


def normalized_by_library(text):
    """The address as email_validator normalizes it; None if it is refused."""
    try:
        return validate_email(text, check_deliverability=False).normalized.lower()
    except (EmailNotValidError, UnicodeError):
        return None


def parse_or_none(parse, text):
    try:
        return parse(text)
    except ValueError:
        return None


locals_ = st.text('aZ0._+-é"(', min_size=1, max_size=6) | st.text("ab.", min_size=62, max_size=66)
labels = st.text("aB1-_é", min_size=1, max_size=5) | st.sampled_from(["xn--11b", "example", "test"])
domains = st.lists(labels, min_size=1, max_size=3).map(".".join) | st.text("a.@[]1 ", max_size=6)


@given(locals_, domains)
@example("a" * 64, f"{'b' * 63}.{'b' * 63}.{'b' * 57}.org")
@example("a", "localhost")
@example("a", "church.local")
@example("a", "XN--11B4C3D.example.org")
@example("a.b", "gmail.com.")
def test_email_is_parsed_as_by_the_library(local, domain):
    text = f"{local}@{domain}"

    assert parse_or_none(parse_email, text) == normalized_by_library(text)


@given(st.integers(min_value=6_000_000_000, max_value=9_999_999_999))
def test_indian_mobile_is_parsed_as_by_the_library(number):
    text = f"+91{number}"
    is_valid = phonenumbers.is_valid_number(phonenumbers.parse(text, "IN"))

    assert parse_or_none(parse_phone, text) == (text if is_valid else None)
