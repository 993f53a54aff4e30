from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.documents import PLAYER_KINDS, TEAM_KINDS, DocumentKind, UploadRef
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import Issue, first_issue_per_path
from domain.registration.forms import DocumentForm, PersonForm, PlayerForm, TeamForm
from domain.registration.validation import _not_none, validate_documents, validate_form
from domain.tournaments import TournamentRules
from tests import factories

TODAY = date(2026, 11, 23)
RULES = TournamentRules()


def form_issues(rules: TournamentRules = RULES, **changes) -> list[tuple[str, str]]:
    validation = validate_form(factories.form(**changes), rules, today=TODAY)
    assert (validation.team is None) == bool(validation.issues)
    return [(issue.pointer, issue.code.value) for issue in validation.issues]


def squad(count: int = 15, **changes: dict) -> list[dict]:
    players = factories.players(count)
    for index, change in changes.items():
        players[int(index[1:])] |= change
    return players


def test_form_without_issues_is_parsed_to_canonical_text():
    form = factories.form(
        teamName="  St.   Peter's XI ",
        churchName="C.S.I. Zion",
        captain=factories.person(0, name="R. Anand", phone="98765 43210", email="R@Church.org"),
        players=squad(_0={"role": "BOWLER", "jerseyNumber": 0, "dateOfBirth": "2008-02-29"}),
        locale="ta-IN",
    )

    team = validate_form(form, RULES, today=TODAY).team

    assert team is not None
    assert (team.team_name, team.normalized_team_name) == ("St. Peter's XI", "st peters xi")
    assert (team.church_name, team.normalized_church_name) == ("C.S.I. Zion", "csi zion")
    captain = team.captain
    assert (captain.name, captain.email) == ("R. Anand", "r@church.org")
    assert (captain.phone, captain.whatsapp) == ("+919876543210", "+919876543210")
    first = team.players[0]
    assert (first.role, first.jersey_number) == ("BOWLER", 0)
    assert first.date_of_birth == date(2008, 2, 29)
    assert (team.locale, team.consent_version) == ("ta-IN", None)


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
def test_broken_rule_is_an_issue_at_its_path(changes, expected):
    assert form_issues(**changes) == expected


@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\u200b", "\u202a\u202c", "\u3164", "\u00a0"])
def test_blank_optional_value_is_the_same_as_none(blank):
    form = factories.form(
        captain=factories.person(0, whatsapp=blank),
        viceCaptain=factories.person(1, whatsapp=blank),
        players=squad(
            _0={"role": blank, "jerseyNumber": blank, "dateOfBirth": blank},
            _1={"role": blank, "jerseyNumber": blank, "dateOfBirth": blank},
        ),
    )
    validation = validate_form(form, RULES, today=TODAY)

    assert validation.issues == ()
    assert validation.team == validate_form(factories.form(), RULES, today=TODAY).team


@pytest.mark.parametrize(("sent", "number"), [(7.0, 7), (0.0, 0), (-0.0, 0), (999.0, 999), (7, 7)])
def test_whole_number_is_a_jersey_number_as_int_or_float(sent, number):
    validation = validate_form(
        factories.form(players=squad(_0={"jerseyNumber": sent})), RULES, today=TODAY
    )

    jersey = validation.team.players[0].jersey_number
    assert (jersey, type(jersey)) == (number, int)


@pytest.mark.parametrize(
    ("changes", "fields"),
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
def test_two_people_of_the_same_name_need_different_phones_and_emails(changes, fields):
    captain = factories.person(0, name="Jacob Thomas")
    vice_captain = factories.person(1, name="Jacob Thomas") | changes

    assert form_issues(captain=captain, viceCaptain=vice_captain) == [
        (f"/input/viceCaptain/{field}", "SAME_PERSON_TWICE") for field in fields
    ]


def test_issues_are_in_the_order_of_the_form():
    issues = form_issues(
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


def test_issues_never_repeat_a_value():
    marker = "Xylophone"
    form = factories.form(
        teamName=f"<{marker}>",
        captain=factories.person(0, phone=marker, email=marker),
        players=squad(_0={"role": marker, "dateOfBirth": marker, "jerseyNumber": marker}),
    )

    issues = validate_form(form, RULES, today=TODAY).issues

    assert len(issues) == 6
    assert all(marker not in issue.message + str(issue.params) for issue in issues)


def test_players_beyond_the_maximum_are_counted_but_not_parsed():
    issues = validate_form(
        factories.form(players=[{"name": "?"}] * 5000), RULES, today=TODAY
    ).issues

    assert issues[0].params == {"min": 11, "max": 15, "actual": 5000}
    assert len(issues) == 16


def test_consent_version_is_stored_only_if_it_is_required():
    rules = replace(RULES, consent_version="v2")
    form = factories.form(consentVersion="v2")

    assert validate_form(form, rules, today=TODAY).team.consent_version == "v2"
    assert validate_form(form, RULES, today=TODAY).team.consent_version is None


@pytest.mark.parametrize("locale", ["", 5, {}, "x" * 36, "ta\0IN", "<ta>", "234123412346"])
def test_invalid_locale_is_not_stored(locale):
    assert validate_form(factories.form(locale=locale), RULES, today=TODAY).team.locale is None


def test_valid_fields_of_an_invalid_form_have_lookup_keys():
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


def test_missing_documents_are_one_issue_per_slot():
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
    ("document_form", "expected"),
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
def test_document_that_cannot_be_claimed_is_an_issue(document_form, expected):
    form = replace(factories.form(), documents=(document_form,))

    issues = validate_documents(form, RULES, UPLOADS)

    assert [(i.pointer, i.code) for i in issues] == ([expected] if expected else [])


def test_upload_in_two_slots_is_refused_in_the_second():
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


def test_second_document_of_a_kind_in_a_slot_is_refused():
    letter, again = (document(DocumentKind.PASTOR_LETTER, name) for name in ("letter", "LETTER"))
    form = replace(factories.form(), documents=(letter, again))

    issues = validate_documents(form, RULES, UPLOADS)

    assert [(i.pointer, i.code) for i in issues] == [
        ("/input/documents/1/kind", "DOCUMENT_WRONG_KIND")
    ]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(
        ["R. Anand", "98765 43210", "a@church.org", "BOWLER", "2008-01-01", "\ud800"]
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
person_forms = st.builds(
    PersonForm, name=json_values, phone=json_values, email=json_values, whatsapp=json_values
)
document_forms = st.lists(
    st.builds(DocumentForm, kind=st.sampled_from(DocumentKind), document_id=st.text()), max_size=2
).map(tuple)
player_forms = st.builds(
    PlayerForm,
    name=json_values,
    role=json_values,
    jersey_number=json_values,
    date_of_birth=json_values,
    documents=document_forms,
)
team_forms = st.builds(
    TeamForm,
    team_name=json_values,
    church_name=json_values,
    captain=person_forms,
    vice_captain=person_forms,
    players=st.lists(player_forms, max_size=4).map(tuple),
    documents=document_forms,
    consent_version=json_values,
    locale=json_values,
)


@given(team_forms, st.sampled_from([None, "v2"]))
def test_any_form_is_valid_or_has_issues_in_form_order(form, consent):
    rules = TournamentRules(squad_min=1, squad_max=3, consent_version=consent)

    validation = validate_form(form, rules, today=TODAY)
    document_issues = validate_documents(form, rules)

    assert (validation.team is None) == bool(validation.issues)
    for issues in (validation.issues, document_issues):
        assert first_issue_per_path(reversed(issues)) == issues
        assert len({issue.path for issue in issues}) == len(issues)


def test_issues_of_a_players_documents_come_last():
    rules = TournamentRules(required_documents=PLAYER_KINDS)
    form = factories.form(players=[{"name": "?", "dateOfBirth": "?"}, *factories.players(11)])

    issues = first_issue_per_path(
        (*validate_documents(form, rules), *validate_form(form, rules, today=TODAY).issues)
    )

    assert [issue.pointer for issue in issues[:4]] == [
        "/input/players/0/name",
        "/input/players/0/dateOfBirth",
        "/input/players/0/documents",
        "/input/players/1/documents",
    ]


def test_missing_value_in_a_form_without_issues_is_a_defect():
    with pytest.raises(ValueError, match="missing"):
        _not_none(None)
