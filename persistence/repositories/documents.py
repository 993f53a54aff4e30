"""Uploaded documents: reserve, claim, move, delete."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select, text
from sqlalchemy.dialects.postgresql import insert

from domain.documents import DocumentFormat, DocumentKind, DocumentReview
from persistence.models import document, player, team
from persistence.records import DocumentClaim, DocumentRecord
from persistence.repositories.base import Repository

_COLUMNS = tuple(
    document.c[name]
    for name in (
        "id kind format byte_size review review_note created_at stored_at claimed_at deleted_at"
        " team_id player_id store storage_name folder"
    ).split()
)
_FILE_COLUMNS = (document.c.id, document.c.team_id, document.c.storage_name, document.c.folder)
CURRENT = (document.c.review != DocumentReview.SUPERSEDED) & document.c.deleted_at.is_(None)

_CLAIM = text("""
    UPDATE document d SET team_id = :team_id, player_id = c.player_id, claimed_at = :now
    FROM unnest(CAST(:ids AS uuid[]), CAST(:player_ids AS uuid[])) AS c (id, player_id)
    WHERE d.id = c.id AND d.team_id IS NULL AND d.stored_at IS NOT NULL
""")

# SKIP LOCKED: a document that a registration is just claiming is no orphan.
_DELETE_UNCLAIMED = text("""
    DELETE FROM document WHERE id IN (
        SELECT id FROM document WHERE team_id IS NULL AND created_at < :before
        ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING store, storage_name, folder
""")

_EXPIRE_CLAIMED = text("""
    UPDATE document SET deleted_at = :now WHERE id IN (
        SELECT id FROM document
        WHERE kind = ANY(:kinds) AND claimed_at < :before AND deleted_at IS NULL
        ORDER BY claimed_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING id, team_id, store, storage_name, folder
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedDocument:
    """A document whose file has to be deleted. `id` is None when the row was deleted too."""

    id: UUID | None = None
    team_id: UUID | None = None
    store: str
    storage_name: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFile:
    """The location of a document's file in a store."""

    id: UUID
    team_id: UUID | None
    storage_name: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedDocument:
    """A document of a team. `player_position` is None if it is not a player's."""

    document: DocumentRecord
    team_code: str
    player_position: int | None


def _record(values: Mapping[Any, Any]) -> DocumentRecord:
    enums = {
        "kind": DocumentKind(values["kind"]),
        "format": DocumentFormat(values["format"]),
        "review": DocumentReview(values["review"]),
    }
    return DocumentRecord(**{**values, **enums})


class DocumentRepository(Repository):
    """Uploaded documents."""

    async def find(self, document_id: UUID) -> DocumentRecord | None:
        documents = await self.list_by_id([document_id])
        return documents[0] if documents else None

    async def list_by_id(self, document_ids: Collection[UUID]) -> list[DocumentRecord]:
        rows = await self._execute(select(*_COLUMNS).where(document.c.id.in_(document_ids)))
        return [_record(row) for row in rows.mappings()]

    async def find_owned(self, document_id: UUID) -> OwnedDocument | None:
        """The document with its team. None if it is unclaimed or deleted."""
        rows = await self._execute(
            select(*_COLUMNS, team.c.code, player.c.position)
            .join(team, team.c.id == document.c.team_id)
            .outerjoin(player, player.c.id == document.c.player_id)
            .where(document.c.id == document_id, document.c.deleted_at.is_(None))
        )
        row = rows.one_or_none()
        if row is None:
            return None
        values = row._asdict()
        return OwnedDocument(
            team_code=values.pop("code"),
            player_position=values.pop("position"),
            document=_record(values),
        )

    async def list_by_teams(self, team_ids: Collection[UUID]) -> list[DocumentRecord]:
        """Current documents (neither superseded nor deleted) in order of upload."""
        rows = await self._execute(
            select(*_COLUMNS)
            .where(document.c.team_id.in_(team_ids), CURRENT)
            .order_by(document.c.created_at, document.c.id)
        )
        return [_record(row) for row in rows.mappings()]

    async def list_stored_by_team(self, team_id: UUID) -> list[DocumentRecord]:
        """All documents of a team that are not deleted, superseded ones included."""
        rows = await self._execute(
            select(*_COLUMNS)
            .where(document.c.team_id == team_id, document.c.deleted_at.is_(None))
            .order_by(document.c.id)
        )
        return [_record(row) for row in rows.mappings()]

    async def list_files_by_name(self, *, store: str, names: Collection[str]) -> list[DocumentFile]:
        """Files with these names in a store, including files that are being saved."""
        rows = await self._execute(
            select(*_FILE_COLUMNS).where(
                document.c.storage_name.in_(names),
                document.c.store == store,
                document.c.deleted_at.is_(None),
            )
        )
        return [DocumentFile(**row._asdict()) for row in rows]

    async def list_files(self, *, store: str, after: UUID | None, limit: int) -> list[DocumentFile]:
        """Files that a store has confirmed, in order of document id, after `after`."""
        statement = select(*_FILE_COLUMNS).where(
            document.c.store == store,
            document.c.stored_at.is_not(None),
            document.c.deleted_at.is_(None),
        )
        if after is not None:
            statement = statement.where(document.c.id > after)
        rows = await self._execute(statement.order_by(document.c.id).limit(limit))
        return [DocumentFile(**row._asdict()) for row in rows]

    async def reserve(self, upload: DocumentRecord, sha256: bytes) -> DocumentRecord:
        """Insert the row of an upload; return the existing one if there is one with this id."""
        values = {
            "id": upload.id,
            "kind": upload.kind.value,
            "format": upload.format.value,
            "byte_size": upload.byte_size,
            "sha256": sha256,
            "review": upload.review.value,
            "created_at": upload.created_at,
            "store": upload.store,
            "storage_name": upload.storage_name,
            "folder": upload.folder,
        }
        added = await self._count_rows(
            insert(document).values(values).on_conflict_do_nothing(index_elements=["id"])
        )
        if added:
            return upload
        (existing,) = await self.list_by_id([upload.id])
        return existing

    async def mark_stored(self, document_id: UUID, *, now: datetime) -> bool | None:
        """Record that the store has confirmed the file.

        False when another process has done so before; None when the row was deleted.
        """
        changed = await self._count_rows(
            document.update()
            .where(document.c.id == document_id, document.c.stored_at.is_(None))
            .values(stored_at=now)
        )
        if changed:
            return True
        return None if await self.find(document_id) is None else False

    async def claim(self, team_id: UUID, claims: Sequence[DocumentClaim], *, now: datetime) -> bool:
        """Claim documents for a team.

        False when one of them was deleted, is not stored or belongs to another team. Then the
        caller has to roll back.
        """
        values = {
            "team_id": team_id,
            "ids": [claim.document_id for claim in claims],
            "player_ids": [claim.player_id for claim in claims],
            "now": now,
        }
        return await self._count_rows(_CLAIM, values) == len(claims)

    async def supersede(
        self,
        team_id: UUID,
        player_id: UUID | None,
        kinds: Collection[DocumentKind],
    ) -> None:
        """Mark the current documents of these kinds, of the team or of a player, as superseded."""
        await self._execute(
            document.update()
            .where(
                document.c.team_id == team_id,
                document.c.player_id.is_not_distinct_from(player_id),
                document.c.kind.in_(kinds),
                CURRENT,
            )
            .values(review=DocumentReview.SUPERSEDED.value)
        )

    async def delete_by_players(self, player_ids: Collection[UUID]) -> list[DeletedDocument]:
        """Delete the rows of these players' documents. The caller deletes the files."""
        return await self._delete(document.c.player_id.in_(player_ids))

    async def delete_by_team(self, team_id: UUID) -> list[DeletedDocument]:
        """Delete the rows of a team's documents. The caller deletes the files."""
        return await self._delete(document.c.team_id == team_id)

    async def _delete(self, condition: ColumnElement[bool]) -> list[DeletedDocument]:
        rows = await self._execute(
            document.delete()
            .where(condition)
            .returning(document.c.store, document.c.storage_name, document.c.folder)
        )
        return [DeletedDocument(**row._asdict()) for row in rows]

    async def correct_folder(self, document_id: UUID, *, recorded: str, folder: str) -> bool:
        """Change the folder from `recorded`. False when the row has another one by now."""
        return bool(
            await self._count_rows(
                document.update()
                .where(document.c.id == document_id, document.c.folder == recorded)
                .values(folder=folder)
            )
        )

    async def set_folder(self, document_id: UUID, *, folder: str) -> bool:
        """Record the folder of a file that was moved. False when the document was deleted."""
        return bool(
            await self._count_rows(
                document.update()
                .where(document.c.id == document_id, document.c.deleted_at.is_(None))
                .values(folder=folder)
            )
        )

    async def delete_unclaimed(self, *, before: datetime, limit: int) -> list[DeletedDocument]:
        """Delete uploads that no team claimed, up to `limit`. The caller deletes the files."""
        rows = await self._execute(_DELETE_UNCLAIMED, {"before": before, "limit": limit})
        return [DeletedDocument(**row._asdict()) for row in rows]

    async def expire_claimed(
        self,
        kinds: Collection[DocumentKind],
        *,
        before: datetime,
        now: datetime,
        limit: int,
    ) -> list[DeletedDocument]:
        """Mark up to `limit` claimed documents as deleted. The caller deletes the files."""
        values: Mapping[str, Any] = {
            "kinds": [kind.value for kind in kinds],
            "before": before,
            "now": now,
            "limit": limit,
        }
        rows = await self._execute(_EXPIRE_CLAIMED, values)
        return [DeletedDocument(**row._asdict()) for row in rows]
