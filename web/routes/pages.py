"""The page of error codes, GraphiQL, and the responses to unknown paths and methods."""

import html
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from strawberry.http.ides import get_graphql_ide_html

from domain.errors.base import DomainError
from domain.errors.codes import CATALOG
from domain.errors.exceptions import MethodNotAllowed, NotFound
from domain.errors.issue_codes import IssueCode
from web.errors import error_response, negotiated_error_type

# GraphiQL loads scripts and styles from a CDN. It is served in development only.
GRAPHIQL_CSP = (
    "default-src 'self' https: data:; script-src 'self' https: 'unsafe-inline' 'unsafe-eval';"
    " style-src 'self' https: 'unsafe-inline'; frame-ancestors 'none'"
)


async def errors(_request: Request) -> Response:
    """Return the error catalogue as a page, to which `extensions.docUrl` links."""
    entries: list[tuple[str, type[DomainError] | IssueCode]] = [
        *CATALOG.items(),
        *((code.value, code) for code in IssueCode),
    ]
    sections = "".join(
        f'<section id="{code}"><h2>{code}</h2><p>{html.escape(entry.description)}</p>'
        f"<p>Cause: {html.escape(entry.cause)}</p>"
        f"<p>What to do: {html.escape(entry.action)}</p></section>"
        for code, entry in entries
    )
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Error codes</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<main><h1>Error codes</h1>{sections}</main></html>"
    )


async def graphiql(_request: Request) -> Response:
    page = get_graphql_ide_html("graphiql").replace("{{ SUBSCRIPTION_ENABLED }}", "false")
    page = page.replace(
        'window.location.href.split("?")[0]', "new URL('/graphql', window.location).href"
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": GRAPHIQL_CSP})


async def not_found(request: Request, _error: Exception) -> Response:
    error = NotFound("There is nothing at this address.")
    return error_response(error, media_type=negotiated_error_type(request.scope))


async def method_not_allowed(request: Request, error: Any) -> Response:
    """Name the methods of the route, which Starlette's HTTPException lists in any order."""
    allow = ", ".join(sorted(error.headers["Allow"].split(", ")))
    media_type = negotiated_error_type(request.scope)
    return error_response(MethodNotAllowed(), allow=allow, media_type=media_type)
