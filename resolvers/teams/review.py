"""What organisers decide about teams, one transaction each."""

from dataclasses import replace
from functools import partial
from uuid import UUID

import structlog

from domain.audit import AuditAction
from domain.auth.roles import Caller, Role, require_role
from domain.documents import DocumentReview
from domain.errors.exceptions import (
    BadUserInput,
    InvalidForm,
    Issue,
    IssueCode,
    NotFound,
    TeamNotFound,
)
from domain.errors.issues import INPUT, Path, first_issue_per_path, issue, remap_paths, size_issues
from domain.operations import Operation
from domain.registration.reasons import is_left_out, note_reason, read_reason
from domain.teams.status import TeamAction, TeamStatus, refused
from observability.logging_setup import current_request_id
from persistence.engine.database import Connection
from persistence.fast import json_rendering
from persistence.fast.json_rendering import JsonSql
from persistence.records import TeamRecord
from persistence.repositories import audit, decisions, documents, teams
from resolvers.services import Services
from resolvers.teams.decisions import Change, Decision, execute_decision, locked, read

TEAM_ID: Path = (*INPUT, "teamId")
_VERDICTS = (DocumentReview.ACCEPTED, DocumentReview.REJECTED)

log = structlog.get_logger(__name__)


async def team(services: Services, caller: Caller, reference: str) -> TeamRecord:
    """Raises Unauthenticated, TeamNotFound."""
    require_role(caller, Role.VIEWER)
    found = await services.database.read(partial(teams.find, reference=reference))
    if found is None:
        raise TeamNotFound
    return found


async def team_text(services: Services, caller: Caller, reference: str, text: JsonSql) -> str:
    """The team as PostgreSQL prints it. Raises Unauthenticated, Forbidden, TeamNotFound."""
    require_role(caller, Role.REVIEWER)
    found = await json_rendering.find_team(services.database, reference, text)
    if found is None:
        raise TeamNotFound
    return str(found["json"])


async def decide(
    services: Services, caller: Caller, decision: Decision, place: Path = TEAM_ID
) -> TeamRecord:
    """The team as it is afterwards. `place` is the path of the argument that names it.

    Raises Unauthenticated, Forbidden, InvalidForm, TeamNotFound, StaleVersion,
    InvalidStatusTransition, ChurchLimitReached, TournamentFull.
    """
    require_role(caller, Role.REVIEWER)
    decision = read_texts(decision)
    try:
        work = partial(execute_decision, services, decision, actor=caller.actor)
        after = await services.database.run(work)
    except InvalidForm as taken:
        # What another team has taken: a decision names the team, not its parts.
        places = {one.path: place for one in taken.issues}
        raise InvalidForm(remap_paths(taken.issues, places)) from None
    log.info("team_decided", team=after.code, decision=decision.event.value)
    return after


async def review_document(  # noqa: PLR0913 - what is reviewed, and how
    services: Services,
    caller: Caller,
    document_id: UUID,
    *,
    expected_version: int,
    verdict: DocumentReview,
    note: str | None,
) -> TeamRecord:
    """The team whose document it is. Raises what `decide` raises, and NotFound."""
    require_role(caller, Role.REVIEWER)
    if verdict not in _VERDICTS:
        allowed = {"allowed": [one.value for one in _VERDICTS]}
        raise BadUserInput(
            issue((*INPUT, "review"), IssueCode.VALUE_NOT_ALLOWED, allowed),
            message="A document is ACCEPTED or REJECTED.",
        )
    is_needed = verdict == DocumentReview.REJECTED
    note = read_reason(note, "note") if is_needed or not is_left_out(note) else None
    return await services.database.run(
        partial(
            _review,
            services,
            caller,
            document_id,
            expected_version=expected_version,
            verdict=verdict,
            note=note,
        )
    )


async def _review(  # noqa: PLR0913 - what is reviewed, and how
    services: Services,
    caller: Caller,
    document_id: UUID,
    connection: Connection,
    *,
    expected_version: int,
    verdict: DocumentReview,
    note: str | None,
) -> TeamRecord:
    now = services.clock()
    owner = await documents.find(connection, document_id)
    if owner is None or owner.team_id is None:
        raise NotFound("There is no such document.")
    change = Change(
        actor=caller.actor,
        operation=Operation.REVIEW_DOCUMENT,
        expected_version=expected_version,
        content=(document_id, verdict, note),
    )
    decided = await locked(services, connection, owner.team_id.hex, change)
    if decided.status not in (TeamStatus.PENDING, TeamStatus.CHANGES_REQUESTED):
        raise refused(decided.status, Operation.REVIEW_DOCUMENT)
    if not await decisions.set_review(connection, decided, document_id, verdict=verdict, note=note):
        raise NotFound("There is no such document.")
    await decisions.set_status(connection, decided, decided.status, now=now)
    await audit.append(
        connection,
        at=now,
        actor=caller.actor,
        action=AuditAction.DOCUMENT_REVIEWED,
        team_id=decided.id,
        request_id=current_request_id(),
        changes={"document": document_id.hex, "review": [owner.review.value, verdict.value]},
    )
    return await read(connection, decided.id)


def read_texts(decision: Decision) -> Decision:
    """The decision with its texts as they are stored. Raises InvalidForm, BadUserInput."""
    issues: list[Issue] = []
    if decision.event == TeamAction.REQUEST_CHANGES:
        issues += size_issues((*INPUT, "items"), len(decision.items), least=1)
    reason = decision.reason
    if decision.event in (TeamAction.REJECT, TeamAction.REOPEN, TeamAction.WITHDRAW):
        reason = note_reason(reason, issues, "reason")
    else:
        is_absent = is_left_out(reason)
        reason = None if is_absent else note_reason(reason, issues, "overrideReason")
    items = [
        replace(item, note=note_reason(item.note, issues, "items", place, "note"))
        for place, item in enumerate(decision.items)
    ]
    if issues:
        raise InvalidForm(first_issue_per_path(issues))
    return replace(decision, reason=reason, items=items)
