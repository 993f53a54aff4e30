"""`/uploads/{ticket}`: upload a file in one request, or resume it in several."""

import asyncio
import re
from collections.abc import AsyncIterator
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from domain.errors.base import DomainError
from domain.errors.exceptions import MalformedRequest, RequestTimeout, UploadExpired
from resolvers.documents import uploads
from resolvers.documents.uploads import ByteRange, Ticket, UploadProgress
from resolvers.services import Services
from web.errors import error_response
from web.rate_limiting.guesses import GuessLimiter
from web.rate_limiting.limiter import RateLimiter

# The stall timer restarts after this many bytes, so that single bytes do not keep it running.
MIN_PROGRESS_BYTES = 1024

_RANGE = re.compile(r"bytes (?:([0-9]{1,9})-([0-9]{1,9})|\*)/([0-9]{1,9})")


class Uploads:
    """PUT receives bytes, HEAD returns the offset. `stall_seconds` limits time without progress."""

    def __init__(
        self,
        services: Services,
        limits: RateLimiter,
        guesses: GuessLimiter,
        *,
        stall_seconds: float,
    ) -> None:
        self._services = services
        self._limits = limits
        self._guesses = guesses
        self._stall_seconds = stall_seconds

    async def respond(self, request: Request) -> Response:
        try:
            ticket = uploads.read_ticket(self._services, request.path_params["ticket"])
            progress = await uploads.upload_progress(self._services, ticket)
            if request.method == "PUT":
                return await self._receive(request, ticket, progress)
            return Response(headers=_headers(ticket, progress.offset))
        except DomainError as error:
            return _error_response(await self._guesses.count_if_guess(request, error))

    async def _receive(
        self, request: Request, ticket: Ticket, progress: UploadProgress
    ) -> Response:
        byte_range = _byte_range(request, ticket)
        client = self._guesses.client(request)
        if progress.offset == 0:
            await self._limits.hit("upload", client)
        chunks = self._chunks(request, ticket)
        result = await uploads.receive(
            self._services, ticket, progress, chunks, byte_range, client=client
        )
        status = (201 if result.is_new else 200) if result.is_stored else 202
        body = {"documentId": ticket.document_id.hex, "isComplete": result.is_stored}
        return JSONResponse(body, status, _headers(ticket, result.offset))

    async def _chunks(self, request: Request, ticket: Ticket) -> AsyncIterator[bytes]:
        """Yield the body. Raises RequestTimeout, UploadExpired, ClientDisconnect."""
        stream, now = request.stream(), asyncio.get_running_loop().time
        deadline, received = now() + self._stall_seconds, 0
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    chunk = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise RequestTimeout("The upload has stalled. Please continue it.") from error
            if self._services.clock() >= ticket.expires_at:
                raise UploadExpired
            received += len(chunk)
            if received >= MIN_PROGRESS_BYTES:
                deadline, received = now() + self._stall_seconds, 0
            if chunk:
                yield chunk


def _byte_range(request: Request, ticket: Ticket) -> ByteRange | None:
    """Parse Content-Range; None without it. Raises MalformedRequest, FileTooLarge.

    A range of `*` is empty, at the end of the file.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:18]) > ticket.byte_size:
        raise uploads.too_large(ticket)
    header = request.headers.get("content-range")
    if header is None:
        return None
    match = _RANGE.fullmatch(header.strip())
    if match is None or int(match[3]) != ticket.byte_size:
        raise MalformedRequest(
            "Content-Range has to be: bytes first-last/size, with the size announced."
        )
    if match[1] is None:
        return ByteRange(start=ticket.byte_size, end=ticket.byte_size)
    byte_range = ByteRange(start=int(match[1]), end=int(match[2]) + 1)
    if not byte_range.start < byte_range.end <= ticket.byte_size:
        raise MalformedRequest("Content-Range has to lie within the file.")
    return byte_range


def _headers(ticket: Ticket, offset: int) -> dict[str, str]:
    return {"Upload-Offset": str(offset), "Upload-Length": str(ticket.byte_size)}


def _error_response(error: DomainError) -> Response:
    response = error_response(error, allow="HEAD, PUT")
    if "uploadOffset" in error.details:
        response.headers["Upload-Offset"] = str(error.details["uploadOffset"])
    if isinstance(error, RequestTimeout):
        # 408, since the client was slow and not the server.
        response.status_code = HTTPStatus.REQUEST_TIMEOUT
        response.headers["Connection"] = "close"
    return response
