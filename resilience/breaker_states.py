"""How a breaker can be. Apart from the breakers, whose library takes long to import."""

from enum import StrEnum


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
