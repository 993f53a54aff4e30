"""What organisers decide about teams, one transaction each."""

from functools import partial
from uuid import UUID

import structlog

from domain.codes import player_code
from domain.documents import DocumentReview
from domain.errors import (
    BadUserInput,
    InvalidStatusTransition,
    NotFound,
    TeamNotFound,
)
from domain.readiness import Readiness, readiness
from domain.reasons import require_reason
from domain.roles import Caller, Role, require_role
from domain.status import TeamEvent, TeamStatus, move
from persistence import audit, decisions, documents, teams
from persistence.database import Connection
from persistence.decisions import Decided
from persistence.records import TeamRecord
from resolvers.context import Services
from resolvers.deciding import ChangeItem, Decision, conclude, locked, read

log = structlog.get_logger(__name__)


async def team(services: Services, caller: Caller, reference: str) -> TeamRecord:
    """Raises Unauthenticated, TeamNotFound."""
    require_role(caller, Role.VIEWER)
    found = await services.database.read(partial(teams.find, reference=reference))
    if found is None:
        raise TeamNotFound
    return found


def readiness_of(record: TeamRecord) -> Readiness:
    return readiness(
        record.status,
        record.required_documents,
        {document.kind: document.review for document in record.documents},
        {
            player_code(record.code, player.position): {
                document.kind: document.review for document in player.documents
            }
            for player in record.players
        },
    )


async def decide(
    services: Services, caller: Caller, decision: Decision, *, request_id: str
) -> TeamRecord:
    """The team as it is afterwards.

    Raises Unauthenticated, Forbidden, InvalidForm, TeamNotFound, StaleVersion,
    InvalidStatusTransition, ChurchLimitReached, TournamentFull.
    """
    require_role(caller, Role.REVIEWER)
    _check_texts(decision)
    after = await services.database.run(
        partial(_decide, services, caller, decision, request_id=request_id)
    )
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
    request_id: str,
) -> TeamRecord:
    """The team whose document it is. Raises what `decide` raises, and NotFound."""
    require_role(caller, Role.REVIEWER)
    if verdict not in (DocumentReview.ACCEPTED, DocumentReview.REJECTED):
        raise BadUserInput("A document is ACCEPTED or REJECTED.")
    if verdict == DocumentReview.REJECTED:
        require_reason(note, "note")
    return await services.database.run(
        partial(
            _review,
            services,
            caller,
            document_id,
            expected_version=expected_version,
            verdict=verdict,
            note=note,
            request_id=request_id,
        )
    )


async def _decide(
    services: Services,
    caller: Caller,
    decision: Decision,
    connection: Connection,
    *,
    request_id: str,
) -> TeamRecord:
    decided = await locked(connection, decision.reference, decision.expected_version)
    status = move(decided.status, decision.event)
    if decision.event == TeamEvent.CONFIRM and decision.reason is None:
        await _require_ready(connection, decided)
    for item in decision.items:
        await _reject_named(connection, decided, item)
    return await conclude(
        services,
        connection,
        decided,
        decision,
        status,
        actor=caller.actor,
        request_id=request_id,
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
    request_id: str,
) -> TeamRecord:
    now = services.clock()
    owner = await documents.find(connection, document_id)
    if owner is None or owner.team_id is None:
        raise NotFound("There is no such document.")
    decided = await locked(connection, owner.team_id.hex, expected_version)
    if decided.status not in (TeamStatus.PENDING, TeamStatus.CHANGES_REQUESTED):
        raise InvalidStatusTransition(
            details={
                "from": decided.status.value,
                "attempted": "reviewDocument",
                "allowed": [],
            }
        )
    if not await decisions.review(connection, decided, document_id, verdict=verdict, note=note):
        raise NotFound("There is no such document.")
    await decisions.settle(connection, decided, decided.status, now=now)
    await audit.append(
        connection,
        at=now,
        actor=caller.actor,
        action="document.reviewed",
        team_id=decided.id,
        request_id=request_id,
        changes={"document": document_id.hex, "review": [owner.review.value, verdict.value]},
    )
    return await read(connection, decided.id)


async def _require_ready(connection: Connection, decided: Decided) -> None:
    blockers = readiness_of(await read(connection, decided.id)).blockers
    if blockers:
        raise InvalidStatusTransition(
            "The team is not ready. Review its documents, or say why it is confirmed without.",
            details={
                "from": decided.status.value,
                "attempted": TeamEvent.CONFIRM.value,
                "allowed": [],
                "blockers": [{"code": one.code, "message": one.message} for one in blockers],
            },
        )


async def _reject_named(connection: Connection, decided: Decided, item: ChangeItem) -> None:
    if item.document_id is None:
        return
    try:
        document_id = UUID(item.document_id)
    except ValueError:
        raise NotFound("There is no such document.") from None
    found = await decisions.review(
        connection, decided, document_id, verdict=DocumentReview.REJECTED, note=item.note
    )
    if not found:
        raise NotFound("The team has no such document.")


def _check_texts(decision: Decision) -> None:
    """Raises InvalidForm."""
    if decision.event in (TeamEvent.REJECT, TeamEvent.REOPEN, TeamEvent.WITHDRAW):
        require_reason(decision.reason, "reason")
    elif decision.reason is not None:
        require_reason(decision.reason, "overrideReason")
    if decision.event == TeamEvent.REQUEST_CHANGES and not decision.items:
        raise BadUserInput("Name at least one thing that has to change.")
    for place, item in enumerate(decision.items):
        require_reason(item.note, "items", place, "note")
