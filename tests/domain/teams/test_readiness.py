"""What blocks a team, who has to act, and what comes next."""

import pytest

from domain.documents import DocumentKind, DocumentReview
from domain.teams.readiness import assess_readiness
from domain.teams.status import TeamStatus

LETTER, PROOF = DocumentKind.PASTOR_LETTER, DocumentKind.IDENTITY_PROOF
REQUIRED = (LETTER, PROOF)
ACCEPTED, REJECTED, PENDING, SUPERSEDED = (
    DocumentReview.ACCEPTED,
    DocumentReview.REJECTED,
    DocumentReview.PENDING,
    DocumentReview.SUPERSEDED,
)


def of(status=TeamStatus.PENDING, letter=ACCEPTED, proof=ACCEPTED, required=REQUIRED):
    team = {LETTER: letter} if letter else {}
    player = {PROOF: proof} if proof else {}
    return assess_readiness(status, required, team, {"ICCT-001-P01": player})


def test_a_team_whose_documents_are_accepted_is_ready():
    found = of()

    assert (found.is_ready, found.blockers, found.next_operation) == (True, (), "confirmTeam")


@pytest.mark.parametrize(
    ("reviews", "codes", "actors", "following"),
    [
        ({"letter": None}, ["DOCUMENT_MISSING"], ["CAPTAIN"], "requestChanges"),
        ({"letter": SUPERSEDED}, ["DOCUMENT_MISSING"], ["CAPTAIN"], "requestChanges"),
        ({"proof": REJECTED}, ["DOCUMENT_REJECTED"], ["CAPTAIN"], "requestChanges"),
        ({"proof": PENDING}, ["DOCUMENT_NOT_REVIEWED"], ["ORGANISER"], "reviewDocument"),
        (
            {"letter": REJECTED, "proof": PENDING},
            ["DOCUMENT_REJECTED", "DOCUMENT_NOT_REVIEWED"],
            ["CAPTAIN", "ORGANISER"],
            "reviewDocument",
        ),
    ],
)
def test_each_document_that_is_not_accepted_blocks(reviews, codes, actors, following):
    found = of(**reviews)

    assert [one.code for one in found.blockers] == codes
    assert [one.actor for one in found.blockers] == actors
    assert found.next_operation == following


def test_what_is_not_required_does_not_block():
    assert of(letter=None, proof=REJECTED, required=()).is_ready


@pytest.mark.parametrize(
    ("status", "code", "following"),
    [
        (TeamStatus.CHANGES_REQUESTED, "CHANGES_REQUESTED", "resubmitMyTeam"),
        (TeamStatus.CONFIRMED, "ALREADY_DECIDED", "reopenTeam"),
        (TeamStatus.REJECTED, "ALREADY_DECIDED", "reopenTeam"),
        (TeamStatus.WITHDRAWN, "ALREADY_DECIDED", None),
    ],
)
def test_only_a_pending_team_can_be_confirmed(status, code, following):
    found = of(status)

    assert [one.code for one in found.blockers] == [code]
    assert found.next_operation == following


def test_messages_name_whose_document_it_is():
    assert [one.message for one in of(letter=None, proof=PENDING).blockers] == [
        "The team: PASTOR_LETTER is missing.",
        "ICCT-001-P01: IDENTITY_PROOF has not been reviewed.",
    ]
