"""Documents named by forms, and signed links with which organisers view them."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from uuid import UUID

import structlog

from domain.audit import AuditAction
from domain.auth.roles import Caller, Role, require_role
from domain.documents import CONTENT_TYPES, DocumentFormat, UploadRef
from domain.errors.exceptions import NotFound
from domain.ids import parse_uuid
from domain.registration.forms import DocumentForm, TeamForm
from domain.teams.codes import player_code
from integrations.storage.base import FileMissing, Folder, fetch_from_any_folder
from persistence.records import DocumentRecord
from persistence.repositories.documents import OwnedDocument
from persistence.unit_of_work import UnitOfWork
from resolvers import audit
from resolvers.security.signed_links import SignedLink, read_link, resolve_link_caller, sign_link
from resolvers.services import Services

LINK_PURPOSE = "document-link"
_SUFFIXES = {DocumentFormat.PNG: "png", DocumentFormat.JPEG: "jpg", DocumentFormat.PDF: "pdf"}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentDownload:
    """A temporary copy at `path`. `name` is built from codes and holds no personal data."""

    path: Path
    name: str
    media_type: str


async def form_uploads(services: Services, form: TeamForm) -> Mapping[str, DocumentRecord]:
    """Return the uploads that the form names, by id as written in the form."""
    return await find_uploads(
        services, (form.documents, *(player.documents for player in form.players))
    )


async def find_uploads(
    services: Services, forms: Iterable[Sequence[DocumentForm]]
) -> Mapping[str, DocumentRecord]:
    """Return stored, unexpired uploads by id as written; ids without one are left out."""
    texts = {document.document_id for group in forms for document in group}
    ids = {text: parsed for text in texts if (parsed := parse_uuid(text)) is not None}
    if not ids:
        return {}
    records = await services.database.read(
        lambda uow: uow.documents.list_by_id(document_ids=set(ids.values()))
    )
    oldest = services.clock() - services.storage.unclaimed_ttl
    usable = {
        record.id: record
        for record in records
        if record.team_id is not None or (record.stored_at and record.created_at > oldest)
    }
    return {text: usable[parsed] for text, parsed in ids.items() if parsed in usable}


def upload_refs(uploads: Mapping[str, DocumentRecord]) -> Mapping[str, UploadRef]:
    """Convert records for validation."""
    return {
        text: UploadRef(id=record.id, kind=record.kind, is_claimed=record.team_id is not None)
        for text, record in uploads.items()
    }


def create_link(services: Services, caller: Caller, document_id: UUID) -> tuple[str, datetime]:
    """Return a path that shows the document to anybody, and its expiry.

    The link stops working earlier if the caller loses the right to see documents.

    Raises Unauthenticated, Forbidden.
    """
    require_role(caller, Role.REVIEWER)
    text, expires_at = sign_link(services, caller, LINK_PURPOSE, document_id.hex)
    return f"/files/{text}", expires_at


@asynccontextmanager
async def open_document(services: Services, link: str) -> AsyncGenerator[DocumentDownload]:
    """Record the view in the audit log, then yield a copy of the file.

    Raises NotFound, StorageUnavailable.
    """
    verified = read_link(services, LINK_PURPOSE, link)
    owned = await services.database.run(partial(_record_view, link=verified, now=services.clock()))
    if owned is None:
        raise NotFound("This document has been deleted.")
    async with services.storage.upload_buffer.scratch() as copy:
        await _fetch(services, owned.document, copy)
        yield DocumentDownload(
            path=copy, name=_file_name(owned), media_type=CONTENT_TYPES[owned.document.format]
        )


async def _record_view(uow: UnitOfWork, *, link: SignedLink, now: datetime) -> OwnedDocument | None:
    caller = await resolve_link_caller(uow, link, Role.REVIEWER)
    document_id = UUID(link.values[0])
    owned = await uow.documents.find_owned(document_id)
    if owned is not None:
        await audit.record(
            uow,
            AuditAction.DOCUMENT_VIEWED,
            caller.actor,
            at=now,
            team_id=owned.document.team_id,
            changes={"document": document_id.hex},
        )
    return owned


async def _fetch(services: Services, document: DocumentRecord, target: Path) -> None:
    """Copy the file from any folder and correct a row that names another folder.

    Raises NotFound.
    """
    store, recorded = services.storage.store_named(document.store), Folder(document.folder)
    try:
        folder = await fetch_from_any_folder(store, document.storage_name, recorded, target)
    except FileMissing as error:
        raise NotFound("The file of this document is missing.") from error
    if folder != recorded:
        await _correct_folder(services, document, folder)


async def _correct_folder(services: Services, document: DocumentRecord, folder: Folder) -> None:
    """Set the row's folder, unless a move has changed it since it was read."""
    is_corrected = await services.database.run(
        lambda uow: uow.documents.correct_folder(
            document_id=document.id,
            recorded=document.folder,
            folder=folder,
        )
    )
    if is_corrected:
        log.warning("document_folder_corrected", document=str(document.id), folder=folder.value)


def _file_name(owned: OwnedDocument) -> str:
    """Return a name such as ICCT-001-P01-identity-proof.jpg."""
    code = owned.team_code
    if owned.player_position is not None:
        code = player_code(code, owned.player_position)
    kind = owned.document.kind.value.lower().replace("_", "-")
    return f"{code}-{kind}.{_SUFFIXES[owned.document.format]}"
