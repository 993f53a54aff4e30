"""Responses to invalid requests that never reach the application."""

from dataclasses import dataclass
from http import HTTPStatus

from domain.errors.base import DomainError
from domain.errors.exceptions import MalformedRequest, RequestTimeout
from schema.errors import error_body
from web.errors import JSON
from web.middleware.request_id import new_request_id
from web.middleware.security_headers import SECURITY_HEADERS


@dataclass(frozen=True, slots=True)
class RawErrorResponse:
    """A complete response with the error envelope, after which the connection closes."""

    status: HTTPStatus
    error: DomainError

    def encode(self) -> bytes:
        request_id = new_request_id()
        body = error_body(self.error, request_id)
        headers = {
            **SECURITY_HEADERS,
            "Content-Type": JSON,
            "Content-Length": str(len(body)),
            "Connection": "close",
            "X-Request-ID": request_id,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        status = self.status
        return f"HTTP/1.1 {status.value} {status.phrase}\r\n{lines}\r\n".encode() + body


BAD_REQUEST = RawErrorResponse(
    HTTPStatus.BAD_REQUEST, MalformedRequest("This is not valid HTTP/1.1.")
)
TOO_LARGE = RawErrorResponse(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    MalformedRequest(
        "The address and headers of a request have to be smaller than 32 KB, and 200 at most."
    ),
)
HEAD_TIMEOUT = RawErrorResponse(
    HTTPStatus.REQUEST_TIMEOUT, RequestTimeout("The headers did not arrive in time.")
)
