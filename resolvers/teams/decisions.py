"""Decisions about teams: confirm, reject, request changes, reopen, withdraw, review a document.

Each decision is one transaction: lock the team, check version and status, change the status, update
the slots of church and tournament, record the action, enqueue the e-mail and the move of the files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

import structlog

from domain.audit import AUDIT_ACTION_BY_TEAM_ACTION, AuditAction
from domain.auth.roles import CAPTAIN_ACTOR, Caller, Role, require_role
from domain.deliveries import DeliveryKind
from domain.documents import DocumentReview
from domain.errors.exceptions import (
    BadUserInput,
    ChurchLimitReached,
    InvalidForm,
    NotFound,
    StaleVersion,
    TeamNotFound,
    TournamentFull,
)
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import (
    INPUT,
    Issue,
    Path,
    first_issue_per_path,
    make_issue,
    remap_paths,
    size_issues,
)
from domain.ids import parse_uuid
from domain.operations import Operation
from domain.registration.names import is_reason_omitted, parse_reason, require_reason
from domain.teams.codes import player_code
from domain.teams.readiness import Readiness, assess_readiness
from domain.teams.status import LIVE_STATUSES, TeamAction, TeamStatus, transition, transition_error
from persistence.records import LockedTeam, TeamRecord
from persistence.unit_of_work import UnitOfWork
from resolvers import audit
from resolvers.documents.jobs import enqueue_move
from resolvers.security.secrets import fingerprint, verify_fingerprint
from resolvers.services import Services

TEAM_ID_PATH: Path = (*INPUT, "teamId")

REVIEW_VERDICTS = (DocumentReview.ACCEPTED, DocumentReview.REJECTED)

_MAIL_BY_ACTION = {
    TeamAction.CONFIRM: DeliveryKind.MAIL_TEAM_CONFIRMED,
    TeamAction.REQUEST_CHANGES: DeliveryKind.MAIL_CHANGES_REQUESTED,
    TeamAction.REJECT: DeliveryKind.MAIL_TEAM_REJECTED,
    TeamAction.WITHDRAW: DeliveryKind.MAIL_TEAM_WITHDRAWN,
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeItem:
    """A requested change. A document named by `document_id` is rejected with the note."""

    note: str
    document_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An action on the team with the id or code `reference`.

    For CONFIRM, `reason` explains why a team is confirmed that is not ready.
    """

    reference: str
    expected_version: int
    action: TeamAction
    reason: str | None = None
    items: Sequence[ChangeItem] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionedRequest:
    """A request to change an object at `expected_version`, None for any version.

    Its fingerprint is stored with the object, to recognise a repeated request. `content` is the
    whole input.
    """

    actor: str
    operation: str
    expected_version: int | None
    content: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamActivity:
    """An action on a team, as the audit log and the team's history store it."""

    actor: str
    action: AuditAction
    reason: str | None = None


def decision_request(decision: Decision, *, actor: str) -> VersionedRequest:
    return VersionedRequest(
        actor=actor,
        operation=decision.action.value,
        expected_version=decision.expected_version,
        content=decision,
    )


def team_readiness(team: TeamRecord) -> Readiness:
    return assess_readiness(
        team.status,
        team.required_documents,
        {document.kind: document.review for document in team.documents},
        {
            player_code(team.code, player.position): {
                document.kind: document.review for document in player.documents
            }
            for player in team.players
        },
    )


async def decide(
    services: Services, caller: Caller, decision: Decision, team_path: Path = TEAM_ID_PATH
) -> TeamRecord:
    """Make an organiser's decision; return the team after it.

    `team_path` is the path of the argument that names the team, for issues.

    Raises Unauthenticated, Forbidden, InvalidForm, TeamNotFound, StaleVersion,
    InvalidStatusTransition, ChurchLimitReached, TournamentFull.
    """
    require_role(caller, Role.REVIEWER)
    decision = normalize_decision(decision)
    try:
        work = partial(execute_decision, services, decision, actor=caller.actor)
        team = await services.database.run(work)
    except InvalidForm as error:
        # A reopened team's name or contacts are taken. The input has no field for them, only the
        # team's id.
        paths = {issue.path: team_path for issue in error.issues}
        raise InvalidForm(remap_paths(error.issues, paths)) from None
    log.info("team_decided", team=team.code, decision=decision.action.value)
    return team


def normalize_decision(decision: Decision) -> Decision:
    """Check and normalise reason and notes. Raises InvalidForm, BadUserInput."""
    issues: list[Issue] = []
    if decision.action == TeamAction.REQUEST_CHANGES:
        issues += size_issues((*INPUT, "items"), len(decision.items), minimum=1)
    reason = decision.reason
    if decision.action in (TeamAction.REJECT, TeamAction.REOPEN, TeamAction.WITHDRAW):
        reason = parse_reason(reason, issues, "reason")
    else:
        is_absent = is_reason_omitted(reason)
        reason = None if is_absent else parse_reason(reason, issues, "overrideReason")
    items = [
        replace(item, note=parse_reason(item.note, issues, "items", index, "note"))
        for index, item in enumerate(decision.items)
    ]
    if issues:
        raise InvalidForm(first_issue_per_path(issues))
    return replace(decision, reason=reason, items=items)


async def execute_decision(
    services: Services, decision: Decision, uow: UnitOfWork, *, actor: str
) -> TeamRecord:
    """Check and apply a decision of an authorised actor; return the team after it.

    Raises TeamNotFound, StaleVersion, InvalidStatusTransition, NotFound, InvalidForm,
    ChurchLimitReached, TournamentFull.
    """
    request = decision_request(decision, actor=actor)
    team = await lock_team(services, uow, decision.reference, request)
    status = transition(team.status, decision.action, is_captain=actor == CAPTAIN_ACTOR)
    if decision.action == TeamAction.CONFIRM and decision.reason is None:
        await _require_ready(uow, team)
    for index, item in enumerate(decision.items):
        await _reject_document(uow, team, index, item)
    return await apply_decision(services, uow, team, decision, status, actor=actor)


async def lock_team(
    services: Services, uow: UnitOfWork, reference: str, request: VersionedRequest
) -> LockedTeam:
    """Lock the team and check its version. Raises TeamNotFound, StaleVersion.

    `request_fingerprint` of the result is that of `request`, for the update that follows.
    """
    team = await uow.teams.lock(reference)
    if team is None:
        raise TeamNotFound
    require_version(services, request, team.version, team.last_change)
    return replace(team, request_fingerprint=fingerprint(services.secrets, request))


def require_version(
    services: Services, request: VersionedRequest, version: int, last_change: bytes | None
) -> None:
    """Raises StaleVersion; its `isYours` is true if this same request made the last change."""
    expected = request.expected_version
    if expected is None or version == expected:
        return
    is_yours = (
        version == expected + 1
        and last_change is not None
        and verify_fingerprint(services.secrets, request, last_change)
    )
    raise StaleVersion(
        "Your change has been made already. Reload the page to see it." if is_yours else None,
        details={"currentVersion": version, "isYours": is_yours},
    )


async def apply_decision(  # noqa: PLR0913 - a decision, its team and its actor
    services: Services,
    uow: UnitOfWork,
    team: LockedTeam,
    decision: Decision,
    status: TeamStatus,
    *,
    actor: str,
) -> TeamRecord:
    """Write a checked decision with all its effects. Raises ChurchLimitReached, TournamentFull."""
    now = services.clock()
    await _update_slots(uow, team, status)
    await uow.teams.set_status(team, status, now=now)
    await record_action(
        services,
        uow,
        team,
        TeamActivity(
            actor=actor, action=AUDIT_ACTION_BY_TEAM_ACTION[decision.action], reason=decision.reason
        ),
        items=[{"note": item.note, "document": item.document_id} for item in decision.items],
        changes={"status": [team.status.value, status.value]},
    )
    if decision.action in _MAIL_BY_ACTION:
        kind = _MAIL_BY_ACTION[decision.action]
        await uow.outbox.add(kind=kind, payload={}, team_id=team.id, now=now)
    await enqueue_move(uow, team.id, now=now)
    return await load_team(uow, team.id)


async def record_action(  # noqa: PLR0913 - an action, its team and its texts
    services: Services,
    uow: UnitOfWork,
    team: LockedTeam,
    activity: TeamActivity,
    *,
    items: Sequence[Mapping[str, object]] = (),
    changes: Mapping[str, object],
) -> None:
    """Record the action in the team's history and in the audit log.

    Reason and items may contain personal data: they are in the history only, which is erased with
    the team. `changes` go to the audit log, which is kept.
    """
    now = services.clock()
    await uow.decisions.add(
        team,
        at=now,
        actor=activity.actor,
        action=activity.action,
        reason=activity.reason,
        items=items,
    )
    await audit.record(
        uow,
        activity.action,
        activity.actor,
        at=now,
        team_id=team.id,
        changes={**changes, "version": [team.version, team.version + 1]},
    )


async def load_team(uow: UnitOfWork, team_id: UUID) -> TeamRecord:
    """Raises TeamNotFound."""
    team = await uow.teams.find_by_id(team_id)
    if team is None:
        raise TeamNotFound
    return team


async def review_document(  # noqa: PLR0913 - a document and the verdict
    services: Services,
    caller: Caller,
    document_id: UUID,
    *,
    expected_version: int,
    verdict: DocumentReview,
    note: str | None,
) -> TeamRecord:
    """Accept or reject a document; return its team. Raises what `decide` raises, and NotFound."""
    require_role(caller, Role.REVIEWER)
    if verdict not in REVIEW_VERDICTS:
        allowed = {"allowed": [verdict.value for verdict in REVIEW_VERDICTS]}
        raise BadUserInput(
            make_issue((*INPUT, "review"), IssueCode.VALUE_NOT_ALLOWED, allowed),
            message="A document is ACCEPTED or REJECTED.",
        )
    is_required = verdict == DocumentReview.REJECTED
    note = require_reason(note, "note") if is_required or not is_reason_omitted(note) else None
    request = VersionedRequest(
        actor=caller.actor,
        operation=Operation.REVIEW_DOCUMENT,
        expected_version=expected_version,
        content=(document_id, verdict, note),
    )
    return await services.database.run(
        partial(_review_document, services, request, document_id, verdict, note)
    )


async def _review_document(  # noqa: PLR0913, PLR0917 - a document and the verdict
    services: Services,
    request: VersionedRequest,
    document_id: UUID,
    verdict: DocumentReview,
    note: str | None,
    uow: UnitOfWork,
) -> TeamRecord:
    now = services.clock()
    document = await uow.documents.find(document_id)
    unknown = make_issue((*INPUT, "documentId"), IssueCode.ID_UNKNOWN)
    if document is None or document.team_id is None:
        raise NotFound("There is no such document.", unknown)
    team = await lock_team(services, uow, document.team_id.hex, request)
    if team.status not in (TeamStatus.PENDING, TeamStatus.CHANGES_REQUESTED):
        raise transition_error(team.status, Operation.REVIEW_DOCUMENT)
    if not await uow.teams.set_document_review(team, document_id, verdict=verdict, note=note):
        raise NotFound("There is no such document.", unknown)
    await uow.teams.set_status(team, team.status, now=now)
    await audit.record(
        uow,
        AuditAction.DOCUMENT_REVIEWED,
        request.actor,
        at=now,
        team_id=team.id,
        changes={"document": document_id.hex, "review": [document.review.value, verdict.value]},
    )

    return await load_team(uow, team.id)


async def _require_ready(uow: UnitOfWork, team: LockedTeam) -> None:
    blockers = team_readiness(await load_team(uow, team.id)).blockers
    if blockers:
        raise transition_error(
            team.status,
            Operation.CONFIRM_TEAM,
            message="The team is not ready. Review its documents, or say why it is confirmed as it"
            " is.",
            blockers=[{"code": blocker.code, "message": blocker.message} for blocker in blockers],
        )


async def _reject_document(uow: UnitOfWork, team: LockedTeam, index: int, item: ChangeItem) -> None:
    """Raises NotFound at the place of the item."""
    if item.document_id is None:
        return
    unknown = make_issue((*INPUT, "items", index, "documentId"), IssueCode.ID_UNKNOWN)
    document_id = parse_uuid(item.document_id)
    if document_id is None:
        raise NotFound("There is no such document.", unknown)
    is_rejected = await uow.teams.set_document_review(
        team, document_id, verdict=DocumentReview.REJECTED, note=item.note
    )
    if not is_rejected:
        raise NotFound("The team has no such document.", unknown)


async def _update_slots(uow: UnitOfWork, team: LockedTeam, status: TeamStatus) -> None:
    """Release or take the slots of church and tournament if the team stops or starts being live."""
    was_live, is_live = team.status in LIVE_STATUSES, status in LIVE_STATUSES
    if was_live and not is_live:
        await uow.slots.release(team)
    if is_live and not was_live:
        rules = (await uow.tournaments.get_active()).rules
        if not await uow.slots.take_in_church(team):
            limit = rules.teams_per_church or 0
            raise ChurchLimitReached(limit=limit, registered=limit)
        if not await uow.slots.take_in_tournament(team):
            raise TournamentFull(capacity=rules.capacity or 0)
