"""Background work on stored files: moves after decisions, deletions, expiry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from domain.audit import AuditAction
from domain.deliveries import DeliveryKind
from domain.documents import KINDS_BY_RETENTION_CLASS, RetentionClass
from domain.errors.exceptions import StorageUnavailable
from domain.teams.status import TeamStatus
from integrations.storage.base import (
    DocumentStore,
    FileMissing,
    Folder,
    delete_everywhere,
    find_folder,
)
from persistence.records import DocumentRecord
from persistence.repositories.outbox import Message
from persistence.unit_of_work import UnitOfWork
from resilience.background_tasks import ErrorCollector
from resolvers import audit
from resolvers.operations.outbox import Handler
from resolvers.services import Services

MOVE = DeliveryKind.MEDIA_MOVE
DELETE = DeliveryKind.MEDIA_DELETE
BATCH_SIZE = 200
# Pause before a deletion checks again whether a concurrent move has ended.
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
    """Numbers of deleted documents. Their files are deleted through the outbox."""

    unclaimed: int
    expired: int


async def enqueue_move(uow: UnitOfWork, team_id: UUID, *, now: datetime) -> None:
    """Enqueue the move of a team's files to the folder of its status, with the decision."""
    await uow.outbox.add(kind=MOVE, payload={}, team_id=team_id, now=now)


async def enqueue_deletions(
    uow: UnitOfWork,
    deleted: Sequence[DocumentRecord],
    *,
    team_id: UUID | None = None,
    now: datetime,
) -> None:
    """Enqueue the deletion of files of one team, or of no team, with the deletion of the rows.

    The messages have no team id, so that they outlive the team's erasure. They name the team's
    moves in progress: until these have ended, a file may still appear in another folder.
    """
    moves = []
    if deleted and team_id is not None:
        moves = [move_id.hex for move_id in await uow.outbox.lock_started(team_id, kind=MOVE)]
    for document in deleted:
        payload = {"store": document.store, "storage_name": document.storage_name, "moves": moves}
        await uow.outbox.add(kind=DELETE, payload=payload, now=now)


async def move_files(services: Services, message: Message) -> None:
    """Move every file of a team to the folder of its present status. Safe to repeat.

    The first delivery trusts the folders of the rows. Later ones check every file: an earlier
    delivery may have ended between moving a file and recording it.
    """
    trust_rows = message.attempts <= 1
    while misplaced := await _misplaced(services, message.team_id, trust_rows=trust_rows):
        for document, target in misplaced:
            await _move_document(services, document, target)
        # Repeat in case the status has changed since, whose own message may have found nothing to
        # move. The rows are correct now.
        trust_rows = True


async def delete_file(services: Services, message: Message) -> None:
    """Delete a file from every folder. Safe to repeat.

    Raises StorageUnavailable, to be retried, while a move is in progress that read the row before
    its deletion.
    """
    payload = message.payload
    store = services.storage.store_named(payload["store"])
    await delete_everywhere(store, payload["storage_name"])
    moves = [UUID(move_id) for move_id in payload.get("moves", ())]
    if not moves:
        return
    moves_end_at = message.created_at + timedelta(seconds=store.late_effect_seconds)
    is_early = services.clock() < moves_end_at
    if is_early or await services.database.read(
        lambda uow: uow.outbox.is_any_pending(message_ids=moves)
    ):
        raise StorageUnavailable(retry_after_seconds=MOVE_RETRY_SECONDS)


HANDLERS: Mapping[str, Handler] = {MOVE: move_files, DELETE: delete_file}


async def prune(services: Services, errors: ErrorCollector) -> PrunedDocuments:
    """Delete unclaimed uploads and documents past their retention. Safe to repeat.

    Each batch is one transaction together with the messages that delete its files, so a run that
    is killed loses nothing.
    """
    run = services.database.run
    unclaimed = expired = 0
    while count := await errors.run(run(partial(_delete_unclaimed, services)), default=0):
        unclaimed += count
    for retention_class in RetentionClass:
        delete_batch = partial(_delete_expired, services, retention_class)
        while count := await errors.run(run(delete_batch), default=0):
            expired += count
    if unclaimed or expired:
        log.info("documents_pruned", unclaimed=unclaimed, expired=expired)
    return PrunedDocuments(unclaimed=unclaimed, expired=expired)


async def _misplaced(
    services: Services, team_id: UUID | None, *, trust_rows: bool
) -> list[tuple[DocumentRecord, Folder]]:
    """List documents to move, with their targets; none for an erased team."""
    if team_id is None:
        return []
    status, stored = await services.database.read(partial(_team_files, team_id=team_id))
    if status is None:
        return []
    target = FOLDER_BY_STATUS[status]
    return [
        (document, target) for document in stored if not trust_rows or document.folder != target
    ]


async def _team_files(
    uow: UnitOfWork, *, team_id: UUID
) -> tuple[TeamStatus | None, list[DocumentRecord]]:
    status = await uow.teams.find_status(team_id)
    return status, await uow.documents.list_stored_by_team(team_id)


async def _move_document(services: Services, document: DocumentRecord, target: Folder) -> None:
    store = services.storage.store_named(document.store)
    try:
        await _move_file(store, document, target)
    except FileMissing:
        # Deleted since the row was read, or lost.
        log.warning("document_file_missing", document=str(document.id))
    still_exists = await services.database.run(
        lambda uow: uow.documents.set_folder(document_id=document.id, folder=target)
    )
    if not still_exists:
        # The row was deleted during the move; the deletion may have missed the moved file.
        await delete_everywhere(store, document.storage_name)


async def _move_file(store: DocumentStore, document: DocumentRecord, target: Folder) -> None:
    """Move a file from the folder of its row or from wherever it is. Raises FileMissing."""
    name, recorded = document.storage_name, Folder(document.folder)
    try:
        if recorded != target:
            return await store.move(name, recorded, target)
    except FileMissing:
        pass
    folder = await find_folder(store, name, likely=target)
    if folder is None:
        raise FileMissing
    if folder != target:
        await store.move(name, folder, target)
    return None


async def _delete_unclaimed(services: Services, uow: UnitOfWork) -> int:
    now = services.clock()
    deleted = await uow.documents.delete_unclaimed(
        before=now - services.storage.unclaimed_ttl, limit=BATCH_SIZE
    )
    await enqueue_deletions(uow, deleted, now=now)
    return len(deleted)


async def _delete_expired(
    services: Services, retention_class: RetentionClass, uow: UnitOfWork
) -> int:
    now = services.clock()
    deleted = await uow.documents.expire_claimed(
        KINDS_BY_RETENTION_CLASS[retention_class],
        before=now - services.storage.retention[retention_class],
        now=now,
        limit=BATCH_SIZE,
    )
    by_team: dict[UUID | None, list[DocumentRecord]] = {}
    for document in deleted:
        by_team.setdefault(document.team_id, []).append(document)
    for team_id, team_documents in by_team.items():
        await enqueue_deletions(uow, team_documents, team_id=team_id, now=now)
    for document in deleted:
        await audit.record(
            uow,
            AuditAction.DOCUMENT_EXPIRED,
            "system",
            at=now,
            team_id=document.team_id,
            changes={"document": document.id.hex},
        )
    return len(deleted)
