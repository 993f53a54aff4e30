"""Suppress repeated warnings and tracebacks, so that an attack cannot flood the log."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from traceback import walk_tb

import structlog
from structlog.types import EventDict

UNFILTERED_METHODS = frozenset(("debug", "info"))
TRACEBACK_INTERVAL_SECONDS = 60.0
MAX_TRACEBACKS = 256

# (method, event) pairs that were logged in the current context; None outside of one.
_logged_warnings: ContextVar[set[tuple[str, str]] | None] = ContextVar(
    "logged_warnings", default=None
)


class deduplicate_warnings:  # noqa: N801 - used like a function: `with deduplicate_warnings():`
    """Context manager in which a warning or error of the same name is logged once only.

    Its fields do not matter. Tasks started inside share the context.
    """

    def __enter__(self) -> None:
        self._token = _logged_warnings.set(set())

    def __exit__(self, *_: object) -> None:
        _logged_warnings.reset(self._token)


def drop_repeated(_logger: object, method: str, event: EventDict) -> EventDict:
    """Drop repeated warnings: a structlog processor. Info and debug events always pass."""
    logged = _logged_warnings.get()
    if logged is not None and method not in UNFILTERED_METHODS:
        warning = (method, str(event["event"]))
        if warning in logged:
            raise structlog.DropEvent
        logged.add(warning)
    return event


class TracebackThrottle:
    """Remember which tracebacks were logged within the last minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged_at: dict[str, float] = {}

    def should_log(self, error: BaseException) -> bool:
        """Return whether to log the traceback in full, and record it as logged if so."""
        now, location = self._clock(), traceback_location(error)
        logged_at = self._logged_at.get(location)
        if logged_at is not None and now < logged_at + TRACEBACK_INTERVAL_SECONDS:
            return False
        if len(self._logged_at) >= MAX_TRACEBACKS:
            self.clear()
        self._logged_at[location] = now
        return True

    def clear(self) -> None:
        self._logged_at.clear()


def traceback_location(error: BaseException) -> str:
    """Return the error's class and innermost file and line, without its message.

    The message is left out since it may contain personal data.
    """
    lines = [f"{frame.f_code.co_filename}:{line}" for frame, line in walk_tb(error.__traceback__)]
    return f"{type(error).__name__} at {lines[-1] if lines else 'nowhere'}"
