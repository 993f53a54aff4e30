"""Documents: the object, how one is uploaded, how one is seen."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

import strawberry
from strawberry import argument, field

from domain.auth.roles import Role, may
from domain.uploads import UploadRequest, media_type
from persistence.records import DocumentRecord
from resolvers.documents import links, uploads
from resolvers.documents.uploads import Ticket
from schema.context import Info
from schema.enums import DocumentFormat, DocumentKind, DocumentReview
from schema.node import Node


@strawberry.type(description="An address that shows one document to whoever has it, for a while.")
class SignedLink:
    url: str = field(description="A path of this service; every view of it is on record.")
    expires_at: datetime = field(description="From then on it leads nowhere.")


async def link(info: Info, root: strawberry.Parent["Document"]) -> SignedLink | None:
    """Null for captains, whose own documents these are: an error would look like a failed write."""
    context = info.context
    if not may(context.caller, Role.REVIEWER):
        return None
    url, expires_at = links.create_link(context.services, context.caller, UUID(root.id))
    return SignedLink(url=url, expires_at=expires_at)


@strawberry.type(description="A file that a team has handed in.")
class Document(Node):
    kind: DocumentKind = field(description="What it is.")
    format: DocumentFormat = field(description="What its content is, whatever it was called.")
    byte_size: int = field(description="Of the file as it was sent, 1 to 5242880.")
    review: DocumentReview = field(description="What organisers said of it.")
    review_note: str | None = field(description="What has to be done about it, in their words.")
    uploaded_at: datetime = field(description="When it was received.")
    link: SignedLink | None = field(
        resolver=link,
        description="Where it can be seen for ten minutes. Null for callers below the role"
        " REVIEWER, captains included.",
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


@strawberry.input(description="A file that is about to be sent.")
class OpenUploadInput:
    kind: DocumentKind = field(description="What it is.")
    file_name: str = field(
        description="1 to 255 characters; folders before it do not matter. It is checked and then"
        " forgotten."
    )
    content_type: str = field(
        description="image/png, image/jpeg or, but for photos, application/pdf; other names of"
        " these, empty or application/octet-stream where it is not known. The content decides."
    )
    byte_size: int = field(description="1 to 5242880, exactly what will be sent.")
    sha256: str = field(description="Of exactly these bytes: 64 hexadecimal digits.")

    def to_announcement(self) -> UploadRequest:
        return UploadRequest(
            kind=self.kind,
            file_name=self.file_name,
            content_type=self.content_type,
            byte_size=self.byte_size,
            sha256=self.sha256,
        )


@strawberry.type(description="A header of an HTTP request.")
class Header:
    name: str = field(description="As in RFC 9110.")
    value: str = field(description="As it has to be sent.")


@strawberry.type(description="The right to send one file: this kind, size and hash, for two hours.")
class UploadTicket:
    document_id: strawberry.ID = field(description="What the form names the file by.")
    url: str = field(
        description="A path of this service. HEAD says in Upload-Offset how much of the file is"
        " there; a request with Content-Range continues from that byte."
    )
    method: str = field(description="PUT.")
    headers: list[Header] = field(description="To be sent with it.")
    expires_at: datetime = field(description="From then on nothing is taken any more.")

    @classmethod
    def from_ticket(cls, ticket: Ticket, text: str, content_type: str) -> Self:
        return cls(
            document_id=strawberry.ID(ticket.document_id.hex),
            url=f"/uploads/{text}",
            method="PUT",
            headers=[Header(name="Content-Type", value=content_type)],
            expires_at=ticket.expires_at,
        )


@strawberry.type(description="The answer to openUpload.")
class OpenUploadPayload:
    ticket: UploadTicket = field(description="Where the bytes go.")


async def open_upload(
    info: Info, input: Annotated[OpenUploadInput, argument(description="The file.")]
) -> OpenUploadPayload | None:
    await info.context.check_rate_limit("upload")
    ticket, text = uploads.open_upload(info.context.services, input.to_announcement())
    return OpenUploadPayload(
        ticket=UploadTicket.from_ticket(ticket, text, media_type(input.content_type))
    )
