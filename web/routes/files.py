"""`/files/{link}`: download a document with a signed link."""

from contextlib import AsyncExitStack
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from domain.errors.base import DomainError
from resolvers.documents import links
from resolvers.services import Services
from web.errors import error_response
from web.rate_limiting.guesses import GuessLimiter


class Files:
    def __init__(self, services: Services, guesses: GuessLimiter) -> None:
        self._services = services
        self._guesses = guesses

    async def respond(self, request: Request) -> Response:
        """Send the file or the requested ranges, for browsers to show inline."""
        async with AsyncExitStack() as stack:
            try:
                file = await stack.enter_async_context(
                    links.open_document(self._services, request.path_params["link"])
                )
            except DomainError as error:
                return error_response(await self._guesses.count_if_guess(request, error))
            return CleanupFileResponse(
                file.path,
                stack.pop_all(),
                media_type=file.media_type,
                filename=file.name,
                content_disposition_type="inline",
            )


class CleanupFileResponse(FileResponse):
    """A file response that closes `resources` when the file has been sent or has failed."""

    def __init__(self, path: Path, resources: AsyncExitStack, **options: str) -> None:
        super().__init__(path, **options)  # type: ignore[arg-type]  # all of them are strings
        self._resources = resources

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._resources:
            await super().__call__(scope, receive, send)
