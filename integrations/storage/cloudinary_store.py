"""Documents in Cloudinary: raw assets that no address opens without a signature of ours."""

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
from integrations.storage.base import FileMissing, Folder, StoredFile, checked_name, is_name
from integrations.storage.disk import disk_errors
from resilience.circuit_breaker import ServiceGuard

AT_ONCE = 8
DOWNLOAD_SECONDS = 60
CHUNK_BYTES = 64 * 1024
PAGE_SIZE = 500
FAILED = "download_failed"

log = structlog.get_logger(__name__)
T = TypeVar("T")


class CloudinaryAway(Exception):
    """No answer, or one that says to come back later."""


class _Refused(Exception):
    """An answer that only an operator can do something about, such as to a wrong key."""


class CloudinaryStore:
    """`account` is cloudinary://KEY:SECRET@CLOUD; its `upload_prefix` is another address."""

    name = "cloudinary"
    # Longer than a call is ever worked on there after nobody waits for its answer.
    late_seconds = 120.0
    TRANSIENT = (CloudinaryAway,)

    def __init__(self, account: str, guard: ServiceGuard, *, timeout_seconds: float) -> None:
        self.guard = guard
        # The Admin API has a quota by the hour: used up, it says nothing of uploads, and to try
        # again uses more of it.
        self._admin_guard = guard.beside(f"{guard.name}_admin", attempts=1)
        self._threads = CapacityLimiter(AT_ONCE)
        self._timeout_seconds = timeout_seconds
        self._http = urllib3.PoolManager(maxsize=AT_ONCE, retries=False)
        parts = urlsplit(account)
        # With every call, since the SDK's own configuration is one for the process.
        self._options: dict[str, Any] = {
            "cloud_name": parts.hostname,
            "api_key": unquote(parts.username or ""),
            "api_secret": unquote(parts.password or ""),
            "timeout": timeout_seconds,
            "type": "authenticated",
            "resource_type": "raw",
            **dict(parse_qsl(parts.query)),
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
        answer = await self._run(
            partial(uploader.destroy, _public_id(name, folder), invalidate=True, **self._options)
        )
        return bool(answer["result"] == "ok")

    async def files(self) -> list[StoredFile]:
        return [file for folder in Folder for file in await self._files_in(folder)]

    async def sweep(self, *, older_than_seconds: float) -> int:  # noqa: ARG002 - as the protocol
        """Nothing: an asset is there when it is whole."""
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
            files += _listed(page["resources"], folder)
            cursor = page.get("next_cursor")
            if not cursor:
                return files

    async def _run(self, call: Callable[[], T], guard: ServiceGuard | None = None) -> T:
        """Raises FileMissing, StorageUnavailable."""
        try:
            return await (guard or self.guard)(partial(self._in_thread, call))
        except _Refused as refusal:
            log.error("storage_refused", error=type(refusal.__cause__).__name__)  # noqa: TRY400
            raise StorageUnavailable from refusal

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """A call that is given up goes on until its own timeout; nobody waits for it."""
        return await to_thread.run_sync(
            partial(_translated, call), limiter=self._threads, abandon_on_cancel=True
        )

    def _download(self, public_id: str, target: Path) -> None:
        url = utils.private_download_url(
            public_id, "", expires_at=int(time.time()) + DOWNLOAD_SECONDS, **self._options
        )
        response = self._http.request(
            "GET", url, preload_content=False, timeout=self._timeout_seconds
        )
        try:
            _check_status(response.status)
            with disk_errors(FAILED):
                copy = target.open("wb")
            # A disk that is full is no failure of Cloudinary's.
            with copy:
                for chunk in response.stream(CHUNK_BYTES):
                    with disk_errors(FAILED):
                        copy.write(chunk)
                with disk_errors(FAILED):
                    copy.flush()
        finally:
            response.release_conn()


def _public_id(name: str, folder: Folder) -> str:
    return f"{folder}/{checked_name(name)}"


def _listed(resources: Sequence[Mapping[str, Any]], folder: Folder) -> list[StoredFile]:
    now = time.time()
    return [
        StoredFile(
            name=name,
            folder=folder,
            age_seconds=now - datetime.fromisoformat(resource["created_at"]).timestamp(),
        )
        for resource in resources
        if is_name(name := resource["public_id"].removeprefix(f"{folder}/"))
    ]


def _check_status(status: int) -> None:
    """Raises what the SDK raises."""
    failures = {401: exceptions.AuthorizationRequired, 403: exceptions.NotAllowed}
    failures |= {404: exceptions.NotFound}
    if status != 200:  # noqa: PLR2004 - OK
        raise failures.get(status, exceptions.Error)(str(status))


def _translated(call: Callable[[], T]) -> T:
    """The SDK's errors as those that the guard tells apart."""
    try:
        return call()
    except exceptions.NotFound as error:
        raise FileMissing from error
    except (exceptions.RateLimited, exceptions.GeneralError) as error:
        raise CloudinaryAway from error
    except exceptions.Error as error:
        # Timeouts, lost connections and pages of proxies are all this very class.
        raise (CloudinaryAway if type(error) is exceptions.Error else _Refused) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise CloudinaryAway from error
