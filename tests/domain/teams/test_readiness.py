"""Blockers of a team, their actors and the next operation."""

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


def assess(status=TeamStatus.PENDING, letter=ACCEPTED, proof=ACCEPTED, required=REQUIRED):
    team = {LETTER: letter} if letter else {}
    player = {PROOF: proof} if proof else {}
    return assess_readiness(status, required, team, {"ICCT-001-P01": player})


def test_team_with_accepted_documents_is_ready():
    readiness = assess()

    assert (readiness.is_ready, readiness.blockers, readiness.next_operation) == (
        True,
        (),
        "confirmTeam",
    )


@pytest.mark.parametrize(
    ("reviews", "codes", "actors", "next_operation"),
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
def test_required_document_that_is_not_accepted_is_a_blocker(
    reviews, codes, actors, next_operation
):
    readiness = assess(**reviews)

    assert [blocker.code for blocker in readiness.blockers] == codes
    assert [blocker.actor for blocker in readiness.blockers] == actors
    assert readiness.next_operation == next_operation


def test_optional_document_is_no_blocker():
    assert assess(letter=None, proof=REJECTED, required=()).is_ready


@pytest.mark.parametrize(
    ("status", "code", "next_operation"),
    [
        (TeamStatus.CHANGES_REQUESTED, "CHANGES_REQUESTED", "resubmitMyTeam"),
        (TeamStatus.CONFIRMED, "ALREADY_DECIDED", "reopenTeam"),
        (TeamStatus.REJECTED, "ALREADY_DECIDED", "reopenTeam"),
        (TeamStatus.WITHDRAWN, "ALREADY_DECIDED", None),
    ],
)
def test_team_that_is_not_pending_has_a_blocker(status, code, next_operation):
    readiness = assess(status)

    assert [blocker.code for blocker in readiness.blockers] == [code]
    assert readiness.next_operation == next_operation


def test_blocker_message_names_the_owner_of_the_document():
    assert [blocker.message for blocker in assess(letter=None, proof=PENDING).blockers] == [
        "The team: PASTOR_LETTER is missing.",
        "ICCT-001-P01: IDENTITY_PROOF has not been reviewed.",
    ]
