"""`/exports/{link}`: download teams as a table with a signed link."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from domain.errors.base import DomainError
from domain.spreadsheets import ExportFormat
from resolvers.exports import export as exports
from resolvers.exports.export import Export
from resolvers.services import Services
from web.errors import error_response
from web.rate_limiting.guesses import GuessLimiter
from web.routes.files import CleanupFileResponse

XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
# Writing a workbook takes a thread and, while it is compressed, most of a CPU core.
MAX_CONCURRENT_WORKBOOKS = 2


class Exports:
    def __init__(self, services: Services, guesses: GuessLimiter) -> None:
        self._services = services
        self._guesses = guesses
        self._workbooks = asyncio.Semaphore(MAX_CONCURRENT_WORKBOOKS)

    async def respond(self, request: Request) -> Response:
        try:
            export = await exports.open_export(self._services, request.path_params["link"])
            if export.format == ExportFormat.CSV:
                return await self._csv(export)
            return await self._workbook(export)
        except DomainError as error:
            return error_response(await self._guesses.count_if_guess(request, error))

    async def _csv(self, export: Export) -> Response:
        """Stream the rows. An error midway aborts the response, so that no file is silently short.

        The first chunks are read before the response starts, so that early errors have a status.
        """
        rows = exports.csv_rows(self._services, export)
        first_chunks = [await anext(rows), await anext(rows, b"")]

        async def content() -> AsyncIterator[bytes]:
            async with aclosing(rows):
                for chunk in first_chunks:
                    yield chunk
                async for chunk in rows:
                    yield chunk

        headers = {"Content-Disposition": f'attachment; filename="{export.name}"'}
        return StreamingResponse(content(), headers=headers, media_type="text/csv; charset=utf-8")

    async def _workbook(self, export: Export) -> Response:
        async with AsyncExitStack() as stack:
            folder = await stack.enter_async_context(
                self._services.storage.upload_buffer.scratch_folder()
            )
            async with self._workbooks:
                path = await exports.write_workbook(self._services, export, folder)
            return CleanupFileResponse(
                path,
                stack.pop_all(),
                media_type=XLSX_TYPE,
                filename=export.name,
                content_disposition_type="attachment",
            )
