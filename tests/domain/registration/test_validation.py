from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest

from domain.documents import PLAYER_KINDS, TEAM_KINDS, DocumentKind, UploadRef
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import Issue
from domain.errors.issues import Issue, IssueCode, first_issue_per_path
from domain.registration.forms import DocumentForm
from domain.registration.validation import validate_documents, validate_form
from domain.tournaments import TournamentRules
from tests import factories

TODAY = date(2026, 11, 23)
RULES = TournamentRules()


def found(rules: TournamentRules = RULES, **changes) -> list[tuple[str, str]]:
    checked = validate_form(factories.form(**changes), rules, today=TODAY)
    assert (checked.entry is None) == bool(checked.issues)
    return [(issue.pointer, issue.code.value) for issue in checked.issues]


def squad(count: int = 15, **changes: dict) -> list[dict]:
    players = factories.players(count)
    for index, change in changes.items():
        players[int(index[1:])] |= change
    return players


def test_form_without_issues_becomes_an_entry_in_canonical_text():
    form = factories.form(
        teamName="  St.   Peter's XI ",
        churchName="C.S.I. Zion",
        captain=factories.person(0, name="R. Anand", phone="98765 43210", email="R@Church.org"),
        players=squad(_0={"role": "BOWLER", "jerseyNumber": 0, "dateOfBirth": "2008-02-29"}),
        locale="ta-IN",
    )

    entry = validate_form(form, RULES, today=TODAY).entry

    assert entry is not None
    assert (entry.team_name, entry.normalized_team_name) == ("St. Peter's XI", "st peters xi")
    assert (entry.church_name, entry.normalized_church_name) == ("C.S.I. Zion", "csi zion")
    captain = entry.captain
    assert (captain.name, captain.email) == ("R. Anand", "r@church.org")
    assert (captain.phone, captain.whatsapp) == ("+919876543210", "+919876543210")
    first = entry.players[0]
    assert (first.role, first.jersey_number) == ("BOWLER", 0)
    assert first.date_of_birth == date(2008, 2, 29)
    assert (entry.locale, entry.consent_version) == ("ta-IN", None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"teamName": "X"}, [("/input/teamName", "NAME_TOO_SHORT")]),
        ({"churchName": 5}, [("/input/churchName", "NAME_TOO_SHORT")]),
        ({"captain": factories.person(0, phone=None)}, [("/input/captain/phone", "PHONE_INVALID")]),
        (
            {"captain": factories.person(0, whatsapp=7)},
            [("/input/captain/whatsapp", "PHONE_INVALID")],
        ),
        (
            {"viceCaptain": factories.person(1, email={})},
            [("/input/viceCaptain/email", "EMAIL_INVALID")],
        ),
        (
            {"viceCaptain": factories.person(0)},
            [
                ("/input/viceCaptain/name", "SAME_PERSON_TWICE"),
                ("/input/viceCaptain/phone", "SAME_PERSON_TWICE"),
            ],
        ),
        ({"viceCaptain": factories.person(1, email="person0@example.org")}, []),
        ({"players": squad(10)}, [("/input/players", "SQUAD_TOO_SMALL")]),
        ({"players": squad(16)}, [("/input/players", "SQUAD_TOO_LARGE")]),
        ({"players": []}, [("/input/players", "SQUAD_TOO_SMALL")]),
        ({"players": squad(_2={"role": "bowler"})}, [("/input/players/2/role", "ROLE_UNKNOWN")]),
        ({"players": squad(_2={"role": 3})}, [("/input/players/2/role", "ROLE_UNKNOWN")]),
        (
            {"players": squad(_1={"jerseyNumber": 7}, _4={"jerseyNumber": 7})},
            [("/input/players/4/jerseyNumber", "JERSEY_TAKEN")],
        ),
        *(
            (
                {"players": squad(_1={"jerseyNumber": wrong})},
                [("/input/players/1/jerseyNumber", "JERSEY_INVALID")],
            )
            for wrong in (-1, 1000, True, 1.5, 1000.0, -1.0, 1e300, "7", [])
        ),
        (
            {"players": squad(_3={"dateOfBirth": "yesterday"})},
            [("/input/players/3/dateOfBirth", "DATE_INVALID")],
        ),
        (
            {"players": squad(_1={"name": "R. Anand"}, _5={"name": "r anand"})},
            [("/input/players/5/name", "DUPLICATE_PLAYER")],
        ),
        (
            {
                "players": squad(
                    _1={"name": "R Anand", "dateOfBirth": "2008-01-01"},
                    _5={"name": "R Anand", "dateOfBirth": "2008-01-01"},
                )
            },
            [("/input/players/5/name", "DUPLICATE_PLAYER")],
        ),
        (
            {
                "players": squad(
                    _1={"name": "R Anand", "dateOfBirth": "2008-01-01"},
                    _5={"name": "R Anand", "dateOfBirth": "2008-01-02"},
                )
            },
            [],
        ),
    ],
)
def test_each_rule_names_its_place(changes, expected):
    assert found(**changes) == expected


@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\u200b", "\u202a\u202c", "\u3164", "\u00a0"])
def test_blank_text_in_an_optional_leaf_is_as_if_left_out(blank):
    given = factories.form(
        captain=factories.person(0, whatsapp=blank),
        viceCaptain=factories.person(1, whatsapp=blank),
        players=squad(
            _0={"role": blank, "jerseyNumber": blank, "dateOfBirth": blank},
            _1={"role": blank, "jerseyNumber": blank, "dateOfBirth": blank},
        ),
    )
    checked = validate_form(given, RULES, today=TODAY)

    assert checked.issues == ()
    assert checked.entry == validate_form(factories.form(), RULES, today=TODAY).entry


@pytest.mark.parametrize(("sent", "number"), [(7.0, 7), (0.0, 0), (-0.0, 0), (999.0, 999), (7, 7)])
def test_whole_number_is_a_jersey_number_however_it_is_written(sent, number):
    checked = validate_form(
        factories.form(players=squad(_0={"jerseyNumber": sent})), RULES, today=TODAY
    )

    jersey = checked.entry.players[0].jersey_number
    assert (jersey, type(jersey)) == (number, int)


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({}, []),
        ({"phone": "+919000000000"}, ["name", "phone"]),
        ({"email": "person0@example.org"}, ["name"]),
        ({"email": "PERSON0@example.org "}, ["name"]),
        ({"name": "Other Person", "email": "person0@example.org"}, []),
        ({"name": "Other Person", "phone": "090000 00000"}, ["phone"]),
        ({"name": "jacob. THOMAS", "phone": "+91 90000 00000"}, ["name", "phone"]),
    ],
)
def test_captain_and_vice_captain_of_one_name_are_two_people_by_phone_and_email(changes, places):
    captain = factories.person(0, name="Jacob Thomas")
    vice_captain = factories.person(1, name="Jacob Thomas") | changes

    assert found(captain=captain, viceCaptain=vice_captain) == [
        (f"/input/viceCaptain/{place}", "SAME_PERSON_TWICE") for place in places
    ]


def test_issues_of_all_parts_come_in_the_order_of_the_form():
    issues = found(
        rules=replace(RULES, consent_version="v2"),
        teamName="---",
        churchName="x",
        captain={"name": "1", "phone": "1", "whatsapp": "1", "email": "1"},
        viceCaptain=factories.person(1, name="\0"),
        players=squad(9, _0={"name": "?", "role": "?", "jerseyNumber": "?", "dateOfBirth": "?"}),
    )

    assert [pointer for pointer, _ in issues] == [
        "/input/teamName",
        "/input/churchName",
        "/input/captain/name",
        "/input/captain/phone",
        "/input/captain/whatsapp",
        "/input/captain/email",
        "/input/viceCaptain/name",
        "/input/players",
        "/input/players/0/name",
        "/input/players/0/role",
        "/input/players/0/jerseyNumber",
        "/input/players/0/dateOfBirth",
        "/input/consentVersion",
    ]


def test_no_message_or_parameter_repeats_what_was_sent():
    marker = "Xylophone"
    form = factories.form(
        teamName=f"<{marker}>",
        captain=factories.person(0, phone=marker, email=marker),
        players=squad(_0={"role": marker, "dateOfBirth": marker, "jerseyNumber": marker}),
    )

    issues = validate_form(form, RULES, today=TODAY).issues

    assert len(issues) == 6
    assert all(marker not in issue.message + str(issue.params) for issue in issues)


def test_huge_squad_is_counted_not_read():
    issues = validate_form(
        factories.form(players=[{"name": "?"}] * 5000), RULES, today=TODAY
    ).issues

    assert issues[0].params == {"min": 11, "max": 15, "actual": 5000}
    assert len(issues) == 16


def test_consent_is_stored_only_where_it_is_asked_for():
    rules = replace(RULES, consent_version="v2")
    form = factories.form(consentVersion="v2")

    assert validate_form(form, rules, today=TODAY).entry.consent_version == "v2"
    assert validate_form(form, RULES, today=TODAY).entry.consent_version is None


@pytest.mark.parametrize("locale", ["", 5, {}, "x" * 36, "ta\0IN", "<ta>", "234123412346"])
def test_what_is_no_locale_is_not_stored(locale):
    assert validate_form(factories.form(locale=locale), RULES, today=TODAY).entry.locale is None


def test_valid_parts_of_a_wrong_form_are_looked_up():
    keys = validate_form(
        factories.form(teamName="?", captain=factories.person(0, phone="?"), players=[]),
        RULES,
        today=TODAY,
    ).keys

    assert (keys.church, keys.team_name) == ("csi church 0", None)
    assert (keys.captain_email, keys.captain_phone) == ("person0@example.org", None)


UPLOADS = {
    name: UploadRef(id=UUID(int=number), kind=kind, is_claimed=name == "claimed")
    for number, (name, kind) in enumerate(
        {
            "letter": DocumentKind.PASTOR_LETTER,
            "claimed": DocumentKind.PAYMENT_RECEIPT,
            "card": DocumentKind.SUBSCRIPTION_CARD,
        }.items()
    )
}
UPLOADS["LETTER"] = UPLOADS["letter"]


def document(kind: DocumentKind, name: str = "unknown") -> DocumentForm:
    return DocumentForm(kind=kind, document_id=name)


def test_missing_documents_are_named_once_per_place():
    rules = replace(RULES, required_documents=(*TEAM_KINDS, *PLAYER_KINDS))

    issues = validate_documents(factories.form(), rules)

    assert len(issues) == 16
    assert issues[15] == Issue(
        ("input", "documents"),
        IssueCode.MISSING_DOCUMENT,
        "Please add the missing documents: PASTOR_LETTER, PAYMENT_RECEIPT, GROUP_PHOTO.",
        {"kinds": ["PASTOR_LETTER", "PAYMENT_RECEIPT", "GROUP_PHOTO"]},
    )
    assert issues[0].pointer == "/input/players/0/documents"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (document(DocumentKind.GROUP_PHOTO), ("/input/documents/0/documentId", "DOCUMENT_UNKNOWN")),
        (document(DocumentKind.PHOTO), ("/input/documents/0/kind", "DOCUMENT_WRONG_KIND")),
        (
            document(DocumentKind.GROUP_PHOTO, "letter"),
            ("/input/documents/0/documentId", "DOCUMENT_WRONG_KIND"),
        ),
        (
            document(DocumentKind.PAYMENT_RECEIPT, "claimed"),
            ("/input/documents/0/documentId", "DOCUMENT_ALREADY_USED"),
        ),
        (document(DocumentKind.PASTOR_LETTER, "letter"), None),
    ],
)
def test_documents_are_known_and_where_they_belong(given, expected):
    form = replace(factories.form(), documents=(given,))

    issues = validate_documents(form, RULES, UPLOADS)

    assert [(i.pointer, i.code) for i in issues] == ([expected] if expected else [])


def test_one_upload_is_for_one_place_however_its_id_is_written():
    card = document(DocumentKind.SUBSCRIPTION_CARD, "card")
    first, second, *others = factories.form().players
    form = replace(
        factories.form(),
        players=(replace(first, documents=(card,)), replace(second, documents=(card,)), *others),
    )

    issues = validate_documents(form, RULES, UPLOADS)

    assert [(i.pointer, i.code) for i in issues] == [
        ("/input/players/1/documents/0/documentId", "DOCUMENT_ALREADY_USED")
    ]


def test_a_place_has_one_document_of_a_kind():
    letter, again = (document(DocumentKind.PASTOR_LETTER, name) for name in ("letter", "LETTER"))
    form = replace(factories.form(), documents=(letter, again))

    issues = validate_documents(form, RULES, UPLOADS)

    assert [(i.pointer, i.code) for i in issues] == [
        ("/input/documents/1/kind", "DOCUMENT_WRONG_KIND")
    ]


def test_one_issue_per_place_and_the_first_stays():
    first = Issue(("input", "teamName"), IssueCode.NAME_TOO_SHORT, "first")
    second = Issue(("input", "teamName"), IssueCode.DUPLICATE_TEAM_NAME, "second")

    assert first_issue_per_path([first, second]) == (first,)


def test_pointers_are_escaped():
    assert Issue(("a/b", "c~d", 0), IssueCode.NAME_TOO_SHORT, "x").pointer == "/a~1b/c~0d/0"
