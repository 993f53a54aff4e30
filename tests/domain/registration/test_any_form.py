from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.documents import PLAYER_KINDS, DocumentKind
from domain.errors.codes import CATALOG, ErrorCode
from domain.errors.exceptions import (
    BodyTooLarge,
    InvalidForm,
    RateLimited,
    RegistrationNotOpen,
    StaleVersion,
)
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import Issue, make_issue
from domain.errors.issues import (
    Issue,
    IssueCode,
    duplicate_captain_email,
    duplicate_captain_phone,
    duplicate_team_name,
    first_issue_per_path,
    make_issue,
)
from domain.registration.forms import DocumentForm, PersonForm, PlayerForm, TeamForm
from domain.registration.validation import _not_none, validate_documents, validate_form
from domain.tournaments import TournamentRules
from tests import factories

TODAY = date(2026, 11, 23)
RULES = TournamentRules(squad_min=1, squad_max=3)

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
people = st.builds(
    PersonForm, name=json_values, phone=json_values, email=json_values, whatsapp=json_values
)
documents = st.lists(
    st.builds(DocumentForm, kind=st.sampled_from(DocumentKind), document_id=st.text()), max_size=2
).map(tuple)
players = st.builds(
    PlayerForm,
    name=json_values,
    role=json_values,
    jersey_number=json_values,
    date_of_birth=json_values,
    documents=documents,
)
forms = st.builds(
    TeamForm,
    team_name=json_values,
    church_name=json_values,
    captain=people,
    vice_captain=people,
    players=st.lists(players, max_size=4).map(tuple),
    documents=documents,
    consent_version=json_values,
    locale=json_values,
)


@given(forms, st.sampled_from([None, "v2"]))
def test_any_form_is_an_entry_or_has_issues_in_form_order(form, consent):
    rules = TournamentRules(squad_min=1, squad_max=3, consent_version=consent)

    checked = validate_form(form, rules, today=TODAY)
    wanted = validate_documents(form, rules)

    assert (checked.entry is None) == bool(checked.issues)
    for issues in (checked.issues, wanted):
        assert first_issue_per_path(reversed(issues)) == issues
        assert len({found.path for found in issues}) == len(issues)


def test_documents_of_a_player_come_after_the_players_other_parts():
    rules = TournamentRules(required_documents=PLAYER_KINDS)
    form = factories.form(players=[{"name": "?", "dateOfBirth": "?"}, *factories.players(11)])

    issues = first_issue_per_path(
        (*validate_documents(form, rules), *validate_form(form, rules, today=TODAY).issues)
    )

    assert [found.pointer for found in issues[:4]] == [
        "/input/players/0/name",
        "/input/players/0/dateOfBirth",
        "/input/players/0/documents",
        "/input/players/1/documents",
    ]


@pytest.mark.parametrize("code", IssueCode)
def test_every_issue_has_words_for_a_person(code):
    params = {"min": 1, "max": 2, "actual": 3, "kinds": ["PHOTO"]}
    params |= {"allowed": ["ACCEPTED"], "names": ["first", "last"]}

    message = make_issue(("input",), code, params).message

    assert "lease" in message
    assert message.endswith(".")
    assert not set("{}") & set(message)


def test_duplicates_are_named_at_their_places():
    found = (duplicate_team_name(), duplicate_captain_phone(), duplicate_captain_email())

    assert [(one.pointer, one.code) for one in found] == [
        ("/input/teamName", IssueCode.DUPLICATE_TEAM_NAME),
        ("/input/captain/phone", IssueCode.DUPLICATE_CAPTAIN_PHONE),
        ("/input/captain/email", IssueCode.DUPLICATE_CAPTAIN_EMAIL),
    ]


def test_invalid_form_counts_its_issues():
    one = Issue(("input", "teamName"), IssueCode.NAME_TOO_SHORT, "x")

    assert InvalidForm([one]).message == "1 detail needs attention."
    assert InvalidForm([one, one, one]).message == "3 details need attention."
    assert InvalidForm([one]).issues == (one,)


def test_errors_carry_their_facts():
    opens_at = datetime(2026, 11, 23, tzinfo=UTC)

    assert RegistrationNotOpen(opens_at).details == {"opensAt": "2026-11-23T00:00:00.000000Z"}
    assert BodyTooLarge(5).details == {"limitBytes": 5}
    assert RateLimited(7).retry_after_seconds == 7
    assert StaleVersion().message == StaleVersion.description


def test_catalogue_is_whole_and_says_what_may_be_repeated():
    assert list(CATALOG) == list(ErrorCode)
    assert all(code.message and code.description for code in IssueCode)
    assert {code for code, error in CATALOG.items() if error.retryable} == {
        "IDEMPOTENCY_IN_PROGRESS",
        "RATE_LIMITED",
        "REQUEST_TIMEOUT",
        "STORAGE_UNAVAILABLE",
        "MAIL_UNAVAILABLE",
        "SERVICE_UNAVAILABLE",
    }


def test_part_that_is_missing_is_no_entry():
    with pytest.raises(ValueError, match="missing"):
        _not_none(None)
