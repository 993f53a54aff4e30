"""What stands between a team and its confirmation, and who has to do something about it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.documents import PLAYER_KINDS, TEAM_KINDS, DocumentKind, DocumentReview
from domain.status import TeamStatus


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
    """Without blockers the team can be confirmed. `next_operation` is a mutation, or none."""

    blockers: tuple[Blocker, ...]
    next_operation: str | None

    @property
    def is_ready(self) -> bool:
        return not self.blockers


# The reviews of documents by their kind: of the team, and of each player by the player's code.
Reviews = Mapping[DocumentKind, DocumentReview]

_OF_STATUS = {
    TeamStatus.CHANGES_REQUESTED: Blocker(
        code=BlockerCode.CHANGES_REQUESTED,
        message="The captain has been asked for changes.",
        actor=BlockerActor.CAPTAIN,
    ),
    TeamStatus.CONFIRMED: Blocker(
        code=BlockerCode.ALREADY_DECIDED,
        message="The team is confirmed.",
        actor=BlockerActor.ORGANISER,
    ),
    TeamStatus.REJECTED: Blocker(
        code=BlockerCode.ALREADY_DECIDED,
        message="The team is rejected.",
        actor=BlockerActor.ORGANISER,
    ),
    TeamStatus.WITHDRAWN: Blocker(
        code=BlockerCode.ALREADY_DECIDED,
        message="The team is withdrawn.",
        actor=BlockerActor.ORGANISER,
    ),
}
_NEXT_OF_STATUS = {
    TeamStatus.CHANGES_REQUESTED: "resubmitMyTeam",
    TeamStatus.CONFIRMED: "reopenTeam",
    TeamStatus.REJECTED: "reopenTeam",
    TeamStatus.WITHDRAWN: None,
}
_OF_REVIEW = {
    None: (BlockerCode.DOCUMENT_MISSING, "is missing", BlockerActor.CAPTAIN),
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


def readiness(
    status: TeamStatus,
    required: Collection[DocumentKind],
    team: Reviews,
    players: Mapping[str, Reviews],
) -> Readiness:
    """Every required document has to be accepted."""
    blockers = [
        blocker
        for kinds, owner, reviews in (
            (TEAM_KINDS, "The team", team),
            *((PLAYER_KINDS, code, given) for code, given in players.items()),
        )
        for kind in kinds
        if kind in required and (blocker := _of_document(owner, kind, reviews.get(kind)))
    ]
    if status in _OF_STATUS:
        return Readiness(
            blockers=(_OF_STATUS[status], *blockers), next_operation=_NEXT_OF_STATUS[status]
        )
    return Readiness(blockers=tuple(blockers), next_operation=_next(blockers))


def _of_document(owner: str, kind: DocumentKind, review: DocumentReview | None) -> Blocker | None:
    if review == DocumentReview.ACCEPTED:
        return None
    code, what, actor = _OF_REVIEW[review if review in _OF_REVIEW else None]
    return Blocker(code=code, message=f"{owner}: {kind} {what}.", actor=actor)


def _next(blockers: Collection[Blocker]) -> str:
    if any(one.code == BlockerCode.DOCUMENT_NOT_REVIEWED for one in blockers):
        return "reviewDocument"
    return "requestChanges" if blockers else "confirmTeam"
