"""Find out by writing whether the database accepts writes."""

import asyncio
from contextlib import suppress
from time import monotonic

import structlog

from persistence.engine import errors
from persistence.engine.driver import CONNECTION_ERRORS, close_connection, connect

log = structlog.get_logger(__name__)

# A result is reused for so long. A refused write of the service counts for as long at least.
CACHE_SECONDS = 5.0
# For connecting, and again for the statement.
TIMEOUT_SECONDS = 5.0
# Both statements run in one transaction: they leave nothing behind and lock no row that another
# transaction could wait for. The insert has to commit, since only a commit shows that there is
# room on the disk.
_WRITE = """
    INSERT INTO idempotency_record (operation, key, fingerprint, team_id, expires_at)
    VALUES ('write_probe', CAST(gen_random_uuid() AS text), '', gen_random_uuid(), now());
    DELETE FROM idempotency_record WHERE operation = 'write_probe' AND expires_at = now()
"""


class WriteProbe:
    """Write at most once in `cache_seconds`, on behalf of all callers.

    Each write uses a new connection: after a failover it reaches the new server, as the new
    connections of the pools do.
    """

    def __init__(self, url: str, *, cache_seconds: float = CACHE_SECONDS) -> None:
        self._url = url
        self._cache_seconds = cache_seconds
        self._accepts_writes = True
        self._started_at = float("-inf")
        self._refused_at = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to write, unless a write is running or the last result is recent."""
        is_running = self._task is not None and not self._task.done()
        if not is_running and monotonic() - self._started_at > self._cache_seconds:
            self._started_at = monotonic()
            self._task = asyncio.create_task(self._probe())

    async def accepts_writes(self, *, timeout_seconds: float) -> bool:
        """The newest result; the one before when none arrives in time since the start."""
        self.start()
        if self._task is not None and not self._task.done():
            seconds = self._started_at + timeout_seconds - monotonic()
            await asyncio.wait([self._task], timeout=max(seconds, 0))
        return self._accepts_writes

    def mark_refused(self) -> None:
        """Record that a write of the service was refused. Outweighs a small write of the probe."""
        self._refused_at = monotonic()
        self._accepts_writes = False

    def mark_accepted(self) -> None:
        """Record that a write of the service succeeded."""
        self._refused_at = float("-inf")
        self._accepts_writes = True

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _probe(self) -> None:
        started_at = monotonic()
        try:
            await self._write()
        except CONNECTION_ERRORS as error:
            is_timeout = monotonic() - started_at >= TIMEOUT_SECONDS
            # Other errors concern the probe itself, or an unavailable database, which `ping` finds.
            if is_timeout or errors.is_write_refused(error):
                self._accepts_writes = False
            log.warning("write_probe_failed", sqlstate=errors.sqlstate(error))
        else:
            if monotonic() - self._refused_at > self._cache_seconds:
                self._accepts_writes = True

    async def _write(self) -> None:
        connection = await connect(self._url, timeout_seconds=TIMEOUT_SECONDS)
        timer = asyncio.get_running_loop().call_later(TIMEOUT_SECONDS, connection.terminate)
        try:
            await connection.execute(_WRITE)
        finally:
            timer.cancel()
            await close_connection(connection)
