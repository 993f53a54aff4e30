"""Which event loop runs."""

import asyncio


class RunningLoop:
    """Of whoever lives in one loop: asking for it is a call of the system before Python 3.12."""

    def __init__(self) -> None:
        self._known: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        """Raises RuntimeError where none runs."""
        if self._known is None or not self._known.is_running():
            self._known = asyncio.get_running_loop()
        return self._known
