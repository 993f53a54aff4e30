"""What happens to stored files after the fact: moved with a decision, deleted, pruned."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import structlog

from domain.documents import KINDS_OF_CLASS, RetentionClass
from domain.status import TeamStatus
from persistence import audit, documents, outbox, teams
from persistence.database import Connection
from persistence.documents import GivenUp
from persistence.outbox import Message
from persistence.records import DocumentRecord
from resilience.media import FileMissing, Folder
from resilience.telemetry import current_request_id
from resolvers.context import Services
from resolvers.outbox import Handler, Undeliverable

MOVE = "media.move"
DELETE = "media.delete"
BATCH = 200

FOLDER_OF_STATUS = {
    TeamStatus.PENDING: Folder.PENDING,
    TeamStatus.CHANGES_REQUESTED: Folder.PENDING,
    TeamStatus.CONFIRMED: Folder.CONFIRMED,
    TeamStatus.REJECTED: Folder.REJECTED,
    TeamStatus.WITHDRAWN: Folder.REJECTED,
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many documents were given up; their files are deleted through the outbox."""

    unclaimed: int
    expired: int


async def owe_move(connection: Connection, team_id: UUID, *, now: datetime) -> None:
    """To be written with a decision: the team's files go where its new status belongs."""
    await outbox.add(connection, kind=MOVE, payload={}, team_id=team_id, now=now)


async def move_files(services: Services, message: Message) -> None:
    """Bring every file of a team to the folder of its present status. Safe to repeat."""
    if message.team_id is None:
        raise Undeliverable
    team, kept = await services.database.read(partial(_files_of, team_id=message.team_id))
    for document in kept:
        target = FOLDER_OF_STATUS[team]
        if document.folder != target:
            await _move(services, document, target)


async def delete_file(services: Services, message: Message) -> None:
    """Safe to repeat."""
    given_up = GivenUp(**message.payload)
    media = services.storage.holding(given_up.store)
    await media.delete(given_up.storage_name, Folder(given_up.folder))


HANDLERS: Mapping[str, Handler] = {MOVE: move_files, DELETE: delete_file}


async def prune(services: Services) -> Pruned:
    """Give up what nobody claimed in time and what was kept for its time. Safe to repeat.

    Each batch is one transaction with the messages that delete its files: killed half-way, what
    was given up is deleted all the same, and the rest is given up by the next run.
    """
    unclaimed = expired = 0
    while count := await services.database.run(partial(_give_up_unclaimed, services)):
        unclaimed += count
    for kept_for in RetentionClass:
        while count := await services.database.run(partial(_give_up_expired, services, kept_for)):
            expired += count
    if unclaimed or expired:
        log.info("documents_pruned", unclaimed=unclaimed, expired=expired)
    return Pruned(unclaimed=unclaimed, expired=expired)


async def _files_of(
    connection: Connection, *, team_id: UUID
) -> tuple[TeamStatus, list[DocumentRecord]]:
    status = await teams.status(connection, team_id)
    if status is None:
        raise Undeliverable
    return status, await documents.of_team_in_store(connection, team_id)


async def _move(services: Services, document: DocumentRecord, target: Folder) -> None:
    media = services.storage.holding(document.store)
    try:
        await media.move(document.storage_name, Folder(document.folder), target)
    except FileMissing:
        # Deleted since it was read, or lost: then there is nothing to move.
        log.warning("document_file_missing", document=str(document.id))
    is_there = await services.database.run(
        partial(documents.mark_moved, document_id=document.id, folder=target)
    )
    if not is_there:
        # Given up while it moved: its deletion looked for it where it was before.
        await media.delete(document.storage_name, target)


async def _give_up_unclaimed(services: Services, connection: Connection) -> int:
    now = services.clock()
    given_up = await documents.give_up_unclaimed(
        connection, before=now - services.storage.unclaimed_kept, limit=BATCH
    )
    for one in given_up:
        await owe_deletion(connection, one, now=now)
    return len(given_up)


async def _give_up_expired(
    services: Services, kept_for: RetentionClass, connection: Connection
) -> int:
    now = services.clock()
    given_up = await documents.give_up_expired(
        connection,
        KINDS_OF_CLASS[kept_for],
        before=now - services.storage.retention[kept_for],
        now=now,
        limit=BATCH,
    )
    for one in given_up:
        await owe_deletion(connection, one, now=now)
        await audit.append(
            connection,
            at=now,
            actor="system",
            action="document.expired",
            team_id=one.team_id,
            request_id=current_request_id(),
            changes={"document": one.id.hex if one.id else None},
        )
    return len(given_up)


async def owe_deletion(connection: Connection, given_up: GivenUp, *, now: datetime) -> None:
    payload = {
        "store": given_up.store,
        "storage_name": given_up.storage_name,
        "folder": given_up.folder,
    }
    await outbox.add(connection, kind=DELETE, payload=payload, team_id=given_up.team_id, now=now)
