"""Circuit-breaker states, in a module of their own since aiobreaker is slow to import."""

from enum import StrEnum


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
