"""Access to document stores for tests, with one interface for both drivers."""

import os
import time
from uuid import uuid4

from integrations.storage.cloudinary_store import CloudinaryStore
from integrations.storage.folder import FolderStore
from persistence.engine.database_identity import new_storage_name
from resolvers.documents.stored_files import SAFE_AGE_SECONDS, clean_up_all
from tests.cloudinary import CloudinaryStandIn

OLD_SECONDS = SAFE_AGE_SECONDS + 60
CONTENT = b"content"


class FolderHarness:
    """Lists, adds, ages and removes files behind the service's back."""

    def __init__(self, store: FolderStore) -> None:
        self.store = store

    def names(self) -> list[str]:
        root = self.store.root
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def make_old(self, name: str) -> None:
        modified_at = time.time() - OLD_SECONDS
        os.utime(self.store.root / name, (modified_at, modified_at))

    def lose(self, name: str) -> None:
        (self.store.root / name).unlink()

    def add(self, name: str) -> None:
        path = self.store.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)


class CloudinaryHarness:
    """The same for the Cloudinary stand-in."""

    def __init__(self, store: CloudinaryStore, stand_in: CloudinaryStandIn) -> None:
        self.store = store
        self._stand_in = stand_in

    def names(self) -> list[str]:
        return self._stand_in.names

    def make_old(self, name: str) -> None:
        self._stand_in.ages[name] = OLD_SECONDS

    def lose(self, name: str) -> None:
        del self._stand_in.assets["raw", "authenticated", name]

    def add(self, name: str) -> None:
        self._stand_in.assets["raw", "authenticated", name] = CONTENT


async def create_storage_name(services) -> str:
    """A new storage name with the tag of this database."""
    return await services.database.run(lambda uow: new_storage_name(uow.session))


async def clear_orphans(services, *, is_forced: bool = False) -> int:
    """Delete orphans in all stores, as the CLI command does. Returns their number."""
    return sum(entry.deleted for entry in await clean_up_all(services, is_forced=is_forced))


async def add_document(
    sql, harness, *, folder: str = "pending", team_id: str | None = None, name: str | None = None
) -> str:
    """Insert the row of a document without its file. Returns its storage name.

    Without `name`, a storage name without the tag of a database, as older versions made them.
    """
    name = name or uuid4().hex
    await sql.execute(
        "INSERT INTO document (id, kind, format, byte_size, sha256, review, created_at, stored_at,"
        " claimed_at, team_id, store, storage_name, folder) VALUES (gen_random_uuid(), 'PHOTO',"
        " 'JPEG', 7, $1, 'SUPERSEDED', now(), now(),"
        " CASE WHEN $2::uuid IS NULL THEN NULL ELSE now() END, $2, $3, $4, $5)",
        bytes(32),
        team_id,
        harness.store.name,
        name,
        folder,
    )
    return name
