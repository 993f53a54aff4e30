"""What happens to stored files after the fact: moved with a decision, deleted, pruned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from domain.audit import AuditAction
from domain.deliveries import DeliveryKind
from domain.documents import KINDS_OF_CLASS, RetentionClass
from domain.errors.exceptions import StorageUnavailable
from domain.teams.status import TeamStatus
from integrations.storage.base import (
    DocumentStore,
    FileMissing,
    Folder,
    delete_everywhere,
    find_folder,
)
from observability.logging_setup import current_request_id
from persistence.engine.database import Connection
from persistence.records import DocumentRecord
from persistence.repositories import audit, documents, outbox, teams
from persistence.repositories.documents import DeletedDocument
from persistence.repositories.outbox import Message
from resilience.background_tasks import Parts
from resolvers.operations.outbox import Handler
from resolvers.services import Services

MOVE = DeliveryKind.MEDIA_MOVE
DELETE = DeliveryKind.MEDIA_DELETE
BATCH_SIZE = 200
# Between two looks whether a move that was under way has ended.
MOVE_RETRY_SECONDS = 2

FOLDER_BY_STATUS = {
    TeamStatus.PENDING: Folder.PENDING,
    TeamStatus.CHANGES_REQUESTED: Folder.PENDING,
    TeamStatus.CONFIRMED: Folder.CONFIRMED,
    TeamStatus.REJECTED: Folder.REJECTED,
    TeamStatus.WITHDRAWN: Folder.REJECTED,
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedDocuments:
    """How many documents were given up; their files are deleted through the outbox."""

    unclaimed: int
    expired: int


async def enqueue_move(connection: Connection, team_id: UUID, *, now: datetime) -> None:
    """To be written with a decision: the team's files go where its new status belongs."""
    await outbox.add(connection, kind=MOVE, payload={}, team_id=team_id, now=now)


async def enqueue_deletions(
    connection: Connection,
    given_up: Sequence[DeletedDocument],
    *,
    team_id: UUID | None = None,
    now: datetime,
) -> None:
    """To be written with what gives up documents of one team, or of nobody.

    The messages belong to no team, so that they outlive its erasure. They name the moves of the
    team that are under way: until those have ended, a file may turn up in another folder.
    """
    moves = []
    if given_up and team_id is not None:
        moves = [one.hex for one in await outbox.lock_started(connection, team_id, kind=MOVE)]
    for one in given_up:
        payload = {"store": one.store, "storage_name": one.storage_name, "moves": moves}
        await outbox.add(connection, kind=DELETE, payload=payload, now=now)


async def move_files(services: Services, message: Message) -> None:
    """Bring every file of a team to the folder of its present status. Safe to repeat.

    The first delivery trusts the rows. Later ones move every file: an earlier delivery may have
    ended between moving a file and recording it.
    """
    is_first = message.attempts <= 1
    while misplaced := await _misplaced(services, message.team_id, trust_rows=is_first):
        for document, target in misplaced:
            await _move_document(services, document, target)
        # The status may have changed meanwhile, for a worker that saw nothing to move.
        is_first = True


async def delete_file(services: Services, message: Message) -> None:
    """Delete a file in every folder. Safe to repeat.

    Raises StorageUnavailable while a move that read the row before its deletion is under way.
    """
    payload = message.payload
    media = services.storage.store_named(payload["store"])
    await delete_everywhere(media, payload["storage_name"])
    moves = [UUID(text) for text in payload.get("moves", ())]
    if not moves:
        return
    is_late = services.clock() < message.created_at + timedelta(seconds=media.late_seconds)
    if is_late or await services.database.read(partial(outbox.is_any_owed, message_ids=moves)):
        raise StorageUnavailable(retry_after_seconds=MOVE_RETRY_SECONDS)


HANDLERS: Mapping[str, Handler] = {MOVE: move_files, DELETE: delete_file}


async def prune(services: Services, parts: Parts) -> PrunedDocuments:
    """Give up what nobody claimed in time and what was kept for its time. Safe to repeat.

    Each batch is one transaction with the messages that delete its files: killed half-way, what
    was given up is deleted all the same, and the rest is given up by the next run.
    """
    run = services.database.run
    unclaimed = expired = 0
    while count := await parts.run(run(partial(_delete_unclaimed, services)), otherwise=0):
        unclaimed += count
    for kept_for in RetentionClass:
        give_up = partial(_delete_expired, services, kept_for)
        while count := await parts.run(run(give_up), otherwise=0):
            expired += count
    if unclaimed or expired:
        log.info("documents_pruned", unclaimed=unclaimed, expired=expired)
    return PrunedDocuments(unclaimed=unclaimed, expired=expired)


async def _misplaced(
    services: Services, team_id: UUID | None, *, trust_rows: bool
) -> list[tuple[DocumentRecord, Folder]]:
    """Documents to move, with their targets; none for a team that was erased."""
    if team_id is None:
        return []
    status, kept = await services.database.read(partial(_team_files, team_id=team_id))
    if status is None:
        return []
    target = FOLDER_BY_STATUS[status]
    return [(one, target) for one in kept if not trust_rows or one.folder != target]


async def _team_files(
    connection: Connection, *, team_id: UUID
) -> tuple[TeamStatus | None, list[DocumentRecord]]:
    status = await teams.get_status(connection, team_id)
    return status, await documents.list_stored_by_team(connection, team_id)


async def _move_document(services: Services, document: DocumentRecord, target: Folder) -> None:
    media = services.storage.store_named(document.store)
    try:
        await _move_file(media, document, target)
    except FileMissing:
        # Deleted since it was read, or lost: then there is nothing to move.
        log.warning("document_file_missing", document=str(document.id))
    is_there = await services.database.run(
        partial(documents.set_folder, document_id=document.id, folder=target)
    )
    if not is_there:
        # Given up while it moved: its deletion may have looked before it arrived.
        await delete_everywhere(media, document.storage_name)


async def _move_file(media: DocumentStore, document: DocumentRecord, target: Folder) -> None:
    """Move a file from the folder of its row, or from another one. Raises FileMissing."""
    name, recorded = document.storage_name, Folder(document.folder)
    try:
        if recorded != target:
            return await media.move(name, recorded, target)
    except FileMissing:
        pass
    place = await find_folder(media, name, likely=target)
    if place is None:
        raise FileMissing
    if place != target:
        await media.move(name, place, target)
    return None


async def _delete_unclaimed(services: Services, connection: Connection) -> int:
    now = services.clock()
    given_up = await documents.delete_unclaimed(
        connection, before=now - services.storage.unclaimed_ttl, limit=BATCH_SIZE
    )
    await enqueue_deletions(connection, given_up, now=now)
    return len(given_up)


async def _delete_expired(
    services: Services, kept_for: RetentionClass, connection: Connection
) -> int:
    now = services.clock()
    given_up = await documents.expire_claimed(
        connection,
        KINDS_OF_CLASS[kept_for],
        before=now - services.storage.retention[kept_for],
        now=now,
        limit=BATCH_SIZE,
    )
    by_team: dict[UUID | None, list[DeletedDocument]] = {}
    for one in given_up:
        by_team.setdefault(one.team_id, []).append(one)
    for team_id, of_team in by_team.items():
        await enqueue_deletions(connection, of_team, team_id=team_id, now=now)
    for one in given_up:
        await audit.append(
            connection,
            at=now,
            actor="system",
            action=AuditAction.DOCUMENT_EXPIRED,
            team_id=one.team_id,
            request_id=current_request_id(),
            changes={"document": one.id.hex if one.id else None},
        )
    return len(given_up)
