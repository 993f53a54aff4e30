import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import IssueCode
from domain.text import GROUP_NAME, PERSON_NAME, canonical, has_identity_number, normalize

AADHAAR = "234123412346"


@pytest.mark.parametrize(
    "name",
    [
        "R. Anand",
        "St. Peter's",
        "ஆனந்த் ராஜ்",
        "Mary-Ann O’Neil",
        "Jo",
        "ശ്രീ‌ കുമാർ",
        "അനില്\u200d",
        "x" * 50,
    ],
)
def test_names_of_real_people_are_taken(name):
    assert PERSON_NAME.problem(canonical(name)) is None


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", IssueCode.NAME_TOO_SHORT),
        ("A", IssueCode.NAME_TOO_SHORT),
        ("x" * 51, IssueCode.NAME_TOO_LONG),
        ("---", IssueCode.NAME_CHARACTERS),
        ("'''", IssueCode.NAME_CHARACTERS),
        ("A.-", IssueCode.NAME_CHARACTERS),
        ("Anand 2", IssueCode.NAME_CHARACTERS),
        ("An\0and", IssueCode.NAME_CHARACTERS),
        ("An\nand", IssueCode.NAME_CHARACTERS),
        ("An\ud800and", IssueCode.NAME_CHARACTERS),
        ("An\u2028and", IssueCode.NAME_CHARACTERS),
        ("An\ufff9and", IssueCode.NAME_CHARACTERS),
        ("\u2800" * 3, IssueCode.NAME_CHARACTERS),
        ("A\u3164", IssueCode.NAME_TOO_SHORT),
        ("\u3164\u3164\u3164", IssueCode.NAME_TOO_SHORT),
        ("\uffa0\u1160\u115f", IssueCode.NAME_TOO_SHORT),
        ("\U00013441\U00013442\U00013441", IssueCode.NAME_TOO_SHORT),
        ("\u200d\u200c\u200d", IssueCode.NAME_TOO_SHORT),
        ("<b>Anand</b>", IssueCode.NAME_CHARACTERS),
        ("Anand 🏏", IssueCode.NAME_CHARACTERS),
        (f"Anand {AADHAAR}", IssueCode.IDENTITY_NUMBER_NOT_ALLOWED),
    ],
)
def test_what_is_no_name_is_refused(name, code):
    assert PERSON_NAME.problem(canonical(name)) == code


@pytest.mark.parametrize("name", ["CSI 2nd Church", "Bat & Ball", "XI A1B", "தமிழ் 11"])
def test_names_of_teams_hold_digits_and_ampersands(name):
    assert GROUP_NAME.problem(canonical(name)) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (AADHAAR, True),
        ("Team 2341 2341 2346", True),
        ("2341-2341-2346", True),
        ("2341'2341&2346", True),
        ("2341–2341 — 2346", True),
        ("XI 1234 2341 2341 2346", True),
        ("2341\u200c2341\u200d2346", True),
        ("2341\u03012341\u03012346", True),
        ("２３４１ ２３４１ ２３４６", True),
        ("௨௩௪௧௨௩௪௧௨௩௪௬", True),
        ("99 2341 2341 2346", True),
        ("234123412345", False),
        ("2341234123469", False),
        ("23412341234", False),
        ("Team 11", False),
    ],
)
def test_identity_numbers_are_found(text, expected):
    assert has_identity_number(canonical(text)) is expected


@given(st.integers(min_value=0, max_value=10**11 - 1))
def test_of_ten_check_digits_one_makes_an_identity_number(number):
    found = [has_identity_number(f"{number:011}{digit}") for digit in range(10)]

    assert found.count(True) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("C.S.I. St. Peter's", "CSI St Peters"),
        ("ST. PETER’S", "st peters"),
        ("St. Peter´s", "St Peter′s"),
        ("  Holy   Trinity ", "Holy Trinity"),
        ("Ｚｉｏｎ", "zion"),
        ("Straße", "STRASSE"),
    ],
)
def test_one_name_written_in_two_ways_is_one(one, other):
    assert normalize(one) == normalize(other)


@given(st.text())
def test_normalising_and_cleaning_twice_change_nothing_more(text):
    assert normalize(normalize(text)) == normalize(text)
    assert canonical(canonical(text)) == canonical(text)


@given(st.text(alphabet=st.sampled_from("aAzZ  .'1\n"), max_size=85))
def test_plain_names_are_read_as_any_others(text):
    for rule in (PERSON_NAME, GROUP_NAME):
        name = canonical(text)
        assert rule.read(text) == (name, rule.problem(name))
    # What joins no letters makes it a name that is not plain.
    assert normalize(text) == normalize(f"{text}\u200c")


@given(st.text(alphabet=st.sampled_from("aA ே்க1&.'’-\u200d<é"), max_size=90))
def test_pattern_and_check_agree(text):
    for rule in (PERSON_NAME, GROUP_NAME):
        name = canonical(text)
        if has_identity_number(name):
            continue
        assert bool(as_python(rule.pattern).match(name)) == (rule.problem(name) is None)


def as_python(pattern: str) -> re.Pattern[str]:
    """The pattern for Python's re, its Unicode classes spelled out for the alphabet used."""
    alphabet = "aA ே்க1&.'’-\u200d<é"
    for name in ("L", "M", "Nd"):
        members = "".join(c for c in alphabet if unicodedata.category(c).startswith(name))
        inside = re.escape(members)
        pattern = pattern.replace(rf"(?:.*\p{{{name}}})", f"(?:.*[{inside}])")
        pattern = pattern.replace(rf"\p{{{name}}}", inside)
    return re.compile(pattern.replace(r"\u200c\u200d", "\u200c\u200d"))
