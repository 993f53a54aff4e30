import pytest

from domain.errors.issue_codes import IssueCode
from domain.errors.issues import (
    Issue,
    duplicate_captain_email,
    duplicate_captain_phone,
    duplicate_team_name,
    first_issue_per_path,
    make_issue,
)


@pytest.mark.parametrize("code", IssueCode)
def test_every_code_has_a_message_for_people(code):
    params = {"min": 1, "max": 2, "actual": 3, "kinds": ["PHOTO"]}
    params |= {"allowed": ["ACCEPTED"], "names": ["first", "last"]}

    message = make_issue(("input",), code, params).message

    assert "lease" in message
    assert message.endswith(".")
    assert not set("{}") & set(message)


@pytest.mark.parametrize("code", IssueCode)
def test_every_code_is_documented(code):
    assert code.description.endswith(".")
    assert code.cause.endswith(".")
    assert code.action.endswith(".")


def test_issues_of_duplicates_have_the_path_of_their_field():
    issues = (duplicate_team_name(), duplicate_captain_phone(), duplicate_captain_email())

    assert [(issue.pointer, issue.code) for issue in issues] == [
        ("/input/teamName", IssueCode.DUPLICATE_TEAM_NAME),
        ("/input/captain/phone", IssueCode.DUPLICATE_CAPTAIN_PHONE),
        ("/input/captain/email", IssueCode.DUPLICATE_CAPTAIN_EMAIL),
    ]


def test_first_issue_of_a_path_is_kept():
    first = Issue(("input", "teamName"), IssueCode.NAME_TOO_SHORT, "first")
    second = Issue(("input", "teamName"), IssueCode.DUPLICATE_TEAM_NAME, "second")

    assert first_issue_per_path([first, second]) == (first,)


def test_pointer_is_escaped():
    assert Issue(("a/b", "c~d", 0), IssueCode.NAME_TOO_SHORT, "x").pointer == "/a~1b/c~0d/0"
