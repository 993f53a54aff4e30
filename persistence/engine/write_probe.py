"""Whether the database takes writes, found out by writing."""

import asyncio
from contextlib import suppress
from time import monotonic

import structlog

from persistence.engine import errors
from persistence.engine.driver import CONNECTION_ERRORS, close_connection, connect

log = structlog.get_logger(__name__)

# An answer is good for so long, and a write that was refused counts for as long at least.
CACHE_SECONDS = 5.0
# For connecting, and for the answer.
TIMEOUT_SECONDS = 5.0
# Two statements of one transaction: nothing is left of it, and no row is locked that another server
# could wait for. Only what is committed says that there is room for it.
_WRITE = """
    INSERT INTO idempotency_record (operation, key, fingerprint, team_id, expires_at)
    VALUES ('write_probe', CAST(gen_random_uuid() AS text), '', gen_random_uuid(), now());
    DELETE FROM idempotency_record WHERE operation = 'write_probe' AND expires_at = now()
"""


class WriteProbe:
    """Writes at most once in `good_for_seconds`, on a new connection, for all who ask.

    A new connection goes to the server that takes new ones, as those of the pools do after a loss.
    """

    def __init__(self, url: str, *, cache_seconds: float = CACHE_SECONDS) -> None:
        self._url = url
        self._cache_seconds = cache_seconds
        self._takes_writes = True
        self._asked_at = float("-inf")
        self._refused_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def accepts_writes(self, *, timeout_seconds: float) -> bool:
        """As the newest answer says; that of before where none comes in time."""
        is_asking = self._asking is not None and not self._asking.done()
        if not is_asking and monotonic() - self._asked_at > self._cache_seconds:
            self._asked_at = monotonic()
            self._asking = asyncio.create_task(self._ask())
        if self._asking is not None:
            await asyncio.wait([self._asking], timeout=timeout_seconds)
        return self._takes_writes

    def mark_refused(self) -> None:
        """A write of the service was refused: that counts more than what a small probe finds."""
        self._refused_at = monotonic()
        self._takes_writes = False

    def mark_accepted(self) -> None:
        """A write of the service was done."""
        self._refused_at = float("-inf")
        self._takes_writes = True

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            with suppress(asyncio.CancelledError):
                await self._asking

    async def _ask(self) -> None:
        began = monotonic()
        try:
            await self._write()
        except CONNECTION_ERRORS as error:
            is_late = monotonic() - began >= TIMEOUT_SECONDS
            # Any other error is about the probe, or the database is away, as `ping` says.
            if is_late or errors.is_write_refused(error):
                self._takes_writes = False
            log.warning("write_probe_failed", sqlstate=errors.sqlstate(error))
        else:
            if monotonic() - self._refused_at > self._cache_seconds:
                self._takes_writes = True

    async def _write(self) -> None:
        connection = await connect(self._url, timeout_seconds=TIMEOUT_SECONDS)
        ending = asyncio.get_running_loop().call_later(TIMEOUT_SECONDS, connection.terminate)
        try:
            await connection.execute(_WRITE)
        finally:
            ending.cancel()
            await close_connection(connection)
