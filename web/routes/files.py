"""`/files/{link}`: a document for whoever has the link, for as long as it lasts."""

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
        """The whole file, or the ranges that are asked for; shown, not saved, by browsers."""
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
    """Gives up what it holds when the file has been sent, or could not be."""

    def __init__(self, path: Path, held: AsyncExitStack, **options: str) -> None:
        super().__init__(path, **options)  # type: ignore[arg-type]  # texts, as they are named
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)
