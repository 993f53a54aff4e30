"""Caches that hold a number of bytes, however large the entries are that clients choose.

As cachetools' LRUCache with `getsizeof`, and its decorator.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import wraps
from sys import getsizeof
from threading import RLock
from typing import Any, Generic, ParamSpec, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
P = ParamSpec("P")

# Of an entry's places in the dictionaries.
ENTRY_OVERHEAD_BYTES = 300


class ByteBoundedCache(Generic[K, V]):
    """The entries used last, up to `max_bytes` in all.

    `size_of` says how many bytes an entry takes; larger ones than `max_entry_bytes` are not kept.
    Several threads may use one: changes take turns, and reads need none.
    """

    def __init__(
        self,
        max_bytes: int,
        entry_bytes: Callable[[K, V], int],
        *,
        max_entry_bytes: int | None = None,
    ) -> None:
        self.max_bytes = max_bytes
        self.max_entry_bytes = max_bytes if max_entry_bytes is None else max_entry_bytes
        self.bytes = 0
        self._entry_bytes = entry_bytes
        self._values: OrderedDict[K, V] = OrderedDict()
        self._sizes: dict[K, int] = {}
        # Finalizers that log may change the same cache while this thread does.
        self._changing = RLock()

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: K) -> V:
        """Raises KeyError."""
        value = self._values[key]
        # Another thread may have taken it out meanwhile.
        with suppress(KeyError):
            self._values.move_to_end(key)
        return value

    def get(self, key: K) -> V | None:
        try:
            return self[key]
        except KeyError:
            return None

    def __setitem__(self, key: K, value: V) -> None:
        """Keep the value, or measure one anew that has grown; the least recently used ones go."""
        size = self._entry_bytes(key, value) + ENTRY_OVERHEAD_BYTES
        with self._changing:
            self.discard(key)
            if size > self.max_entry_bytes:
                return
            self._values[key], self._sizes[key] = value, size
            self.bytes += size
            while self.bytes > self.max_bytes and self._values:
                oldest, _ = self._values.popitem(last=False)
                self._forget_size(oldest)

    def discard(self, key: K) -> None:
        with self._changing:
            if key in self._values:
                del self._values[key]
                self._forget_size(key)

    def clear(self) -> None:
        with self._changing:
            self._values.clear()
            self._sizes.clear()
            self.bytes = 0

    def _forget_size(self, key: K) -> None:
        size = self._sizes.pop(key, 0)
        self.bytes -= size


def cached(
    max_bytes: int, *, max_entry_bytes: int, value_bytes: Callable[[Any], int] = getsizeof
) -> Callable[[Callable[P, V]], Callable[P, V]]:
    """Keep the results of a function by its arguments, which are texts, numbers and tuples of such.

    As functools' `lru_cache`: exceptions are not kept. An argument of tens of kilobytes, as a
    header can be, is computed each time.
    """

    def decorate(function: Callable[P, V]) -> Callable[P, V]:
        # In a tuple each, since a result may be None.
        results: ByteBoundedCache[Any, tuple[V]] = ByteBoundedCache(
            max_bytes,
            lambda key, result: deep_size(key) + value_bytes(result[0]),
            max_entry_bytes=max_entry_bytes,
        )

        # The two dictionaries stay the same: a hit takes as few calls as there can be.
        values = results._values  # noqa: SLF001 - its own
        get, touch = values.get, values.move_to_end

        @wraps(function)
        def lookup(*args: P.args, **kwargs: P.kwargs) -> V:
            key: Any = (args, *kwargs.items()) if kwargs else args
            kept = get(key)
            if kept is None:
                value = function(*args, **kwargs)
                results[key] = (value,)
                return value
            # Another thread may have taken it out meanwhile.
            try:  # noqa: SIM105 - a hit is to cost little
                touch(key)
            except KeyError:
                pass
            return kept[0]

        lookup.results = results  # type: ignore[attr-defined]
        return lookup

    return decorate


def deep_size(value: object) -> int:
    """Bytes of a text, a number or anything else that stands alone, and of tuples of such."""
    size = getsizeof(value)
    return size + sum(map(deep_size, value)) if isinstance(value, tuple) else size
