"""Errors as whole responses, for everything that answers without GraphQL."""

from starlette.responses import Response
from starlette.types import Scope

from domain.errors.base import DomainError
from domain.errors.exceptions import MethodNotAllowed, Unauthenticated
from observability.logging_setup import current_request_id
from schema.errors import error_body
from web.graphql.negotiation import JSON_TYPE, error_type
from web.headers import header_index
from web.rate_limiting.status import RateLimitExceeded

JSON = f"{JSON_TYPE}; charset=utf-8"
CHALLENGE = {"WWW-Authenticate": "Bearer"}


class RequestAborted(Exception):
    """The end of a request before its response is complete, answered with `error`.

    The connection closes after it. `status` replaces the HTTP status of the error.
    """

    def __init__(self, error: DomainError, *, status: int | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.status = status


def error_response(
    error: DomainError,
    *,
    status: int | None = None,
    media_type: str = JSON_TYPE,
    allow: str = "POST",
    close: bool = False,
) -> Response:
    """Return a response that consists of one error.

    `status` replaces the HTTP status of the error, `allow` lists the methods for
    METHOD_NOT_ALLOWED, `close` ends the connection.
    """
    headers = {"Vary": "Accept"}
    if error.code == MethodNotAllowed.code:
        headers["Allow"] = allow
    if error.code == Unauthenticated.code:
        headers |= CHALLENGE
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if close:
        headers["Connection"] = "close"
    response = Response(
        error_body(error, current_request_id()),
        int(status or error.http_status),
        headers,
        f"{media_type}; charset=utf-8",
    )
    if isinstance(error, RateLimitExceeded):
        response.raw_headers += error.rate_limit.headers()
    return response


def negotiated_error_type(scope: Scope) -> str:
    """Return the media type in which the client of a request reads errors."""
    return error_type(header_index(scope).get(b"accept", ()))
