"""Stores of documents as tests see them, whatever driver the service has."""

import os
import time
from uuid import uuid4

from integrations.storage.cloudinary_store import CloudinaryStore
from integrations.storage.folder import FolderStore
from persistence.engine.database_identity import new_storage_name
from resolvers.documents.stored_files import SAFE_AGE_SECONDS, clear_all
from tests.cloudinary import CloudinaryStandIn

OLD_SECONDS = SAFE_AGE_SECONDS + 60
CONTENT = b"content"


class FolderHarness:
    """The content of the folder, and its files made older."""

    def __init__(self, media: FolderStore) -> None:
        self.media = media

    def names(self) -> list[str]:
        root = self.media.root
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def make_old(self, name: str) -> None:
        moment = time.time() - OLD_SECONDS
        os.utime(self.media.root / name, (moment, moment))

    def lose(self, name: str) -> None:
        (self.media.root / name).unlink()

    def add(self, name: str) -> None:
        path = self.media.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)


class CloudinaryHarness:
    """The same for the stand-in."""

    def __init__(self, media: CloudinaryStore, stand_in: CloudinaryStandIn) -> None:
        self.media = media
        self._stand_in = stand_in

    def names(self) -> list[str]:
        return self._stand_in.names

    def make_old(self, name: str) -> None:
        self._stand_in.ages[name] = OLD_SECONDS

    def lose(self, name: str) -> None:
        del self._stand_in.assets["raw", "authenticated", name]

    def add(self, name: str) -> None:
        self._stand_in.assets["raw", "authenticated", name] = CONTENT


async def own_name(services) -> str:
    """The name of a file that this database has written."""
    return await services.database.run(new_storage_name)


async def cleared(services, *, is_forced: bool = False) -> int:
    """The number of orphans deleted in all stores, as an operator does it."""
    return sum(entry.deleted for entry in await clear_all(services, is_forced=is_forced))


async def add_document(
    sql, store, *, folder: str = "pending", team_id: str | None = None, name: str | None = None
) -> str:
    """The storage name of a document with its row, without its file; by default one of before."""
    name = name or uuid4().hex
    await sql.execute(
        "INSERT INTO document (id, kind, format, byte_size, sha256, review, created_at, stored_at,"
        " claimed_at, team_id, store, storage_name, folder) VALUES (gen_random_uuid(), 'PHOTO',"
        " 'JPEG', 7, $1, 'SUPERSEDED', now(), now(),"
        " CASE WHEN $2::uuid IS NULL THEN NULL ELSE now() END, $2, $3, $4, $5)",
        bytes(32),
        team_id,
        store.media.name,
        name,
        folder,
    )
    return name
