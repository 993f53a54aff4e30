"""Memory after a client sent what differs each time: refused documents, headers, addresses."""

import asyncio
import gc
import tracemalloc
from collections.abc import Callable

import httpx
import pytest

from schema.limits.complexity import Limit
from schema.limits.document_cache import MAX_PENDING_BYTES, MAX_SYNTAX_ERRORS_BYTES
from schema.limits.query_limits import LIMITS, document_cache
from tests.graphql_client import app_client
from web.auth import client_ip
from web.graphql import negotiation, request
from web.headers import HEADER_CACHE_BYTES
from web.middleware import compression
from web.rate_limiting.memory import MAX_WINDOWS, WindowStore
from web.server import protocol

DOCUMENTS_MAX_MB = 4.0
HEADERS_MAX_MB = 1.0
LONG = LIMITS[Limit.CHARACTERS] - 100


def address(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


# Each takes a number, and is another document for each.
DOCUMENTS: dict[str, Callable[[int], str]] = {
    "unknown fields": lambda n: "{ " + " ".join(f"f{n}x{i:022}" for i in range(1_500)) + " }",
    "comments": lambda n: f"#{n}\n" + "#\n" * 24_000 + "{ nothing }",
    "operations": lambda n: f"# {n:<30000}\n"
    + " ".join(f"query q{i}{{health}}" for i in range(390)),
    "not one operation": lambda n: f"# {n:<45000}\n"
    "query A { health { status } } query B { me { id } }",
    "a long name": lambda n: "{ " + f"a{n}".ljust(LONG - 4, "a") + " }",
    "a long text": lambda n: '{ churches(search: "'
    + f"{n}".ljust(LONG - 60, "x")
    + '", no: 1) { totalCount } }',
    "variables": lambda n: "query("
    + " ".join(f"$v{n}x{i:06}: Int" for i in range(199))
    + ") { health { status } }",
    "too costly": lambda n: f"# {n:<40000}\n{{ "
    + " ".join(f"a{i}: churches(first: 100) {{ nodes {{ id name isFull }} }}" for i in range(9))
    + " }",
    "the schema": lambda n: f"# {n:<45000}\n"
    "{ __schema { types { name fields { name } } } }",
    "no document": lambda n: f"{n} ".ljust(LONG, "{"),
}  # fmt: skip

HEADERS: dict[str, Callable[[int], dict[str, str]]] = {
    "Accept": lambda n: {"Accept": f"application/json;n={n}," + "x" * 7_000},
    "Accept, short": lambda n: {"Accept": f"application/json, a/{n}"},
    "Accept-Encoding": lambda n: {"Accept-Encoding": f"br, {n}" + "x" * 7_000},
    "Content-Type": lambda n: {"Content-Type": f"application/json; n={n}" + "x" * 7_000},
    "Content-Encoding": lambda n: {"Content-Encoding": f"{n}" + "x" * 7_000},
    "Host": lambda n: {"Host": f"n{n}" + "x" * 7_000},
    "Host, short": lambda n: {"Host": f"n{n}.example"},
    "X-Forwarded-For": lambda n: {"X-Forwarded-For": f"{'z' * 7_000}, {address(n)}"},
    "X-Forwarded-For, short": lambda n: {"X-Forwarded-For": address(n)},
    "Authorization": lambda n: {"Authorization": f"Bearer ics_{n:043}"},
    "Cookie": lambda n: {"Cookie": f"__Host-icct26=ics_{n:043}; a=" + "x" * 7_000},
    "Idempotency-Key": lambda n: {"Idempotency-Key": f"key-{n:0200}"},
    "X-Request-ID": lambda n: {"X-Request-ID": f"request-{n:0100}"},
    "Origin": lambda n: {"Origin": f"https://n{n}.example"},
    "traceparent": lambda n: {"traceparent": f"00-{n:032x}-{n + 1:016x}-01"},
}  # fmt: skip


@pytest.fixture
async def client(settings_with, database, database_url):
    settings = settings_with(trusted_proxies="127.0.0.1", anonymous_introspection=False)
    async with app_client(settings, database_url) as opened:
        yield opened


async def send(client: httpx.AsyncClient, query: str, headers: dict[str, str]) -> int:
    given = {"Content-Type": "application/json", **headers}
    return (await client.post("/graphql", json={"query": query}, headers=given)).status_code


async def added_mb(send_all: Callable[[], object]) -> float:
    """Megabytes that Python holds more after the second time than after the first."""
    await send_all()
    gc.collect()
    tracemalloc.start()
    await send_all()
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return taken / 2**20


# Of each kind. A hundred documents of 50 KB are many times the room of the cache.
COUNTS = [4, pytest.param(100, marks=pytest.mark.slow)]


@pytest.mark.parametrize("count", COUNTS)
async def test_refused_documents_take_little_memory(client, count):
    document_cache.clear()
    numbers = iter(range(10**9))

    async def send_all() -> None:
        for make in DOCUMENTS.values():
            for _ in range(count):
                await send(client, make(next(numbers)), {})

    taken = await added_mb(send_all)

    assert taken < DOCUMENTS_MAX_MB
    assert document_cache.bytes <= MAX_PENDING_BYTES + MAX_SYNTAX_ERRORS_BYTES


async def test_document_that_ran_outlives_refused_ones(client):
    query = "{ health { status } tournament { name } }"
    assert await send(client, query, {}) == 200
    known = document_cache.find(query)

    for make in DOCUMENTS.values():
        for number in range(3):
            await send(client, make(number), {})

    assert document_cache.find(query) is known is not None


@pytest.mark.parametrize("count", [15, pytest.param(20_000 // 15, marks=pytest.mark.slow)])
async def test_headers_that_differ_take_little_memory(client, count):
    numbers = iter(range(10**9))

    async def send_all() -> None:
        for make in HEADERS.values():
            for _ in range(count):
                await send(client, "{ health { status } }", make(next(numbers)))

    assert await added_mb(send_all) < HEADERS_MAX_MB


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (negotiation._negotiate, lambda n, pad: ((f"application/json;n={n}{pad}".encode(),),)),
        (request._require_json, lambda n, pad: (f"application/json;n={n}{pad}", "identity")),
        (compression.negotiate_encoding, lambda n, pad: (f"br, {n}{pad}",)),
        (protocol._split, lambda n, pad: (f"/a{n}?{pad}".encode(),)),
        (client_ip._client, lambda n, pad: (f"10.0.0.{n % 250}", (f"{n}{pad}".encode(),), ())),
    ],
)
@pytest.mark.parametrize("length", [0, 100, 1_000, 30_000])
def test_cache_of_headers_is_bounded_in_bytes(function, arguments, length):
    for number in range(20_000 if length < 1_000 else 2_000):
        function(*arguments(number, "x" * length))

    most = client_ip.CLIENTS_MAX_BYTES if function is client_ip._client else HEADER_CACHE_BYTES
    assert function.results.bytes <= most
    assert (len(function.results) > 0) or length == 30_000


def test_windows_of_rate_limits_are_bounded():
    memory = WindowStore()

    for number in range(2 * MAX_WINDOWS):
        memory.take(("query", f"10.{number}"), 300, 60, 0.0)
        if number % 1_000 == 0:
            memory.take(("query", "busy"), 300, 60, 0.0)

    assert len(memory.windows) <= MAX_WINDOWS
    assert len(memory.windows["query", "busy"]) == 2 * MAX_WINDOWS // 1_000


async def test_requests_at_once_share_what_is_on_its_way(client):
    document_cache.clear()
    queries = [f"{{ health {{ status }} a{n}: __typename }}" for n in range(50)]

    answers = await asyncio.gather(*(send(client, query, {}) for query in queries * 2))

    assert set(answers) == {200}
