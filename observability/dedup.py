"""Keeps the log small when the same thing goes wrong again and again, as under attack."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from traceback import walk_tb

import structlog
from structlog.types import EventDict

FACTS = frozenset(("debug", "info"))
TRACEBACK_INTERVAL_SECONDS = 60.0
MAX_TRACEBACKS = 256

_given: ContextVar[set[tuple[str, str]] | None] = ContextVar("given", default=None)


class deduplicate_warnings:  # noqa: N801 - used as the function that it would be
    """Inside, a warning or error of the same name is written once, whatever its fields."""

    def __enter__(self) -> None:
        self._token = _given.set(set())

    def __exit__(self, *_: object) -> None:
        _given.reset(self._token)


def drop_repeated(_logger: object, method: str, event: EventDict) -> EventDict:
    """Processor: facts stay, since each of them is about something else."""
    given = _given.get()
    if given is not None and method not in FACTS:
        warning = (method, str(event["event"]))
        if warning in given:
            raise structlog.DropEvent
        given.add(warning)
    return event


class TracebackThrottle:
    """Says of a stack whether it was written within the last minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._written: dict[str, float] = {}

    def is_new(self, error: BaseException) -> bool:
        now, place = self._clock(), traceback_location(error)
        written_at = self._written.get(place)
        if written_at is not None and now < written_at + TRACEBACK_INTERVAL_SECONDS:
            return False
        if len(self._written) >= MAX_TRACEBACKS:
            self.clear()
        self._written[place] = now
        return True

    def clear(self) -> None:
        self._written.clear()


def traceback_location(error: BaseException) -> str:
    """The class and where it was raised, without words that could hold values."""
    places = [f"{frame.f_code.co_filename}:{line}" for frame, line in walk_tb(error.__traceback__)]
    return f"{type(error).__name__} at {places[-1] if places else 'nowhere'}"
