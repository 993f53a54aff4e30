"""Document store in Cloudinary: raw assets of type `authenticated`, which need signed URLs."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import structlog
import urllib3
from anyio import CapacityLimiter, to_thread
from cloudinary import api, exceptions, uploader, utils

from domain.errors.exceptions import StorageUnavailable
from integrations.storage.base import (
    FileMissing,
    Folder,
    StoredFile,
    is_valid_name,
    require_valid_name,
)
from integrations.storage.disk import disk_errors
from resilience.circuit_breaker import ServiceGuard

MAX_CONCURRENT_CALLS = 8
DOWNLOAD_URL_SECONDS = 60
CHUNK_BYTES = 64 * 1024
PAGE_SIZE = 500
DOWNLOAD_FAILED = "download_failed"

log = structlog.get_logger(__name__)
T = TypeVar("T")


class CloudinaryUnavailable(Exception):
    """A transient failure: no answer, rate limit or server error."""


class _RequestRejected(Exception):
    """A permanent failure that an operator has to resolve, such as a wrong API key."""


class CloudinaryStore:
    """A store in the account cloudinary://KEY:SECRET@CLOUD.

    The URL's query is added to the options, for example `upload_prefix` for another API server.
    """

    name = "cloudinary"
    # Longer than Cloudinary works on an abandoned call.
    late_effect_seconds = 120.0
    TRANSIENT = (CloudinaryUnavailable,)

    def __init__(self, account: str, guard: ServiceGuard, *, timeout_seconds: float) -> None:
        self.guard = guard
        # The Admin API has an hourly quota. Exhausting it must not open the breaker of uploads, and
        # retries would use up more of it.
        self._admin_guard = guard.derive(f"{guard.name}_admin", attempts=1)
        self._limiter = CapacityLimiter(MAX_CONCURRENT_CALLS)
        self._timeout_seconds = timeout_seconds
        self._http = urllib3.PoolManager(maxsize=MAX_CONCURRENT_CALLS, retries=False)
        url = urlsplit(account)
        # Passed with every call, because the SDK's configuration is global to the process.
        self._options: dict[str, Any] = {
            "cloud_name": url.hostname,
            "api_key": unquote(url.username or ""),
            "api_secret": unquote(url.password or ""),
            "timeout": timeout_seconds,
            "type": "authenticated",
            "resource_type": "raw",
            **dict(parse_qsl(url.query)),
        }

    async def save(self, name: str, folder: Folder, source: Path) -> None:
        await self._run(
            partial(
                uploader.upload,
                str(source),
                public_id=_public_id(name, folder),
                filename=name,
                overwrite=True,
                **self._options,
            )
        )

    async def fetch(self, name: str, folder: Folder, target: Path) -> None:
        await self._run(partial(self._download, _public_id(name, folder), target))

    async def move(self, name: str, source: Folder, target: Folder) -> None:
        try:
            await self._run(
                partial(
                    uploader.rename,
                    _public_id(name, source),
                    _public_id(name, target),
                    overwrite=True,
                    **self._options,
                )
            )
        except FileMissing:
            if not await self.holds(name, target):
                raise

    async def holds(self, name: str, folder: Folder) -> bool:
        try:
            await self._run(partial(uploader.explicit, _public_id(name, folder), **self._options))
        except FileMissing:
            return False
        return True

    async def delete(self, name: str, folder: Folder) -> bool:
        response = await self._run(
            partial(uploader.destroy, _public_id(name, folder), invalidate=True, **self._options)
        )
        return bool(response["result"] == "ok")

    async def files(self) -> list[StoredFile]:
        return [file for folder in Folder for file in await self._files_in(folder)]

    async def sweep(self, *, older_than_seconds: float) -> int:  # noqa: ARG002 - as the protocol
        """Do nothing: Cloudinary has no partial assets."""
        return 0

    async def check(self) -> None:
        await self._run(partial(api.ping, **self._options), self._admin_guard)

    async def _files_in(self, folder: Folder) -> list[StoredFile]:
        files: list[StoredFile] = []
        cursor = None
        while True:
            page = await self._run(
                partial(
                    api.resources,
                    prefix=f"{folder}/",
                    max_results=PAGE_SIZE,
                    next_cursor=cursor,
                    **self._options,
                ),
                self._admin_guard,
            )
            files += _stored_files(page["resources"], folder)
            cursor = page.get("next_cursor")
            if not cursor:
                return files

    async def _run(self, call: Callable[[], T], guard: ServiceGuard | None = None) -> T:
        """Raises FileMissing, StorageUnavailable."""
        try:
            return await (guard or self.guard)(partial(self._in_thread, call))
        except _RequestRejected as error:
            log.error("storage_request_rejected", error=type(error.__cause__).__name__)  # noqa: TRY400
            raise StorageUnavailable from error

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """Abandon the thread on cancellation; it ends with its own timeout."""
        return await to_thread.run_sync(
            partial(_map_errors, call), limiter=self._limiter, abandon_on_cancel=True
        )

    def _download(self, public_id: str, target: Path) -> None:
        url = utils.private_download_url(
            public_id, "", expires_at=int(time.time()) + DOWNLOAD_URL_SECONDS, **self._options
        )
        response = self._http.request(
            "GET", url, preload_content=False, timeout=self._timeout_seconds
        )
        try:
            _check_status(response.status)
            with disk_errors(DOWNLOAD_FAILED):
                copy = target.open("wb")
            # Errors of the local disk must not open Cloudinary's breaker.
            with copy:
                for chunk in response.stream(CHUNK_BYTES):
                    with disk_errors(DOWNLOAD_FAILED):
                        copy.write(chunk)
                with disk_errors(DOWNLOAD_FAILED):
                    copy.flush()
        finally:
            response.release_conn()


def _public_id(name: str, folder: Folder) -> str:
    return f"{folder}/{require_valid_name(name)}"


def _stored_files(resources: Sequence[Mapping[str, Any]], folder: Folder) -> list[StoredFile]:
    now = time.time()
    return [
        StoredFile(
            name=name,
            folder=folder,
            age_seconds=now - datetime.fromisoformat(resource["created_at"]).timestamp(),
        )
        for resource in resources
        if is_valid_name(name := resource["public_id"].removeprefix(f"{folder}/"))
    ]


def _check_status(status: int) -> None:
    """Raise the SDK's exception for an HTTP status."""
    failures = {401: exceptions.AuthorizationRequired, 403: exceptions.NotAllowed}
    failures |= {404: exceptions.NotFound}
    if status != 200:  # noqa: PLR2004 - OK
        raise failures.get(status, exceptions.Error)(str(status))


def _map_errors(call: Callable[[], T]) -> T:
    """Raise FileMissing, CloudinaryUnavailable or _RequestRejected for errors of the SDK."""
    try:
        return call()
    except exceptions.NotFound as error:
        raise FileMissing from error
    except (exceptions.RateLimited, exceptions.GeneralError) as error:
        raise CloudinaryUnavailable from error
    except exceptions.Error as error:
        # The SDK raises the base class for timeouts, lost connections and proxy error pages.
        raise (
            CloudinaryUnavailable if type(error) is exceptions.Error else _RequestRejected
        ) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise CloudinaryUnavailable from error
