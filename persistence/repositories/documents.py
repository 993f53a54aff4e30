"""Uploaded documents: add, claim, move, delete."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, TextClause, delete, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from domain.documents import DocumentKind, DocumentReview
from persistence.models import IS_CURRENT, Document, Player, Team
from persistence.records import DocumentClaim, DocumentRecord
from persistence.repositories.base import Repository, shared_values


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedDocument:
    """A document of a team. `player_position` is None if it is not a player's."""

    document: DocumentRecord
    team_code: str
    player_position: int | None


def document_record(document: Document) -> DocumentRecord:
    return DocumentRecord(**shared_values(DocumentRecord, document))


class DocumentRepository(Repository):
    """Uploaded documents."""

    async def find(self, document_id: UUID) -> DocumentRecord | None:
        document = await self._session.get(Document, document_id)
        return document_record(document) if document else None

    async def list_by_id(self, document_ids: Collection[UUID]) -> list[DocumentRecord]:
        return await self._list(select(Document).where(col(Document.id).in_(document_ids)))

    async def find_owned(self, document_id: UUID) -> OwnedDocument | None:
        """The document with its team. None if it is unclaimed or deleted."""
        rows = await self._session.exec(
            select(Document, Team.code, Player.position)
            .join(Team, col(Team.id) == Document.team_id)
            .outerjoin(Player, col(Player.id) == Document.player_id)
            .where(Document.id == document_id, col(Document.deleted_at).is_(None))
        )
        row = rows.one_or_none()
        if row is None:
            return None
        document, team_code, position = row
        return OwnedDocument(
            document=document_record(document), team_code=team_code, player_position=position
        )

    async def list_by_teams(self, team_ids: Collection[UUID]) -> list[DocumentRecord]:
        """Current documents (neither superseded nor deleted) in order of upload."""
        return await self._list(
            select(Document)
            .where(col(Document.team_id).in_(team_ids), IS_CURRENT)
            .order_by(col(Document.created_at), col(Document.id))
        )

    async def list_stored_by_team(self, team_id: UUID) -> list[DocumentRecord]:
        """All documents of a team that are not deleted, superseded ones included."""
        return await self._list(
            select(Document)
            .where(Document.team_id == team_id, col(Document.deleted_at).is_(None))
            .order_by(col(Document.id))
        )

    async def _list(self, statement: SelectOfScalar[Document]) -> list[DocumentRecord]:
        return [document_record(document) for document in await self._session.exec(statement)]

    async def list_files_by_name(
        self, *, store: str, names: Collection[str]
    ) -> list[DocumentRecord]:
        """Files with these names in a store, including files that are being saved."""
        return await self._list(
            select(Document).where(
                col(Document.storage_name).in_(names),
                Document.store == store,
                col(Document.deleted_at).is_(None),
            )
        )

    async def list_files(
        self, *, store: str, after: UUID | None, limit: int
    ) -> list[DocumentRecord]:
        """Files that a store has confirmed, in order of document id, after `after`."""
        statement = select(Document).where(
            Document.store == store,
            col(Document.stored_at).is_not(None),
            col(Document.deleted_at).is_(None),
        )
        if after is not None:
            statement = statement.where(col(Document.id) > after)
        return await self._list(statement.order_by(col(Document.id)).limit(limit))

    async def get_or_add(self, upload: DocumentRecord, sha256: bytes) -> DocumentRecord:
        """Add the row of an upload; return the existing one if there is one with this id."""
        added_id = await self._session.scalar(
            insert(Document)
            .values(**asdict(upload), sha256=sha256)
            .on_conflict_do_nothing(index_elements=["id"])
            .returning(col(Document.id))
        )
        if added_id is not None:
            return upload
        return document_record(await self._session.get_one(Document, upload.id))

    async def mark_stored(self, document_id: UUID, *, now: datetime) -> bool | None:
        """Record that the store has confirmed the file.

        False when another process has done so before; None when the row was deleted.
        """
        conditions = (col(Document.id) == document_id, col(Document.stored_at).is_(None))
        if await self._update(*conditions, stored_at=now):
            return True
        return None if await self.find(document_id) is None else False

    async def claim(self, team_id: UUID, claims: Sequence[DocumentClaim], *, now: datetime) -> bool:
        """Claim documents for a team.

        False, with no document claimed, when one of them was deleted, is not stored or belongs to
        another team.
        """
        player_ids = {claim.document_id: claim.player_id for claim in claims}
        documents = await self._session.exec(
            select(Document)
            .where(
                col(Document.id).in_(player_ids.keys()),
                col(Document.team_id).is_(None),
                col(Document.stored_at).is_not(None),
            )
            .order_by(col(Document.id))
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        locked = documents.all()
        if len(locked) < len(claims):
            return False
        for document in locked:
            document.team_id = team_id
            document.player_id = player_ids[document.id]
            document.claimed_at = now
        await self._session.flush()
        return True

    async def supersede(
        self, team_id: UUID, player_id: UUID | None, kinds: Collection[DocumentKind]
    ) -> None:
        """Mark the current documents of these kinds, of the team or of a player, as superseded."""
        await self._update(
            col(Document.team_id) == team_id,
            col(Document.player_id).is_not_distinct_from(player_id),
            col(Document.kind).in_(kinds),
            IS_CURRENT,
            review=DocumentReview.SUPERSEDED,
        )

    async def correct_folder(self, document_id: UUID, *, recorded: str, folder: str) -> bool:
        """Change the folder from `recorded`. False when the row has another one by now."""
        conditions = (col(Document.id) == document_id, col(Document.folder) == recorded)
        return await self._update(*conditions, folder=folder)

    async def set_folder(self, document_id: UUID, *, folder: str) -> bool:
        """Record the folder of a file that was moved. False when the document was deleted."""
        conditions = (col(Document.id) == document_id, col(Document.deleted_at).is_(None))
        return await self._update(*conditions, folder=folder)

    async def _update(self, *conditions: ColumnElement[bool] | TextClause, **values: Any) -> bool:
        """Update documents with one statement. Returns whether there was any."""
        statement = update(Document).where(*conditions).values(**values)
        return (await self._session.exec(statement)).rowcount > 0

    async def delete_by_players(self, player_ids: Collection[UUID]) -> list[DocumentRecord]:
        """Delete the rows of these players' documents. The caller deletes the files."""
        return await self._delete(col(Document.player_id).in_(player_ids))

    async def delete_by_team(self, team_id: UUID) -> list[DocumentRecord]:
        """Delete the rows of a team's documents. The caller deletes the files."""
        return await self._delete(col(Document.team_id) == team_id)

    async def delete_unclaimed(self, *, before: datetime, limit: int) -> list[DocumentRecord]:
        """Delete uploads that no team claimed, up to `limit`. The caller deletes the files."""
        # SKIP LOCKED: a document that a registration is just claiming is no orphan.
        unclaimed = (
            select(Document.id)
            .where(col(Document.team_id).is_(None), col(Document.created_at) < before)
            .order_by(col(Document.created_at))
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return await self._delete(col(Document.id).in_(unclaimed))

    async def _delete(self, condition: ColumnElement[bool]) -> list[DocumentRecord]:
        documents = await self._session.exec(delete(Document).where(condition).returning(Document))
        return [document_record(document) for document in documents.scalars()]

    async def expire_claimed(
        self,
        kinds: Collection[DocumentKind],
        *,
        before: datetime,
        now: datetime,
        limit: int,
    ) -> list[DocumentRecord]:
        """Mark up to `limit` claimed documents as deleted. The caller deletes the files."""
        statement = (
            select(Document)
            .where(
                col(Document.kind).in_(kinds),
                col(Document.claimed_at) < before,
                col(Document.deleted_at).is_(None),
            )
            .order_by(col(Document.claimed_at))
            .limit(limit)
            .with_for_update(skip_locked=True)
            .execution_options(populate_existing=True)
        )
        documents = (await self._session.exec(statement)).all()
        for document in documents:
            document.deleted_at = now
        await self._session.flush()
        return [document_record(document) for document in documents]
