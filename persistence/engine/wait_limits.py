"""Time limits of statements that may have waited before they were sent."""

from time import monotonic

from persistence.engine.connection_pool import Lease

# A statement that waits for locks one after the other ends by the statement timeout, so much
# later than by the lock timeout, which says what it waited for.
GRACE_SECONDS = 0.5
# So much may have passed before a shorter timeout is set: while nobody waits, nothing is sent.
FREE_SECONDS = 0.5
SHORTEST_SECONDS = 0.05


def seconds_left(lock_timeout_seconds: float, since: float) -> float | None:
    """The lock timeout for somebody who has waited since then; None for the whole of it."""
    waited = monotonic() - since
    if waited <= FREE_SECONDS:
        return None
    return max(lock_timeout_seconds - waited, SHORTEST_SECONDS)


def limits_for(lock_seconds: float) -> dict[str, int]:
    """Settings of PostgreSQL, in milliseconds, for a statement that may wait so long in all."""
    return {
        "lock_timeout": round(lock_seconds * 1000),
        "statement_timeout": round((lock_seconds + GRACE_SECONDS) * 1000),
    }


class WaitLimits:
    """Waiting for a connection and for locks together takes no longer than the lock timeout."""

    def __init__(self, lock_timeout_seconds: float) -> None:
        self._seconds = lock_timeout_seconds

    async def apply(self, lease: Lease, since: float) -> None:
        """Set the session's limits for a caller who has waited since then, where they differ."""
        left = seconds_left(self._seconds, since)
        if left is None and not lease.is_limited:
            return
        settings = limits_for(self._seconds if left is None else left)
        await lease.connection.execute("; ".join(f"SET {k} = {v}" for k, v in settings.items()))
        lease.is_limited = left is not None
