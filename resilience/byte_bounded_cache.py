"""LRU caches limited by bytes, for entries whose size is chosen by clients.

Similar to `cachetools.LRUCache` with `getsizeof`, but fast enough for every request.
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

# Memory that the dictionaries of the cache use for an entry.
ENTRY_OVERHEAD_BYTES = 300


class ByteBoundedCache(Generic[K, V]):
    """Keep the most recently used entries, up to `max_bytes` in total.

    `entry_bytes` returns the size of an entry. An entry above `max_entry_bytes` is not stored.
    Thread-safe: writes take a lock, reads do not need it.
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
        # Reentrant: a finalizer that logs may change this cache while the thread holds the lock.
        self._lock = RLock()

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: K) -> V:
        """Raises KeyError."""
        value = self._values[key]
        # Another thread may have removed the key since.
        with suppress(KeyError):
            self._values.move_to_end(key)
        return value

    def get(self, key: K) -> V | None:
        try:
            return self[key]
        except KeyError:
            return None

    def __setitem__(self, key: K, value: V) -> None:
        """Store a value, or measure it again if it has grown. Evicts the least recently used."""
        size = self._entry_bytes(key, value) + ENTRY_OVERHEAD_BYTES
        with self._lock:
            self.discard(key)
            if size > self.max_entry_bytes:
                return
            self._values[key], self._sizes[key] = value, size
            self.bytes += size
            while self.bytes > self.max_bytes and self._values:
                oldest, _ = self._values.popitem(last=False)
                self._subtract_size(oldest)

    def discard(self, key: K) -> None:
        with self._lock:
            if key in self._values:
                del self._values[key]
                self._subtract_size(key)

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
            self._sizes.clear()
            self.bytes = 0

    def _subtract_size(self, key: K) -> None:
        size = self._sizes.pop(key, 0)
        self.bytes -= size


def cached(
    max_bytes: int, *, max_entry_bytes: int, value_bytes: Callable[[Any], int] = getsizeof
) -> Callable[[Callable[P, V]], Callable[P, V]]:
    """Cache the results of a function of strings, bytes, numbers or tuples of them.

    Like `functools.lru_cache`, it does not cache exceptions. Results with their arguments above
    `max_entry_bytes` are computed each time.
    """

    def decorate(function: Callable[P, V]) -> Callable[P, V]:
        # Each result is stored in a tuple, since it may be None.
        results: ByteBoundedCache[Any, tuple[V]] = ByteBoundedCache(
            max_bytes,
            lambda key, result: deep_size(key) + value_bytes(result[0]),
            max_entry_bytes=max_entry_bytes,
        )

        # Read the dictionary directly, so that a hit needs as few calls as possible.
        values = results._values  # noqa: SLF001 - of the same module
        get, touch = values.get, values.move_to_end

        @wraps(function)
        def lookup(*args: P.args, **kwargs: P.kwargs) -> V:
            key: Any = (args, *kwargs.items()) if kwargs else args
            entry = get(key)
            if entry is None:
                value = function(*args, **kwargs)
                results[key] = (value,)
                return value
            # Another thread may have removed the key since.
            try:  # noqa: SIM105 - faster than suppress()
                touch(key)
            except KeyError:
                pass
            return entry[0]

        lookup.results = results  # type: ignore[attr-defined]
        return lookup

    return decorate


def deep_size(value: object) -> int:
    """Return the bytes of a value; of a tuple, with the bytes of its items."""
    size = getsizeof(value)
    return size + sum(map(deep_size, value)) if isinstance(value, tuple) else size
