"""Uploads as a client makes them: open a ticket, then send the bytes."""

from dataclasses import dataclass
from hashlib import sha256

import httpx

from domain.documents import DocumentKind
from tests import sample_files
from tests.graphql_client import data, execute

OPEN_UPLOAD = """
mutation Open($input: OpenUploadInput!) {
  openUpload(input: $input) {
    ticket { documentId url method headers { name value } expiresAt }
  }
}
"""
PDF_KINDS = (DocumentKind.PASTOR_LETTER, DocumentKind.IDENTITY_PROOF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    document_id: str
    url: str


def upload_input(kind: str, content: bytes, **changes) -> dict:
    is_pdf = content.startswith(b"%PDF")
    return {
        "kind": kind,
        "fileName": "letter.pdf" if is_pdf else "photo.jpg",
        "contentType": "application/pdf" if is_pdf else "image/jpeg",
        "byteSize": len(content),
        "sha256": sha256(content).hexdigest(),
    } | changes


async def open_upload(client: httpx.AsyncClient, kind: str, content: bytes, **changes) -> Ticket:
    answer = await execute(client, OPEN_UPLOAD, {"input": upload_input(kind, content, **changes)})
    ticket = data(answer)["openUpload"]["ticket"]
    return Ticket(document_id=ticket["documentId"], url=ticket["url"])


async def put(
    client: httpx.AsyncClient, ticket: Ticket, content: bytes, **headers: str
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.put(ticket.url, content=content, headers=named)


async def put_range(
    client: httpx.AsyncClient, ticket: Ticket, content: bytes, start: int, end: int
) -> httpx.Response:
    """Send bytes `start` to `end`, exclusive."""
    said = f"bytes {start}-{end - 1}/{len(content)}"
    return await put(client, ticket, content[start:end], content_range=said)


async def upload_offset(client: httpx.AsyncClient, ticket: Ticket) -> int:
    answer = await client.head(ticket.url)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


async def upload(client: httpx.AsyncClient, kind: str, content: bytes | None = None) -> str:
    """Upload a document and return its id."""
    if content is None:
        content = sample_files.pdf() if kind in PDF_KINDS else sample_files.jpeg()
    ticket = await open_upload(client, kind, content)
    answer = await put(client, ticket, content)
    assert answer.status_code == 201, answer.text
    return ticket.document_id


async def with_documents(client: httpx.AsyncClient, team: dict) -> dict:
    """Upload all documents of a team and return its input with them."""
    return team | {
        "documents": [
            {"kind": kind, "documentId": await upload(client, kind)}
            for kind in ("PASTOR_LETTER", "PAYMENT_RECEIPT", "GROUP_PHOTO")
        ],
        "players": [
            player
            | {
                "documents": [
                    {"kind": kind, "documentId": await upload(client, kind)}
                    for kind in ("IDENTITY_PROOF", "SUBSCRIPTION_CARD")
                ]
            }
            for player in team["players"]
        ],
    }


def with_wrong_signature(url: str) -> str:
    """Change the first character of a signature: the last one has unused bits."""
    signed, _, signature = url.rpartition(".")
    return f"{signed}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
