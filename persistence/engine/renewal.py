"""One failure empties every pool of a database."""

from collections.abc import Callable
from time import monotonic

# Between two renewals for connections that the server refused their work: otherwise a database that
# stays read-only would have no pool at all.
PAUSE_SECONDS = 1.0


class Renewal:
    """Pools with one server behind them: when it moved or the network forgot it, all are renewed.

    Times are of `time.monotonic`.
    """

    def __init__(self) -> None:
        self._renewed_at = float("-inf")
        self._pools: list[Callable[[], None]] = []

    def add(self, close_idle: Callable[[], None]) -> None:
        """Call `close_idle` whenever the pools are renewed."""
        self._pools.append(close_idle)

    def is_outdated(self, opened_at: float) -> bool:
        """Whether a connection opened then must not be used again."""
        return opened_at <= self._renewed_at

    def report(self, opened_at: float, *, is_lost: bool) -> None:
        """Renew all pools because a connection opened then was lost, or was refused its work."""
        now = monotonic()
        is_pausing = not is_lost and now - self._renewed_at < PAUSE_SECONDS
        if self.is_outdated(opened_at) or is_pausing:
            return
        self._renewed_at = now
        for close_idle in self._pools:
            close_idle()
