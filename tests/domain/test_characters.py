import unicodedata
from datetime import date

import pytest

from domain.auth.passwords import canonicalize as canonicalize_password
from domain.auth.passwords import require_strong
from domain.characters import NFKC_MAX_LENGTH, is_storable, nfkc, strip_ignorable, strip_invisible
from domain.errors.exceptions import BadUserInput, InvalidForm
from domain.errors.issue_codes import IssueCode
from domain.registration.contact import parse_birth_date, parse_email, parse_phone
from domain.registration.names import (
    PERSON_NAME,
    TEAM_OR_CHURCH_NAME,
    FreeText,
    canonicalize,
    normalize,
    require_reason,
)
from domain.teams.codes import normalize_code, parse_player_code
from domain.tournaments import parse_changes

# A character of each range of Default_Ignorable_Code_Point, and both ends of long ranges.
INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b\u180d\u180e\u180f\u200b\u200e\u200f\u202a"
    "\u202c\u202e\u2060\u2064\u2065\u2066\u2069\u206f\u3164\ufe00\ufe0f\ufeff\uffa0\ufff0\ufff8"
    "\U0001bca0\U0001bca3\U0001d173\U0001d17a\U000e0000\U000e0001\U000e0041\U000e007f\U000e0100"
    "\U000e01ef\U000e0fff\U00013441\U00013442"
)
MARKS = "\u0301\u0316"


@pytest.mark.parametrize("character", INVISIBLE, ids=lambda character: f"U+{ord(character):04X}")
def test_invisible_character_is_removed_at_every_position(character):
    text = f"{character}An{character}and {character}Raj{character}"

    assert PERSON_NAME.parse(text) == ("Anand Raj", None)
    assert normalize(text) == "anand raj"
    assert PERSON_NAME.parse(character * 3)[1] == IssueCode.NAME_TOO_SHORT
    assert TEAM_OR_CHURCH_NAME.parse(f"C{character}SI 1{character}")[0] == "CSI 1"
    assert normalize_code(f"{character}icct-0{character}01") == "ICCT-001"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("അനില്\u200d", "അനില്\u200d"),
        ("ක්\u200dෂ", "ක්\u200dෂ"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("An\u200dand", "An\u200dand"),
        ("Anand\u200d", "Anand"),
        ("\u200dAnand", "Anand"),
        ("An\u200d\u200cand", "An\u200dand"),
        ("An\u200d\u034f\u200cand", "An\u200dand"),
        ("An. \u200dand", "An. and"),
        ("An\u200d and", "An and"),
        ("11\u200d2", "112"),
        ("=\u200d\u0338", "\u2260"),
    ],
)
def test_joiner_is_kept_only_between_letters_that_it_shapes(text, expected):
    assert canonicalize(text) == expected
    assert canonicalize(expected) == expected
    assert normalize(text) == normalize(strip_ignorable(text))


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "Anand \ud83c", "\udf4f\0", "\0"])
def test_text_with_nul_or_lone_surrogate_is_not_storable(text):
    assert not is_storable(text)
    assert PERSON_NAME.parse(f"Anand{text}") == (canonicalize(f"Anand{text}"), "NAME_CHARACTERS")
    assert FreeText(max_length=80).parse(text)[1] == IssueCode.TEXT_CHARACTERS
    assert normalize_code(text) == ""
    with pytest.raises(BadUserInput) as error:
        require_reason(text, "items", 2, "note")
    assert error.value.message.startswith("note has characters that cannot be stored.")
    assert error.value.details == {"path": ["input", "items", 2, "note"]}
    with pytest.raises(InvalidForm) as weak_password:
        require_strong(f"correct horse {text}", email="a@b.example")
    assert [item.code for item in weak_password.value.issues] == [IssueCode.PASSWORD_LENGTH]


@pytest.mark.parametrize("text", ["", "a", "é", "🏏", "ஆனந்த்", "\ue000", "\uffff"])
def test_any_other_text_is_storable(text):
    assert is_storable(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\u202a+91 98765 43210\u202c", "+919876543210"),
        ("\u2066098765 43210\u2069", "+919876543210"),
        ("\ufeff98765\t43210\n", "+919876543210"),
        ("98765\u200b43210", "+919876543210"),
        ("+91\u00ad98765\ufe0f43210", "+919876543210"),
    ],
)
def test_phone_is_parsed_without_invisible_characters(text, expected):
    assert parse_phone(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "\u202aCap@church.example\u202c",
        "cap@church.example\n",
        "\ufeffcap@church.example\t",
        "ca\u00adp@church.example",
        "cap@chur\u200bch.example",
        "ca\u034fp@church.example",
        "cap\U000e0041@church.example",
    ],
)
def test_email_is_parsed_without_invisible_characters(text):
    assert parse_email(text) == "cap@church.example"


def test_player_code_is_parsed_without_invisible_characters():
    assert parse_player_code("\u2066icct-001-p02\u2069\n") == ("ICCT-001", 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  The receipt is missing. \n", "The receipt is missing."),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("a\tb\x07\x1b[0m", "a b[0m"),
        ("see \u202eabc\u202c", "see abc"),
        ("x" * 500, "x" * 500),
        (" " * 1499 + "x" + " " * 500, "x"),
        ("\u200b" * 1500 + "🏏" * 500, "🏏" * 500),
    ],
)
def test_reason_is_stored_trimmed_and_without_invisible_characters(text, expected):
    assert require_reason(text, "reason") == expected
    assert require_reason(expected, "reason") == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (" " * 240_000, "NAME_TOO_LONG"),
        ("x" + " " * 240_000, "NAME_TOO_LONG"),
        ("x" * 501, "NAME_TOO_LONG"),
        ("\u200b" * 2001, "NAME_TOO_LONG"),
        ("a" + MARKS * 50_000, "NAME_TOO_LONG"),
        (" " * 2000, "TEXT_REQUIRED"),
        ("\u3164" * 20, "TEXT_REQUIRED"),
        ("", "TEXT_REQUIRED"),
        (None, "TEXT_REQUIRED"),
        ("2341\u31642341\u115f2346", "IDENTITY_NUMBER_NOT_ALLOWED"),
    ],
)
def test_blank_or_too_long_reason_is_refused(text, code):
    with pytest.raises(InvalidForm) as error:
        require_reason(text, "reason")

    assert [(item.pointer, item.code) for item in error.value.issues] == [("/input/reason", code)]


@pytest.mark.parametrize("name", ["name", "venue", "upi_payee", "consent_version"])
def test_tournament_text_is_stored_in_canonical_form_or_refused(name):
    assert parse_changes({name: " St.\u200b  Peter's\n"}) == ({name: "St. Peter's"}, [])
    for text in ("a\nb", "a\0b", "\ud800", "x" * 201, " " * 240_000 + "x"):
        (problem,) = parse_changes({name: text})[1]
        assert problem.path == ("input", "upiPayee" if name == "upi_payee" else problem.path[1])
        assert problem.code in {"TEXT_CHARACTERS", "NAME_TOO_LONG"}


@pytest.mark.parametrize("text", ["", " " * 9, "\u3164\u3164", "\u202a\u202c", "\t\n", "\u200b"])
def test_blank_tournament_text_becomes_null_or_is_refused_if_required(text):
    for name in ("venue", "upi_payee", "consent_version", "fee_currency", "upi_id"):
        assert parse_changes({name: text}) == ({name: None}, [])
    for name in ("name", "time_zone"):
        (problem,) = parse_changes({name: text})[1]
        assert problem.code == "TEXT_REQUIRED"
    (problem,) = parse_changes({"squad_min": None})[1]
    assert (problem.pointer, problem.code) == ("/input/squadMin", "VALUE_REQUIRED")


@pytest.mark.parametrize(
    "venue",
    [
        "അനില്\u200d",
        "സെന്റ്\u200c തോമസ്\u200c",
        "ശ്രീ\u200cനാരായണ ഹാൾ",
        "ක්\u200dෂ",
        "می\u200cخواهم",
        "സെന്റ് മേരീസ്\u200c, Thrissur – 5",
    ],
)
def test_joiners_between_letters_of_a_venue_are_kept(venue):
    assert parse_changes({"venue": venue}) == ({"venue": venue}, [])


@pytest.mark.parametrize(
    "character", INVISIBLE + "\t\n\r\u2028\u00a0", ids=lambda character: f"U+{ord(character):04X}"
)
def test_invisible_character_around_any_parsed_text_is_removed(character):
    def surround(text):
        return f"{character}{text}{character}"

    assert PERSON_NAME.parse(surround("Anand")) == ("Anand", None)
    assert TEAM_OR_CHURCH_NAME.parse(surround("CSI 1")) == ("CSI 1", None)
    assert parse_phone(surround("+91 98765 43210")) == "+919876543210"
    assert parse_email(surround("Cap@church.example")) == "cap@church.example"
    assert normalize_code(surround("icct-001")) == "ICCT-001"
    assert parse_player_code(surround("icct-001-p02")) == ("ICCT-001", 2)
    assert require_reason(surround("Too late."), "reason") == "Too late."
    assert FreeText(max_length=80).parse(surround("Scoreboard")) == ("Scoreboard", None)
    assert parse_birth_date(surround("2008-02-29"), today=date(2026, 1, 1)) == date(2008, 2, 29)
    changes = {
        "venue": "St. Mark's",
        "fee_currency": "INR",
        "upi_id": "a.b@bank",
        "time_zone": "UTC",
    }
    assert parse_changes({name: surround(text) for name, text in changes.items()}) == (changes, [])


# Texts that would be slow to normalize. Their length alone refuses them.
LONG = {
    "marks in two classes": "a" + MARKS * 25_000,
    "marks in one class": "a" + "\u0301" * 50_000,
    "marks after a base of Hangul": "\u1100" + "\u0345\u0316" * 25_000,
    "ligature of eighteen letters": "\ufdfa" * 50_000,
    "joiners": "a\u200d" * 25_000,
    "fillers": "\u3164" * 50_000,
    "blanks": " " * 50_000,
    "no-break spaces": "\u00a0" * 50_000,
    "digits": "1 " * 25_000,
}


@pytest.fixture
def normalized_lengths(monkeypatch) -> list[int]:
    """Lengths of all texts that are normalized during the test."""
    lengths: list[int] = []

    def record_and_normalize(form: str, text: str) -> str:
        lengths.append(len(text))
        return original(form, text)

    original = unicodedata.normalize
    monkeypatch.setattr(unicodedata, "normalize", record_and_normalize)
    return lengths


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_long_text_is_refused_before_it_is_normalized(normalized_lengths, text):
    for rule in (PERSON_NAME, TEAM_OR_CHURCH_NAME, FreeText(max_length=200)):
        assert rule.parse(text) == ("", IssueCode.NAME_TOO_LONG)
    for parse in (parse_phone, parse_email):
        with pytest.raises(ValueError, match=r"phone|e-mail"):
            parse(text)
    assert canonicalize_password(text) == ""
    with pytest.raises(InvalidForm):
        require_strong(text, email="a@b.example")
    with pytest.raises(InvalidForm):
        require_reason(text, "reason")
    assert normalized_lengths == []


def test_text_above_1000_characters_is_never_normalized(normalized_lengths):
    for function in (nfkc, canonicalize, normalize):
        with pytest.raises(ValueError, match="too long"):
            function("é" * (NFKC_MAX_LENGTH + 1))
    for rule in (PERSON_NAME, TEAM_OR_CHURCH_NAME):
        rule.parse("a" + MARKS * (2 * rule.max_length - 1))

    assert max(normalized_lengths) <= NFKC_MAX_LENGTH


def test_plain_text_is_unchanged():
    assert strip_invisible("Anand Raj 11") == strip_ignorable("Anand Raj 11") == "Anand Raj 11"
