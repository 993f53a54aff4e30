"""Documents: their type, uploads and links."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

import strawberry
from strawberry import argument, field

from domain.auth.roles import Role, has_role
from domain.documents import UploadRequest, normalize_media_type
from persistence.records import DocumentRecord
from resolvers.documents import links, uploads
from resolvers.documents.uploads import Ticket
from schema.context import Info
from schema.enums import DocumentFormat, DocumentKind, DocumentReview
from schema.node import Node


@strawberry.type(description="A temporary link by which anybody who has it can view a document.")
class SignedLink:
    url: str = field(description="A path of this service. Each view is written to the audit log.")
    expires_at: datetime = field(description="When the link expires.")


async def link(info: Info, root: strawberry.Parent["Document"]) -> SignedLink | None:
    """Return None to captains instead of an error, which would look like a failed mutation."""
    context = info.context
    if not has_role(context.caller, Role.REVIEWER):
        return None
    url, expires_at = links.create_link(context.services, context.caller, UUID(root.id))
    return SignedLink(url=url, expires_at=expires_at)


@strawberry.type(description="A file that a team submitted.")
class Document(Node):
    kind: DocumentKind = field(description="The kind of document.")
    format: DocumentFormat = field(description="The format, detected from the content.")
    byte_size: int = field(description="The size of the uploaded file: 1 to 5242880 bytes.")
    review: DocumentReview = field(description="The result of the organisers' review.")
    review_note: str | None = field(description="The organisers' note for the captain.")
    uploaded_at: datetime = field(description="When the file was received.")
    link: SignedLink | None = field(
        resolver=link,
        description="A link to the file, valid for ten minutes by default. Null for callers below"
        " the role REVIEWER, captains included.",
    )

    @classmethod
    def from_record(cls, record: DocumentRecord) -> Self:
        return cls(
            id=strawberry.ID(record.id.hex),
            kind=record.kind,
            format=record.format,
            byte_size=record.byte_size,
            review=record.review,
            review_note=record.review_note,
            uploaded_at=record.created_at,
        )


@strawberry.input(description="A file to upload.")
class OpenUploadInput:
    kind: DocumentKind = field(description="The kind of document.")
    file_name: str = field(
        description="The file's name: 1 to 255 characters, folders ignored. It is checked, but not"
        " stored."
    )
    content_type: str = field(
        description="image/png, image/jpeg or, except for photos, application/pdf. Aliases of these"
        " are accepted; empty or application/octet-stream if it is unknown. The content"
        " decides."
    )
    byte_size: int = field(description="The exact number of bytes to upload: 1 to 5242880.")
    sha256: str = field(description="The SHA-256 hash of these bytes: 64 hexadecimal digits.")

    def to_upload_request(self) -> UploadRequest:
        return UploadRequest(
            kind=self.kind,
            file_name=self.file_name,
            content_type=self.content_type,
            byte_size=self.byte_size,
            sha256=self.sha256,
        )


@strawberry.type(description="An HTTP request header.")
class Header:
    name: str = field(description="The header's name.")
    value: str = field(description="The header's value.")


@strawberry.type(
    description="Permission to upload one file of this kind, size and hash, for two hours by"
    " default."
)
class UploadTicket:
    document_id: strawberry.ID = field(description="The document's id, to be used in forms.")
    url: str = field(
        description="A path of this service for the upload. HEAD returns in Upload-Offset how many"
        " bytes have arrived; a request with Content-Range continues from there."
    )
    method: str = field(description="The HTTP method: PUT.")
    headers: list[Header] = field(description="Headers to send with the file.")
    expires_at: datetime = field(description="When the permission expires.")

    @classmethod
    def from_ticket(cls, ticket: Ticket, signed: str, content_type: str) -> Self:
        return cls(
            document_id=strawberry.ID(ticket.document_id.hex),
            url=f"/uploads/{signed}",
            method="PUT",
            headers=[Header(name="Content-Type", value=content_type)],
            expires_at=ticket.expires_at,
        )


@strawberry.type(description="The payload of openUpload.")
class OpenUploadPayload:
    ticket: UploadTicket = field(description="Permission to upload the file.")


async def open_upload(
    info: Info, input: Annotated[OpenUploadInput, argument(description="The file to upload.")]
) -> OpenUploadPayload | None:
    await info.context.check_rate_limit("upload")
    ticket, signed = uploads.open_upload(info.context.services, input.to_upload_request())
    return OpenUploadPayload(
        ticket=UploadTicket.from_ticket(ticket, signed, normalize_media_type(input.content_type))
    )
