"""Uploads: a signed ticket, resumable transfer into the buffer, inspection, storage."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import UUID
from weakref import WeakValueDictionary

import structlog

from domain.documents import (
    RULE_BY_KIND,
    DocumentFormat,
    DocumentKind,
    UploadRequest,
    validate_upload_request,
)
from domain.errors.exceptions import (
    FileContentMismatch,
    FileEmpty,
    FileTooLarge,
    MalformedRequest,
    ServiceUnavailable,
    UploadExpired,
    UploadOffsetMismatch,
)
from integrations.storage.base import Folder, delete_everywhere
from integrations.storage.disk import disk_errors
from integrations.storage.inspection.worker_pool import sanitize_file
from integrations.storage.reservations import Reservation
from integrations.storage.upload_buffer import PartMissing, Snapshot
from persistence.engine.database_identity import new_storage_name
from persistence.ids import new_id
from persistence.records import DocumentRecord
from persistence.unit_of_work import UnitOfWork
from resolvers.security.secrets import InvalidSignature, derive_keys, sign, verify_signed
from resolvers.services import Services

TICKET_PURPOSE = "upload-ticket"
CLIENT_PURPOSE = "upload-client"
CLIENT_KEY_LENGTH = 16
INSPECTION_FAILED = "inspection_failed"
RETRY_AFTER_SECONDS = 10

log = structlog.get_logger(__name__)
_locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Permission to upload one file of this kind, size and hash until `expires_at`."""

    document_id: UUID
    kind: DocumentKind
    byte_size: int
    sha256: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteRange:
    """Bytes `start` to `end`, exclusive. An empty range asks to store a complete upload."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadProgress:
    """The number of received bytes. `is_new`: this request has stored the document."""

    offset: int
    is_stored: bool
    is_new: bool = False


def open_upload(services: Services, file: UploadRequest) -> tuple[Ticket, str]:
    """Return a ticket and its signed text. Raises what `validate_upload_request` raises."""
    validate_upload_request(file)
    ticket = Ticket(
        document_id=new_id(),
        kind=file.kind,
        byte_size=file.byte_size,
        sha256=bytes.fromhex(file.sha256),
        # The signed text has whole seconds.
        expires_at=(services.clock() + services.storage.ticket_lifetime).replace(microsecond=0),
    )
    values = (
        ticket.document_id.hex,
        ticket.kind.value,
        ticket.byte_size,
        ticket.sha256.hex(),
        int(ticket.expires_at.timestamp()),
    )
    return ticket, sign(services.secrets, TICKET_PURPOSE, values)


def read_ticket(services: Services, text: str) -> Ticket:
    """Raises InvalidSignature, UploadExpired."""
    values = verify_signed(services.secrets, TICKET_PURPOSE, text)
    if values is None:
        raise InvalidSignature("There is no such upload.")
    document_id, kind, byte_size, sha256, expires_at = values
    ticket = Ticket(
        document_id=UUID(document_id),
        kind=DocumentKind(kind),
        byte_size=byte_size,
        sha256=bytes.fromhex(sha256),
        expires_at=datetime.fromtimestamp(expires_at, UTC),
    )
    if services.clock() >= ticket.expires_at:
        raise UploadExpired
    return ticket


async def upload_progress(services: Services, ticket: Ticket) -> UploadProgress:
    if await _is_stored(services, ticket):
        return UploadProgress(offset=ticket.byte_size, is_stored=True)
    return UploadProgress(
        offset=await services.storage.upload_buffer.size(ticket.document_id), is_stored=False
    )


async def receive(  # noqa: PLR0913 - an upload, its bytes and its client
    services: Services,
    ticket: Ticket,
    progress: UploadProgress,
    chunks: AsyncIterator[bytes],
    byte_range: ByteRange | None,
    *,
    client: str = "",
) -> UploadProgress:
    """Receive bytes; store the document after the last one. No `byte_range` means the whole file.

    Bytes received before `chunks` raises are kept, so that the client can resume. Unfinished
    uploads count towards the budget of `client`, which also limits concurrent inspections.

    Raises UploadOffsetMismatch, MalformedRequest, FileEmpty, FileTooLarge, FileContentMismatch,
    TooManyUploads, UploadExpired, StorageUnavailable, ServiceUnavailable.
    """
    if progress.is_stored:
        await _drain(chunks)
        return progress
    if byte_range is not None and byte_range.start != progress.offset:
        raise UploadOffsetMismatch(details={"uploadOffset": progress.offset})
    chunks_with_space = _reserve_space(services, ticket, chunks, client)
    try:
        if byte_range is None:
            await _receive_whole(services, ticket, chunks_with_space)
            offset = ticket.byte_size
        else:
            offset = await _receive_range(services, ticket, chunks_with_space, byte_range)
    except PartMissing:
        finished = await _finished_elsewhere(services, ticket)
        await _drain(chunks)
        return finished
    if offset < ticket.byte_size:
        return UploadProgress(offset=offset, is_stored=False)
    return await _finish_in_time(services, ticket, client)


def too_large(ticket: Ticket) -> FileTooLarge:
    return FileTooLarge(
        "The file is larger than announced. Choose it again.",
        details={"limitBytes": ticket.byte_size},
    )


async def _reserve_space(
    services: Services, ticket: Ticket, chunks: AsyncIterator[bytes], client: str
) -> AsyncIterator[bytes]:
    """Yield the chunks, after reserving buffer space for the whole file at the first one."""
    (digest, *_) = derive_keys(services.secrets, CLIENT_PURPOSE, client.encode())
    reservation = Reservation(
        upload=ticket.document_id,
        byte_size=ticket.byte_size,
        expires_at=int(ticket.expires_at.timestamp()),
        client=digest.hex()[:CLIENT_KEY_LENGTH],
    )
    is_reserved = False
    async for chunk in chunks:
        if not is_reserved:
            await services.storage.upload_buffer.reserve(reservation, now=services.clock())
            is_reserved = True
        yield chunk


async def _receive_whole(services: Services, ticket: Ticket, chunks: AsyncIterator[bytes]) -> None:
    """Raises FileTooLarge, FileEmpty, FileContentMismatch."""
    buffer, offset = services.storage.upload_buffer, 0
    async for chunk in chunks:
        if offset + len(chunk) > ticket.byte_size:
            await buffer.discard(ticket.document_id)
            raise too_large(ticket)
        await buffer.write(ticket.document_id, offset, chunk)
        offset += len(chunk)
    if offset == 0:
        raise FileEmpty
    if offset < ticket.byte_size:
        await buffer.discard(ticket.document_id)
        raise FileContentMismatch("The file is smaller than announced. Choose it again.")


async def _receive_range(
    services: Services, ticket: Ticket, chunks: AsyncIterator[bytes], byte_range: ByteRange
) -> int:
    """Return the offset after the range. Raises MalformedRequest."""
    offset = byte_range.start
    async for chunk in chunks:
        if offset + len(chunk) > byte_range.end:
            raise MalformedRequest("The body has more bytes than Content-Range says.")
        await services.storage.upload_buffer.write(ticket.document_id, offset, chunk)
        offset += len(chunk)
    return offset


async def _finish_in_time(services: Services, ticket: Ticket, client: str) -> UploadProgress:
    """Finish the upload; raise ServiceUnavailable after the time limit and keep its bytes."""
    try:
        async with asyncio.timeout(services.storage.finish_seconds) as deadline:
            return await _finish(services, ticket, client)
    except TimeoutError as error:
        if not deadline.expired():
            raise
        log.warning("upload_not_finished_in_time", document=str(ticket.document_id))
        raise ServiceUnavailable(
            "The file has arrived and is not stored yet. Try again in a moment.",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        ) from error


async def _finish(services: Services, ticket: Ticket, client: str) -> UploadProgress:
    """Inspect and store a complete upload.

    Refused content is discarded; after any other error the bytes stay for another attempt.
    """
    async with _exclusive(ticket.document_id):
        buffer = services.storage.upload_buffer
        if await _is_stored(services, ticket):
            await buffer.discard(ticket.document_id)
            return UploadProgress(offset=ticket.byte_size, is_stored=True)
        try:
            is_new = await _store(services, ticket, client)
        except FileContentMismatch:
            await buffer.discard(ticket.document_id)
            raise
        except PartMissing:
            # Another process has stored or refused the upload.
            return await _finished_elsewhere(services, ticket)
        await buffer.discard(ticket.document_id)
        if not is_new:
            return UploadProgress(offset=ticket.byte_size, is_stored=True)
    log.info("document_stored", document=str(ticket.document_id), kind=ticket.kind.value)
    return UploadProgress(offset=ticket.byte_size, is_stored=True, is_new=True)


async def _finished_elsewhere(services: Services, ticket: Ticket) -> UploadProgress:
    """Raises UploadOffsetMismatch if the upload has to start again."""
    if await _is_stored(services, ticket):
        return UploadProgress(offset=ticket.byte_size, is_stored=True)
    raise UploadOffsetMismatch(details={"uploadOffset": 0})


async def _store(services: Services, ticket: Ticket, client: str) -> bool:
    """Store the document. Return False if another process has stored it meanwhile.

    Hash, inspection and storage use one snapshot, which concurrent writes do not change. The row is
    written before the file, so that every stored file has a row.
    """
    buffer = services.storage.upload_buffer
    async with buffer.scratch() as clean:
        async with buffer.snapshot(ticket.document_id) as snapshot:
            file_format = await _inspect(services, ticket, snapshot, clean, client)
        document = _new_document(services, ticket, file_format)
        reserved = await services.database.run(
            partial(_reserve, document=document, sha256=ticket.sha256)
        )
        if reserved.stored_at is not None:
            return False
        store = services.storage.store_named(reserved.store)
        await store.save(reserved.storage_name, Folder(reserved.folder), clean)
    is_new = await services.database.run(
        lambda uow: uow.documents.mark_stored(document_id=reserved.id, now=services.clock())
    )
    if is_new is None:
        # The row expired unclaimed while the file was being saved.
        await delete_everywhere(store, reserved.storage_name)
        raise UploadExpired
    return is_new


async def _inspect(
    services: Services, ticket: Ticket, snapshot: Snapshot, clean: Path, client: str
) -> DocumentFormat:
    """Write a sanitized copy to `clean`.

    Raises FileContentMismatch, StorageUnavailable, ServiceUnavailable.
    """
    if snapshot.sha256 != ticket.sha256:
        raise FileContentMismatch("The file is not the one that was announced. Choose it again.")
    with disk_errors(INSPECTION_FAILED):
        return await sanitize_file(
            snapshot.path,
            clean,
            allowed=RULE_BY_KIND[ticket.kind].formats,
            client=client,
            options=services.storage.inspection,
        )


async def _reserve(uow: UnitOfWork, document: DocumentRecord, sha256: bytes) -> DocumentRecord:
    """Write the row, with a storage name that carries the database's tag."""
    named = replace(document, storage_name=await new_storage_name(uow.session))
    return await uow.documents.get_or_add(named, sha256)


def _new_document(
    services: Services, ticket: Ticket, file_format: DocumentFormat
) -> DocumentRecord:
    """Build a row without a storage name."""
    return DocumentRecord(
        id=ticket.document_id,
        kind=ticket.kind,
        format=file_format,
        byte_size=ticket.byte_size,
        created_at=services.clock(),
        store=services.storage.primary_store.name,
        storage_name="",
        folder=Folder.PENDING,
    )


async def _is_stored(services: Services, ticket: Ticket) -> bool:
    record = await services.database.read(
        lambda uow: uow.documents.find(document_id=ticket.document_id)
    )
    return record is not None and record.stored_at is not None


@asynccontextmanager
async def _exclusive(document_id: UUID) -> AsyncIterator[None]:
    """Serialize work on an upload in this process. Two processes may do it twice, harmlessly."""
    lock = _locks.setdefault(document_id, asyncio.Lock())
    async with lock:
        yield


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read the rest of the body: a client that is still sending may not read the response."""
    async for _ in chunks:
        pass
