"""Pauses between attempts at something that goes on failing."""


class Backoff:
    """Pauses in seconds: `first`, then twice as many each time, at most `longest`."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def next(self) -> float:
        """The pause before the next attempt."""
        pause, self._next = self._next, min(2 * self._next, self._longest)
        return pause

    def reset(self) -> None:
        """Begin anew with the first pause, after a success."""
        self._next = self._first
