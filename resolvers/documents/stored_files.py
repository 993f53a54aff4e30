"""Comparison of stored files with the rows of documents, and repair of differences.

A store may be shared with another database, for example the original of a copied one. Only files
whose names carry the tag of this database are deleted as orphans, and only by an operator: a
snapshot of the server's disk has the same tag, and a restored database lacks the newest rows.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from uuid import UUID

import structlog

from domain.errors.exceptions import StorageUnavailable
from integrations.storage.base import (
    DocumentStore,
    FileMissing,
    Folder,
    StoredFile,
    delete_everywhere,
    find_folder,
)
from persistence.engine.database_identity import storage_tag
from persistence.records import DocumentRecord
from persistence.unit_of_work import UnitOfWork
from resolvers.documents.jobs import enqueue_move
from resolvers.services import Services

# Younger files are ignored: a file without a row may be an upload in progress.
SAFE_AGE_SECONDS = 3_600
BATCH_SIZE = 1_000
MAX_MISSING = 100
# Orphans deleted without `is_forced`: 20, or this share of this database's files.
MAX_ORPHANS = 20
MAX_ORPHAN_SHARE = 0.1

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Differences between a store and the rows.

    `own` is the number of files with a row or with the tag of this database.
    `orphans` are names with this database's tag but without a row, older than SAFE_AGE_SECONDS.
    `foreign` is the number of files without a row and without the tag.
    `misplaced` are documents with their only file in another folder than the row says.
    `duplicates` are further copies of a document's file.
    `missing` are documents without a file, at most MAX_MISSING.
    """

    store: str
    own: int
    orphans: tuple[str, ...]
    foreign: int
    misplaced: tuple[tuple[DocumentRecord, Folder], ...]
    duplicates: tuple[tuple[DocumentRecord, Folder], ...]
    missing: tuple[UUID, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup:
    """Numbers of orphans deleted and left, of the `own` files of this database."""

    store: str
    deleted: int
    left: int
    own: int


async def compare(services: Services, store: DocumentStore) -> Comparison:
    """List the store, then look up the rows. Raises StorageUnavailable."""
    files: dict[str, list[StoredFile]] = {}
    for file in await store.files():
        files.setdefault(file.name, []).append(file)
    orphans: list[str] = []
    foreign = 0
    misplaced: list[tuple[DocumentRecord, Folder]] = []
    duplicates: list[tuple[DocumentRecord, Folder]] = []
    remaining = iter(files)
    while names := list(islice(remaining, BATCH_SIZE)):
        tag, rows = await services.database.run(partial(_look_up, store=store.name, names=names))
        for name in names:
            if name not in rows:
                is_own = tag is not None and name.startswith(tag)
                foreign += not is_own
                orphans += [name] if is_own and _is_old(files[name]) else []
                continue
            row, folders = rows[name], [file.folder for file in files[name]]
            others = [(row, folder) for folder in folders if folder != row.folder]
            if row.folder in folders:
                duplicates += others if _is_old(files[name]) else []
            else:
                misplaced += others[:1]
    return Comparison(
        store=store.name,
        own=len(files) - foreign,
        orphans=tuple(orphans),
        foreign=foreign,
        misplaced=tuple(misplaced),
        duplicates=tuple(duplicates),
        missing=tuple(await _missing(services, store, files.keys())),
    )


async def repair(services: Services, store: DocumentStore) -> Comparison:
    """Correct the folders of rows; log other differences and delete nothing.

    Raises StorageUnavailable, ServiceUnavailable.
    """
    comparison = await compare(services, store)
    for row, _ in comparison.misplaced:
        # The file and its row may have moved since the listing.
        folder = await find_folder(store, row.storage_name, likely=Folder(row.folder))
        if folder is not None and folder != row.folder:
            await services.database.run(partial(_correct_folder, services, row, folder))
    if comparison.orphans or comparison.misplaced or comparison.duplicates or comparison.missing:
        log.warning(
            "stored_files_differed",
            store=comparison.store,
            orphans=len(comparison.orphans),
            misplaced=len(comparison.misplaced),
            duplicates=len(comparison.duplicates),
            missing=[document_id.hex for document_id in comparison.missing],
        )
    return comparison


async def repair_all(services: Services) -> None:
    """Repair every store that is available."""
    for store in services.storage.stores.values():
        try:
            await repair(services, store)
        except StorageUnavailable:
            log.warning("stored_files_not_compared", store=store.name)


async def clean_up(services: Services, store: DocumentStore, *, is_forced: bool) -> Cleanup:
    """Repair a store, then delete its orphans and duplicates.

    Unless forced, nothing is deleted if there are more orphans than MAX_ORPHANS and than the share
    MAX_ORPHAN_SHARE of the files. Raises StorageUnavailable, ServiceUnavailable.
    """
    comparison = await repair(services, store)
    orphans, own = comparison.orphans, comparison.own
    if len(orphans) > max(MAX_ORPHANS, own * MAX_ORPHAN_SHARE) and not is_forced:
        return Cleanup(store=store.name, deleted=0, left=len(orphans), own=own)
    for name in orphans:
        await delete_everywhere(store, name)
    for row, folder in comparison.duplicates:
        # Move it over the other copy rather than delete it, so that a copy exists at any moment.
        try:
            await store.move(row.storage_name, folder, Folder(row.folder))
        except FileMissing:
            # Deleted since the listing.
            log.info("stored_file_gone", store=store.name, document=row.id.hex)
    if orphans:
        log.warning("orphans_deleted", store=store.name, count=len(orphans))
    return Cleanup(store=store.name, deleted=len(orphans), left=0, own=own)


async def clean_up_all(services: Services, *, is_forced: bool = False) -> list[Cleanup]:
    """Clean up every store that is available."""
    results = []
    for store in services.storage.stores.values():
        try:
            results.append(await clean_up(services, store, is_forced=is_forced))
        except StorageUnavailable:
            log.warning("stored_files_not_compared", store=store.name)
    return results


async def sweep_unfinished(services: Services) -> int:
    """Delete partial files left by killed processes; return their number over all stores."""
    count = 0
    for store in services.storage.stores.values():
        try:
            count += await store.sweep(older_than_seconds=SAFE_AGE_SECONDS)
        except StorageUnavailable:
            log.warning("stored_files_not_swept", store=store.name)
    return count


async def _look_up(
    uow: UnitOfWork, *, store: str, names: Collection[str]
) -> tuple[str | None, dict[str, DocumentRecord]]:
    """Return the database's tag and its documents by name, consistently from one connection."""
    tag = await storage_tag(uow.session)
    rows = await uow.documents.list_files_by_name(store=store, names=names)
    return tag, {row.storage_name: row for row in rows}


def _is_old(files: Sequence[StoredFile]) -> bool:
    return all(file.age_seconds > SAFE_AGE_SECONDS for file in files)


async def _missing(services: Services, store: DocumentStore, listed: Collection[str]) -> list[UUID]:
    """List documents whose file is not listed and, on a second look, in no folder."""
    missing: list[UUID] = []
    after = None
    while True:
        rows = await services.database.read(partial(_list_files, store=store.name, after=after))
        for row in rows:
            if row.storage_name in listed:
                continue
            if await _is_missing(services, store, row):
                missing.append(row.id)
            if len(missing) == MAX_MISSING:
                return missing
        if len(rows) < BATCH_SIZE:
            return missing
        after = rows[-1].id


async def _list_files(uow: UnitOfWork, *, store: str, after: UUID | None) -> list[DocumentRecord]:
    return await uow.documents.list_files(store=store, after=after, limit=BATCH_SIZE)


async def _is_missing(services: Services, store: DocumentStore, row: DocumentRecord) -> bool:
    if await find_folder(store, row.storage_name, likely=Folder(row.folder)) is not None:
        return False
    rows = await services.database.read(
        lambda uow: uow.documents.list_files_by_name(store=store.name, names=[row.storage_name])
    )
    return bool(rows)


async def _correct_folder(
    services: Services, row: DocumentRecord, folder: Folder, uow: UnitOfWork
) -> None:
    """Record the file's folder and enqueue the move to the folder of the team's status."""
    is_corrected = await uow.documents.correct_folder(row.id, recorded=row.folder, folder=folder)
    if is_corrected and row.team_id is not None:
        await enqueue_move(uow, row.team_id, now=services.clock())
