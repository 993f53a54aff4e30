"""Time in which the event loop of this process runs, apart from that in which it stands still."""

import asyncio
from collections.abc import Callable
from time import monotonic

STEPS = 20


class RunningTime:
    """Calls `on_end` once after so many seconds, of which a stall of the loop counts as one step.

    `longest_stall` is in seconds.
    """

    def __init__(self, seconds: float, on_end: Callable[[], None]) -> None:
        self.longest_stall = 0.0
        self._step = seconds / STEPS
        self._on_end = on_end
        self._left = STEPS
        self._wait()

    def cancel(self) -> None:
        self._handle.cancel()

    def _wait(self) -> None:
        self._due = monotonic() + self._step
        self._handle = asyncio.get_running_loop().call_later(self._step, self._tick)

    def _tick(self) -> None:
        self.longest_stall = max(self.longest_stall, monotonic() - self._due)
        self._left -= 1
        if self._left:
            self._wait()
        else:
            self._on_end()
