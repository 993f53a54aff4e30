"""Readiness of a team for confirmation: the blockers, and who can remove them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.documents import PLAYER_KINDS, TEAM_KINDS, DocumentKind, DocumentReview
from domain.operations import Operation
from domain.teams.status import TeamStatus


class BlockerCode(StrEnum):
    DOCUMENT_MISSING = "DOCUMENT_MISSING"
    DOCUMENT_REJECTED = "DOCUMENT_REJECTED"
    DOCUMENT_NOT_REVIEWED = "DOCUMENT_NOT_REVIEWED"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"
    ALREADY_DECIDED = "ALREADY_DECIDED"


class BlockerActor(StrEnum):
    CAPTAIN = "CAPTAIN"
    ORGANISER = "ORGANISER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    code: BlockerCode
    message: str
    actor: BlockerActor


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """A team without blockers can be confirmed."""

    blockers: tuple[Blocker, ...]
    next_operation: Operation | None

    @property
    def is_ready(self) -> bool:
        return not self.blockers


Reviews = Mapping[DocumentKind, DocumentReview]

BLOCKER_BY_STATUS = {
    TeamStatus.CHANGES_REQUESTED: Blocker(
        code=BlockerCode.CHANGES_REQUESTED,
        message="The captain was asked for changes.",
        actor=BlockerActor.CAPTAIN,
    )
} | {
    status: Blocker(
        code=BlockerCode.ALREADY_DECIDED,
        message=f"The team is {status.lower()}.",
        actor=BlockerActor.ORGANISER,
    )
    for status in (TeamStatus.CONFIRMED, TeamStatus.REJECTED, TeamStatus.WITHDRAWN)
}
_NEXT_OPERATION_BY_STATUS = {
    TeamStatus.CHANGES_REQUESTED: Operation.RESUBMIT_MY_TEAM,
    TeamStatus.CONFIRMED: Operation.REOPEN_TEAM,
    TeamStatus.REJECTED: Operation.REOPEN_TEAM,
    TeamStatus.WITHDRAWN: None,
}
# For documents that do not exist or were superseded.
_MISSING = (BlockerCode.DOCUMENT_MISSING, "is missing", BlockerActor.CAPTAIN)
BLOCKER_BY_REVIEW = {
    DocumentReview.REJECTED: (
        BlockerCode.DOCUMENT_REJECTED,
        "was rejected",
        BlockerActor.CAPTAIN,
    ),
    DocumentReview.PENDING: (
        BlockerCode.DOCUMENT_NOT_REVIEWED,
        "has not been reviewed",
        BlockerActor.ORGANISER,
    ),
}


def assess_readiness(
    status: TeamStatus,
    required: Collection[DocumentKind],
    team: Reviews,
    players: Mapping[str, Reviews],
) -> Readiness:
    """Readiness of a team whose required documents must all be accepted.

    `team` has the reviews of the team's documents, `players` those of the players' by player code.
    """
    blockers = [
        blocker
        for kinds, owner, reviews in (
            (TEAM_KINDS, "The team", team),
            *((PLAYER_KINDS, code, reviews) for code, reviews in players.items()),
        )
        for kind in kinds
        if kind in required and (blocker := _document_blocker(owner, kind, reviews.get(kind)))
    ]
    if status in BLOCKER_BY_STATUS:
        return Readiness(
            blockers=(BLOCKER_BY_STATUS[status], *blockers),
            next_operation=_NEXT_OPERATION_BY_STATUS[status],
        )
    return Readiness(blockers=tuple(blockers), next_operation=_next_operation(blockers))


def _document_blocker(
    owner: str, kind: DocumentKind, review: DocumentReview | None
) -> Blocker | None:
    if review == DocumentReview.ACCEPTED:
        return None
    code, problem, actor = _MISSING if review is None else BLOCKER_BY_REVIEW.get(review, _MISSING)
    return Blocker(code=code, message=f"{owner}: {kind} {problem}.", actor=actor)


def _next_operation(blockers: Collection[Blocker]) -> Operation:
    if any(blocker.code == BlockerCode.DOCUMENT_NOT_REVIEWED for blocker in blockers):
        return Operation.REVIEW_DOCUMENT
    return Operation.REQUEST_CHANGES if blockers else Operation.CONFIRM_TEAM
