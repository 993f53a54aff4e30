"""Eviction, size limits and thread safety of byte-bounded caches."""

import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from resilience.byte_bounded_cache import ENTRY_OVERHEAD_BYTES, ByteBoundedCache, cached, deep_size


def make_cache(capacity: int, **changes) -> ByteBoundedCache:
    """Return a cache with room for `capacity` entries of 1,000 bytes."""
    return ByteBoundedCache(
        capacity * (1_000 + ENTRY_OVERHEAD_BYTES), lambda _key, value: len(value), **changes
    )


def test_least_recently_used_entry_is_evicted_first():
    cache = make_cache(3)
    for key in "abc":
        cache[key] = b"x" * 1_000

    assert cache["a"]
    cache["d"] = b"x" * 1_000

    assert [key for key in "abcd" if cache.get(key)] == ["a", "c", "d"]
    assert cache.bytes == cache.max_bytes
    assert len(cache) == 3


def test_large_entry_evicts_several():
    cache = make_cache(4)
    for key in "abcd":
        cache[key] = b"x" * 1_000

    cache["e"] = b"x" * 3_000

    assert [key for key in "abcde" if cache.get(key)] == ["d", "e"]


@pytest.mark.parametrize("size", [2_001, 4_001, 10**6])
def test_too_large_entry_is_not_stored_and_evicts_nothing(size):
    cache = make_cache(3, max_entry_bytes=2_000 + ENTRY_OVERHEAD_BYTES)
    cache["a"] = b"x" * 1_000

    cache["b"] = b"x" * size

    assert (cache.get("a"), cache.get("b")) == (b"x" * 1_000, None)


def test_grown_entry_is_measured_again():
    cache = make_cache(3)
    value = bytearray(1_000)
    cache["a"], cache["b"] = value, b"x" * 1_000

    value.extend(bytes(1_500))
    cache["a"] = value

    assert cache.get("b") is None
    assert cache.bytes == 2_500 + ENTRY_OVERHEAD_BYTES


def test_none_can_be_stored_and_entries_discarded():
    cache = ByteBoundedCache(10_000, lambda _key, _value: 10)
    cache["a"] = cache["b"] = None

    cache.discard("a")
    cache.discard("never there")

    assert (len(cache), cache.bytes) == (1, 10 + ENTRY_OVERHEAD_BYTES)
    with pytest.raises(KeyError):
        cache["a"]
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)


def test_cached_function_is_called_once_for_each_short_argument():
    calls = []

    @cached(10_000, max_entry_bytes=1_000)
    def length(text: str, *, twice: bool = False) -> int | None:
        calls.append(text)
        return len(text) * (2 if twice else 1) or None

    assert [length("ab"), length("ab"), length("ab", twice=True)] == [2, 2, 4]
    assert [length(""), length("")] == [None, None]
    assert [length("x" * 2_000), length("x" * 2_000)] == [2_000, 2_000]
    assert calls == ["ab", "ab", "", "x" * 2_000, "x" * 2_000]


def test_exception_is_not_cached():
    calls = []

    @cached(10_000, max_entry_bytes=1_000)
    def fail(text: str) -> None:
        calls.append(text)
        raise ValueError(text)

    for _ in range(2):
        with pytest.raises(ValueError, match="a"):
            fail("a")

    assert calls == ["a", "a"]


def test_counted_bytes_cover_the_memory_used():
    @cached(100_000, max_entry_bytes=2_000)
    def same(values: tuple[bytes, ...]) -> bool:
        return bool(values)

    same((b"warm",))
    tracemalloc.start()
    for number in range(3_000):
        same((b"%d" % number * 20, b"x"))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert same.results.bytes <= 100_000
    assert taken < 120_000
    assert deep_size((b"ab", ("c", 1))) > deep_size((b"ab",))


@pytest.fixture
def frequent_thread_switches():
    """Switch threads as often as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def in_four_threads(work):
    with ThreadPoolExecutor(4) as threads:
        for result in [threads.submit(work, number) for number in range(4)]:
            result.result()


@pytest.mark.parametrize("capacity", [1, 2, 5, 12, 100])
def test_cached_function_is_thread_safe(frequent_thread_switches, capacity):
    @cached(capacity * (ENTRY_OVERHEAD_BYTES + 200), max_entry_bytes=1_000)
    def double(text: str) -> str:
        return text * 2

    def work(seed):
        random = Random(seed)
        for _ in range(3_000):
            text = str(random.randrange(12))
            assert double(text) == text * 2

    in_four_threads(work)

    results = double.results
    assert results.bytes == sum(results._sizes.values()) <= results.max_bytes
    assert set(results._sizes) == set(results._values)


@pytest.mark.parametrize("capacity", [1, 2, 5, 12])
def test_cache_is_thread_safe(frequent_thread_switches, capacity):
    cache = make_cache(capacity)

    def work(seed):
        random = Random(seed)
        for _ in range(1_000):
            key = random.randrange(12)
            cache[key] = bytes(1_000)
            assert cache.get(random.randrange(12)) in {None, bytes(1_000)}
            cache.discard(random.randrange(12))

    in_four_threads(work)

    assert cache.bytes == len(cache) * (1_000 + ENTRY_OVERHEAD_BYTES) <= cache.max_bytes
