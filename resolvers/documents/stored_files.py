"""Files of the stores compared with the rows of documents, both ways, and put right.

A store may be shared with another database, such as the original of a copy. Only files whose names
carry the tag of this database are deleted for having no document in it, and only when an operator
says so: a snapshot of the server's disk has the same tag, and rows may be those of an old back-up.
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
from persistence.engine.database import Connection
from persistence.engine.database_identity import storage_tag
from persistence.repositories import documents
from persistence.repositories.documents import DocumentFile
from resolvers.documents.jobs import enqueue_move
from resolvers.services import Services

# A file is saved after its row is written: younger ones without a row are only left in peace.
SAFE_AGE_SECONDS = 3_600
BATCH_SIZE = 1_000
MAX_MISSING = 100
# Orphans that are deleted unasked: so many, or such a share of this database's files.
MAX_ORPHANS = 20
MAX_ORPHAN_FRACTION = 10

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Differences between one store and the rows.

    `own` is the number of files with a document, or with names of this database; `orphans` are
    names of this database's files without a document, older than SAFE_AGE_SECONDS;
    `foreign` is the number of files without a document whose names do not say that they are its
    own; `misplaced` documents lie in another folder than their row says; `spares` are second
    copies; `missing` documents are in no folder, MISSING_AT_MOST of them.
    """

    store: str
    own: int
    orphans: tuple[str, ...]
    foreign: int
    misplaced: tuple[tuple[DocumentFile, Folder], ...]
    spares: tuple[tuple[DocumentFile, Folder], ...]
    missing: tuple[UUID, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup:
    """Orphans of one store that were deleted, or left as too many of its `own` files."""

    store: str
    deleted: int
    left: int
    own: int


async def compare(services: Services, media: DocumentStore) -> Comparison:
    """List the store first, then look up the rows. Raises StorageUnavailable."""
    places: dict[str, list[StoredFile]] = {}
    for file in await media.files():
        places.setdefault(file.name, []).append(file)
    orphans: list[str] = []
    foreign = 0
    misplaced: list[tuple[DocumentFile, Folder]] = []
    spares: list[tuple[DocumentFile, Folder]] = []
    every_name = iter(places)
    while names := list(islice(every_name, BATCH_SIZE)):
        tag, kept = await services.database.run(partial(_look_up, store=media.name, names=names))
        for name in names:
            if name not in kept:
                is_own = tag is not None and name.startswith(tag)
                foreign += not is_own
                orphans += [name] if is_own and _is_old(places[name]) else []
                continue
            row, folders = kept[name], [file.folder for file in places[name]]
            others = [(row, folder) for folder in folders if folder != row.folder]
            if row.folder in folders:
                spares += others if _is_old(places[name]) else []
            else:
                misplaced += others[:1]
    return Comparison(
        store=media.name,
        own=len(places) - foreign,
        orphans=tuple(orphans),
        foreign=foreign,
        misplaced=tuple(misplaced),
        spares=tuple(spares),
        missing=tuple(await _missing(services, media, places.keys())),
    )


async def repair(services: Services, media: DocumentStore) -> Comparison:
    """Correct rows of files in another folder, and delete nothing but what was never whole.

    Files without a document are logged. Raises StorageUnavailable, ServiceUnavailable.
    """
    found = await compare(services, media)
    for row, _ in found.misplaced:
        # The listing is of before: the file may have moved, with its row, since then.
        place = await find_folder(media, row.storage_name, likely=Folder(row.folder))
        if place is not None and place != row.folder:
            await services.database.run(partial(_correct_folder, services, row, place))
    if found.orphans or found.misplaced or found.spares or found.missing:
        log.warning(
            "stored_files_differed",
            store=found.store,
            orphans=len(found.orphans),
            misplaced=len(found.misplaced),
            spares=len(found.spares),
            missing=[document_id.hex for document_id in found.missing],
        )
    return found


async def repair_all(services: Services) -> None:
    """Put every store right; one that is away is left for another time."""
    for media in services.storage.stores.values():
        try:
            await repair(services, media)
        except StorageUnavailable:
            log.warning("stored_files_not_compared", store=media.name)


async def clean_up(services: Services, media: DocumentStore, *, is_forced: bool) -> Cleanup:
    """Put a store right and delete its orphans and spares, unless there are too many.

    More than FEW_ORPHANS, and than one of ORPHAN_SHARE files, are deleted only when forced. Raises
    StorageUnavailable, ServiceUnavailable.
    """
    found = await repair(services, media)
    if len(found.orphans) > max(MAX_ORPHANS, found.own // MAX_ORPHAN_FRACTION) and not is_forced:
        return Cleanup(store=media.name, deleted=0, left=len(found.orphans), own=found.own)
    for name in found.orphans:
        await delete_everywhere(media, name)
    for row, folder in found.spares:
        # Moved over the other copy and not deleted: at every moment there is one.
        try:
            await media.move(row.storage_name, folder, Folder(row.folder))
        except FileMissing:
            # Deleted since the store was listed.
            log.info("stored_file_gone", store=media.name, document=row.id.hex)
    if found.orphans:
        log.warning("orphans_deleted", store=media.name, count=len(found.orphans))
    return Cleanup(store=media.name, deleted=len(found.orphans), left=0, own=found.own)


async def clean_up_all(services: Services, *, is_forced: bool = False) -> list[Cleanup]:
    """Clear every store; one that is away is left for another time."""
    cleared = []
    for media in services.storage.stores.values():
        try:
            cleared.append(await clean_up(services, media, is_forced=is_forced))
        except StorageUnavailable:
            log.warning("stored_files_not_compared", store=media.name)
    return cleared


async def sweep_unfinished(services: Services) -> int:
    """The number of unfinished files deleted in all stores that processes left that were killed."""
    swept = 0
    for media in services.storage.stores.values():
        try:
            swept += await media.sweep(older_than_seconds=SAFE_AGE_SECONDS)
        except StorageUnavailable:
            log.warning("stored_files_not_swept", store=media.name)
    return swept


async def _look_up(
    connection: Connection, *, store: str, names: Collection[str]
) -> tuple[str | None, dict[str, DocumentFile]]:
    """The tag of the database and its documents under these names, told by one connection."""
    tag = await storage_tag(connection)
    rows = await documents.list_files_by_name(connection, store=store, names=names)
    return tag, {row.storage_name: row for row in rows}


def _is_old(files: Sequence[StoredFile]) -> bool:
    return all(file.age_seconds > SAFE_AGE_SECONDS for file in files)


async def _missing(services: Services, media: DocumentStore, listed: Collection[str]) -> list[UUID]:
    """Documents whose file is neither listed nor, looked for once more, in any folder."""
    missing: list[UUID] = []
    after = None
    while True:
        rows = await services.database.read(
            partial(documents.list_files, store=media.name, after=after, limit=BATCH_SIZE)
        )
        for row in rows:
            if row.storage_name in listed:
                continue
            if await _is_missing(services, media, row):
                missing.append(row.id)
            if len(missing) == MAX_MISSING:
                return missing
        if len(rows) < BATCH_SIZE:
            return missing
        after = rows[-1].id


async def _is_missing(services: Services, media: DocumentStore, row: DocumentFile) -> bool:
    if await find_folder(media, row.storage_name, likely=Folder(row.folder)) is not None:
        return False
    look_up = partial(documents.list_files_by_name, store=media.name, names=[row.storage_name])
    return bool(await services.database.read(look_up))


async def _correct_folder(
    services: Services, row: DocumentFile, folder: Folder, connection: Connection
) -> None:
    """Record where the file is; its team's status may ask for a move from there."""
    is_corrected = await documents.correct_folder(
        connection, row.id, recorded=row.folder, folder=folder
    )
    if is_corrected and row.team_id is not None:
        await enqueue_move(connection, row.team_id, now=services.clock())
