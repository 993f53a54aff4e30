"""One decision about a team, whoever makes it: checked, concluded, on record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from domain.audit import ACTION_OF_EVENT, AuditAction
from domain.auth.roles import CAPTAIN_ACTOR
from domain.deliveries import DeliveryKind
from domain.documents import DocumentReview
from domain.errors.exceptions import (
    ChurchLimitReached,
    IssueCode,
    NotFound,
    StaleVersion,
    TeamNotFound,
    TournamentFull,
)
from domain.errors.issues import INPUT, issue
from domain.ids import read_id
from domain.operations import Operation
from domain.teams.codes import player_code
from domain.teams.readiness import Readiness, readiness
from domain.teams.status import LIVE_STATUSES, TeamAction, TeamStatus, move, refused
from observability.logging_setup import current_request_id
from persistence.engine.database import Connection
from persistence.records import TeamRecord
from persistence.repositories import audit, decisions, outbox, teams, tournaments
from persistence.repositories.decisions import LockedTeam
from resolvers.documents.jobs import owe_move
from resolvers.security.secrets import fingerprint, verify_fingerprint
from resolvers.services import Services

_MAIL_OF_EVENT = {
    TeamAction.CONFIRM: DeliveryKind.MAIL_TEAM_CONFIRMED,
    TeamAction.REQUEST_CHANGES: DeliveryKind.MAIL_CHANGES_REQUESTED,
    TeamAction.REJECT: DeliveryKind.MAIL_TEAM_REJECTED,
    TeamAction.WITHDRAW: DeliveryKind.MAIL_TEAM_WITHDRAWN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeItem:
    """What the captain has to change; a document that is named is rejected with the note."""

    note: str
    document_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to be done with the team that `reference` names by id or code.

    `reason` is also why a team is confirmed that is not ready.
    """

    reference: str
    expected_version: int
    event: TeamAction
    reason: str | None = None
    items: Sequence[ChangeItem] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A request to change something at a version. `content` is all that was asked for."""

    actor: str
    operation: str
    expected_version: int | None
    content: object = None


def change_of(decision: Decision, *, actor: str) -> Change:
    return Change(
        actor=actor,
        operation=decision.event.value,
        expected_version=decision.expected_version,
        content=decision,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamActivity:
    """What somebody did to a team."""

    actor: str
    action: AuditAction
    reason: str | None = None


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


async def execute_decision(
    services: Services, decision: Decision, connection: Connection, *, actor: str
) -> TeamRecord:
    """The team as it is afterwards; whoever decides may do so.

    Raises TeamNotFound, StaleVersion, InvalidStatusTransition, NotFound, InvalidForm,
    ChurchLimitReached, TournamentFull.
    """
    change = change_of(decision, actor=actor)
    decided = await locked(services, connection, decision.reference, change)
    status = move(decided.status, decision.event, is_captain=actor == CAPTAIN_ACTOR)
    if decision.event == TeamAction.CONFIRM and decision.reason is None:
        await _require_ready(connection, decided)
    for place, item in enumerate(decision.items):
        await _reject_named(connection, decided, place, item)
    return await apply_decision(services, connection, decided, decision, status, actor=actor)


async def locked(
    services: Services, connection: Connection, reference: str, change: Change
) -> LockedTeam:
    """The team, locked, with the mark of the change. Raises TeamNotFound, StaleVersion."""
    decided = await decisions.lock(connection, reference)
    if decided is None:
        raise TeamNotFound
    require_version(services, change, decided.version, decided.last_change)
    return replace(decided, last_change=fingerprint(services.secrets, change))


def require_version(
    services: Services, change: Change, version: int, last_change: bytes | None
) -> None:
    """Raises StaleVersion, which tells a repeat from a change of somebody else's."""
    expected = change.expected_version
    if expected is None or version == expected:
        return
    is_yours = (
        version == expected + 1
        and last_change is not None
        and verify_fingerprint(services.secrets, change, last_change)
    )
    raise StaleVersion(
        "Your change was made already. Look at it again." if is_yours else None,
        details={"currentVersion": version, "isYours": is_yours},
    )


async def apply_decision(  # noqa: PLR0913 - what was decided, about which team, by whom
    services: Services,
    connection: Connection,
    decided: LockedTeam,
    decision: Decision,
    status: TeamStatus,
    *,
    actor: str,
) -> TeamRecord:
    """Write all that belongs to the decision. Raises ChurchLimitReached, TournamentFull."""
    now = services.clock()
    await _settle_places(connection, decided, status)
    await decisions.set_status(connection, decided, status, now=now)
    await record_action(
        services,
        connection,
        decided,
        TeamActivity(actor=actor, action=ACTION_OF_EVENT[decision.event], reason=decision.reason),
        items=[{"note": one.note, "document": one.document_id} for one in decision.items],
        changes={"status": [decided.status.value, status.value]},
    )
    if decision.event in _MAIL_OF_EVENT:
        kind = _MAIL_OF_EVENT[decision.event]
        await outbox.add(connection, kind=kind, payload={}, team_id=decided.id, now=now)
    await owe_move(connection, decided.id, now=now)
    return await read(connection, decided.id)


async def record_action(  # noqa: PLR0913 - what was done, to which team, in whose words
    services: Services,
    connection: Connection,
    decided: LockedTeam,
    act: TeamActivity,
    *,
    items: Sequence[Mapping[str, object]] = (),
    changes: Mapping[str, object],
) -> None:
    """People's words go where they can be erased, `changes` to the audit log for good."""
    now = services.clock()
    await decisions.add(
        connection,
        decided,
        at=now,
        actor=act.actor,
        action=act.action,
        reason=act.reason,
        items=items,
    )
    await audit.append(
        connection,
        at=now,
        actor=act.actor,
        action=act.action,
        team_id=decided.id,
        request_id=current_request_id(),
        changes={**changes, "version": [decided.version, decided.version + 1]},
    )


async def read(connection: Connection, team_id: UUID) -> TeamRecord:
    """Raises TeamNotFound."""
    record = await teams.find_by_id(connection, team_id)
    if record is None:
        raise TeamNotFound
    return record


async def _require_ready(connection: Connection, decided: LockedTeam) -> None:
    blockers = readiness_of(await read(connection, decided.id)).blockers
    if blockers:
        raise refused(
            decided.status,
            Operation.CONFIRM_TEAM,
            message="The team is not ready. Review its documents, or say why it is confirmed"
            " without.",
            blockers=[{"code": one.code, "message": one.message} for one in blockers],
        )


async def _reject_named(
    connection: Connection, decided: LockedTeam, place: int, item: ChangeItem
) -> None:
    """Raises NotFound at the place of the item."""
    if item.document_id is None:
        return
    wrong = issue((*INPUT, "items", place, "documentId"), IssueCode.ID_UNKNOWN)
    document_id = read_id(item.document_id)
    if document_id is None:
        raise NotFound("There is no such document.", wrong)
    found = await decisions.set_review(
        connection, decided, document_id, verdict=DocumentReview.REJECTED, note=item.note
    )
    if not found:
        raise NotFound("The team has no such document.", wrong)


async def _settle_places(connection: Connection, decided: LockedTeam, status: TeamStatus) -> None:
    was_live, is_live = (one in LIVE_STATUSES for one in (decided.status, status))
    if was_live and not is_live:
        await decisions.release_slots(connection, decided)
    if is_live and not was_live:
        rules = (await tournaments.get_active(connection)).rules
        if not await decisions.take_church_slot(connection, decided):
            limit = rules.teams_per_church or 0
            raise ChurchLimitReached(limit=limit, registered=limit)
        if not await decisions.take_tournament_slot(connection, decided):
            raise TournamentFull(capacity=rules.capacity or 0)
