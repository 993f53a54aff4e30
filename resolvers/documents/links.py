"""Documents as people use them: named by a form, shown to organisers."""

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
from domain.ids import read_id
from domain.registration.forms import DocumentForm, TeamForm
from domain.teams.codes import player_code
from integrations.storage.base import FileMissing, Folder, fetch_from_any_folder
from observability.logging_setup import current_request_id
from persistence.engine.database import Connection
from persistence.records import DocumentRecord
from persistence.repositories import audit, documents
from persistence.repositories.documents import OwnedDocument
from resolvers.security.signed_links import SignedLink, read_link, resolve_link_caller, sign_link
from resolvers.services import Services

LINK_PURPOSE = "document-link"
_SUFFIXES = {DocumentFormat.PNG: "png", DocumentFormat.JPEG: "jpg", DocumentFormat.PDF: "pdf"}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentDownload:
    """A copy at `path`, which is deleted when the view ends; `name` is made from codes."""

    path: Path
    name: str
    media_type: str


async def form_uploads(services: Services, form: TeamForm) -> Mapping[str, DocumentRecord]:
    """The uploads that the form names, by their ids as it writes them."""
    return await find_uploads(
        services, (form.documents, *(player.documents for player in form.players))
    )


async def find_uploads(
    services: Services, places: Iterable[Sequence[DocumentForm]]
) -> Mapping[str, DocumentRecord]:
    """By their ids as they are written. What has expired or was never stored is none."""
    named = {document.document_id for place in places for document in place}
    ids = {text: parsed for text in named if (parsed := read_id(text)) is not None}
    if not ids:
        return {}
    found = await services.database.read(
        partial(documents.list_by_id, document_ids=set(ids.values()))
    )
    oldest = services.clock() - services.storage.unclaimed_ttl
    usable = {
        record.id: record
        for record in found
        if record.team_id is not None or (record.stored_at and record.created_at > oldest)
    }
    return {text: usable[parsed] for text, parsed in ids.items() if parsed in usable}


def upload_refs(known: Mapping[str, DocumentRecord]) -> Mapping[str, UploadRef]:
    return {
        text: UploadRef(id=record.id, kind=record.kind, is_claimed=record.team_id is not None)
        for text, record in known.items()
    }


def create_link(services: Services, caller: Caller, document_id: UUID) -> tuple[str, datetime]:
    """A path that shows the document to whoever has it, until then, in the caller's name.

    It ends before its time when the caller may see documents no longer.

    Raises Unauthenticated, Forbidden.
    """
    require_role(caller, Role.REVIEWER)
    text, expires_at = sign_link(services, caller, LINK_PURPOSE, document_id.hex)
    return f"/files/{text}", expires_at


@asynccontextmanager
async def open_document(services: Services, link: str) -> AsyncGenerator[DocumentDownload]:
    """The file behind a link; the view is on record before a byte of it is sent.

    Raises NotFound, StorageUnavailable.
    """
    read = read_link(services, LINK_PURPOSE, link)
    owned = await services.database.run(partial(_record_view, link=read, now=services.clock()))
    if owned is None:
        raise NotFound("This document is not kept any more.")
    async with services.storage.upload_buffer.scratch() as copy:
        await _fetch(services, owned.document, copy)
        yield DocumentDownload(
            path=copy,
            name=_file_name(owned),
            media_type=CONTENT_TYPES[owned.document.format],
        )


async def _record_view(
    connection: Connection, *, link: SignedLink, now: datetime
) -> OwnedDocument | None:
    caller = await resolve_link_caller(connection, link, Role.REVIEWER)
    document_id = UUID(link.claims[0])
    owned = await documents.find_owned(connection, document_id)
    if owned is not None:
        await audit.append(
            connection,
            at=now,
            actor=caller.actor,
            action=AuditAction.DOCUMENT_VIEWED,
            team_id=owned.document.team_id,
            request_id=current_request_id(),
            changes={"document": document_id.hex},
        )
    return owned


async def _fetch(services: Services, document: DocumentRecord, target: Path) -> None:
    """Copy the file from wherever it is; a row that names another folder is put right.

    Raises NotFound.
    """
    media, recorded = services.storage.store_named(document.store), Folder(document.folder)
    try:
        folder = await fetch_from_any_folder(media, document.storage_name, recorded, target)
    except FileMissing as error:
        raise NotFound("The file of this document is not there.") from error
    if folder != recorded:
        await _correct_folder(services, document, folder)


async def _correct_folder(services: Services, document: DocumentRecord, folder: Folder) -> None:
    """Nothing happens when a move has recorded another folder meanwhile."""
    is_corrected = await services.database.run(
        partial(
            documents.correct_folder,
            document_id=document.id,
            recorded=document.folder,
            folder=folder,
        )
    )
    if is_corrected:
        log.warning("document_folder_corrected", document=str(document.id), folder=folder.value)


def _file_name(owned: OwnedDocument) -> str:
    """Such as ICCT-001-P01-identity-proof.jpg."""
    code = owned.team_code
    if owned.player_position is not None:
        code = player_code(code, owned.player_position)
    kind = owned.document.kind.value.lower().replace("_", "-")
    return f"{code}-{kind}.{_SUFFIXES[owned.document.format]}"
