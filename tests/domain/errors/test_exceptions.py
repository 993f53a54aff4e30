from datetime import UTC, datetime

from domain.errors import exceptions
from domain.errors.base import DomainError
from domain.errors.codes import CATALOG, ErrorCode
from domain.errors.exceptions import (
    BodyTooLarge,
    InvalidForm,
    RateLimited,
    RegistrationNotOpen,
    StaleVersion,
    TooManyUploads,
)
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import Issue


def test_each_code_is_declared_by_a_single_class():
    declared = [
        error.code
        for error in vars(exceptions).values()
        if isinstance(error, type) and issubclass(error, DomainError) and "code" in vars(error)
    ]

    assert "RATE_LIMITED" in declared
    assert declared == list(CATALOG) == list(ErrorCode)


def test_subclass_without_a_code_shares_the_entry_of_its_parent():
    assert TooManyUploads().code == "RATE_LIMITED"
    assert CATALOG["RATE_LIMITED"] is RateLimited


def test_retryable_codes():
    assert {code for code, error in CATALOG.items() if error.retryable} == {
        "IDEMPOTENCY_IN_PROGRESS",
        "RATE_LIMITED",
        "REQUEST_TIMEOUT",
        "STORAGE_UNAVAILABLE",
        "MAIL_UNAVAILABLE",
        "SERVICE_UNAVAILABLE",
    }


def test_message_of_an_invalid_form_counts_the_issues():
    issue = Issue(("input", "teamName"), IssueCode.NAME_TOO_SHORT, "x")

    assert InvalidForm([issue]).message == "1 detail needs attention."
    assert InvalidForm([issue, issue, issue]).message == "3 details need attention."
    assert InvalidForm([issue]).issues == (issue,)


def test_arguments_become_details():
    opens_at = datetime(2026, 11, 23, tzinfo=UTC)

    assert RegistrationNotOpen(opens_at).details == {"opensAt": "2026-11-23T00:00:00.000000Z"}
    assert BodyTooLarge(5).details == {"limitBytes": 5}
    assert RateLimited(7).retry_after_seconds == 7


def test_default_message_is_the_description():
    assert StaleVersion().message == StaleVersion.description
