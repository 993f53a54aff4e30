"""The stack is an ordinary one: middleware of others works anywhere in it, ours can be left out."""

import asyncio
import contextlib
import uuid

import httpx
import pytest
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.httpsredirect import HTTPSRedirectMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from structlog.testing import capture_logs

from domain.auth.roles import Role
from server import create_app
from tests.accounts import bearer_headers
from tests.graphql_client import data, execute
from tests.sample_files import jpeg
from tests.uploading import open_upload, put
from tests.web.routes.test_exports import link
from web.middleware.access_log import AccessLog
from web.middleware.body_limit import BodyLimit
from web.middleware.compression import Compression
from web.middleware.cors import CORS
from web.middleware.error_envelope import ErrorEnvelope
from web.middleware.rate_limit import RateLimit
from web.middleware.request_id import RequestId
from web.middleware.security_headers import SecurityHeaders
from web.middleware.timeout import Timeout
from web.middleware.trusted_host import TrustedHost

NAME = "{ tournament { name } }"
ORIGIN = "https://register.example"
STACK = [
    RequestId,
    AccessLog,
    SecurityHeaders,
    CORS,
    Compression,
    ErrorEnvelope,
    RateLimit,
    TrustedHost,
    BodyLimit,
    Timeout,
]
POSITIONS = {"top": 0, "middle": STACK.index(ErrorEnvelope), "bottom": len(STACK)}


class CorrelationId:
    """As `asgi-correlation-id`: takes an id from the request or makes one, and sends it back."""

    def __init__(self, app, *, header="x-correlation-id"):
        self.app = app
        self.header = header.encode()

    async def __call__(self, scope, receive, send):
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        value = dict(scope["headers"]).get(self.header) or uuid.uuid4().hex.encode()

        async def send_with_id(message):
            if message["type"] == "http.response.start":
                message["headers"].append((self.header, value))
            await send(message)

        await self.app(scope, receive, send_with_id)


class Marked(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.headers["X-Marked"] = request.method
        return response


async def broken(_request):
    raise RuntimeError


async def length(request):
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
def stacked(settings_with, database, database_url):
    """Opens a client of the whole application, whose list of middleware `change` may change."""

    @contextlib.asynccontextmanager
    async def open_client(change=lambda _: None, **settings):
        values = {
            "enable_rate_limiting": True,
            "cors_origins": (ORIGIN,),
            "allowed_hosts": ("localhost",),
        }
        app = create_app(settings_with(**(values | settings)), database_url)
        app.router.routes += [
            Route("/broken", broken),
            Route("/length", length, methods=["POST"]),
        ]
        change(app.user_middleware)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            yield client

    return open_client


def insert(cls, position, *args, **kwargs):
    layer = Middleware(cls, *args, **kwargs)
    return lambda stack: stack.insert(POSITIONS[position], layer)


async def responses(client, services) -> dict[str, httpx.Response]:
    """A response of each kind: operations, transfers of files and errors."""
    reviewer = await bearer_headers(services, Role.REVIEWER)
    photo = jpeg()
    ticket = await open_upload(client, "PHOTO", photo)
    headers = {"Content-Type": "application/json"}
    return {
        "operation": await execute(client, NAME),
        "HEAD of an upload": await client.head(ticket.url),
        "upload": await put(client, ticket, photo),
        "export": await client.get(await link(client, reviewer)),
        "wrong ticket": await client.put("/uploads/wrong", content=b"x"),
        "wrong link": await client.get("/exports/wrong"),
        "broken JSON": await client.post("/graphql", content=b"{", headers=headers),
        "field that does not exist": await execute(client, "{ nothing }"),
        "path that does not exist": await client.get("/nothing"),
        "other method": await client.delete("/errors"),
    }


STATUSES = {
    "operation": 200,
    "HEAD of an upload": 200,
    "upload": 201,
    "export": 200,
    "wrong ticket": 404,
    "wrong link": 404,
    "broken JSON": 400,
    "field that does not exist": 400,
    "path that does not exist": 404,
    "other method": 405,
}


@pytest.mark.parametrize("position", POSITIONS)
async def test_pure_asgi_middleware_sees_every_response(stacked, services, position):
    async with stacked(insert(CorrelationId, position)) as client:
        client.headers["X-Correlation-ID"] = "mine"
        answers = await responses(client, services)

    assert {name: answer.status_code for name, answer in answers.items()} == STATUSES
    for name, answer in answers.items():
        assert answer.headers.get_list("x-correlation-id") == ["mine"], name
        assert answer.headers["x-request-id"], name
        assert answer.headers["x-content-type-options"] == "nosniff", name


@pytest.mark.parametrize("position", POSITIONS)
async def test_starlettes_base_middleware_sees_every_response(stacked, services, position):
    async with stacked(insert(Marked, position)) as client:
        answers = await responses(client, services)

    assert {name: answer.status_code for name, answer in answers.items()} == STATUSES
    assert all("x-marked" in answer.headers for answer in answers.values())


@pytest.mark.parametrize("position", ["top", "middle"])
async def test_middleware_outside_the_error_envelope_sees_what_inner_layers_refuse(
    stacked, position
):
    async with stacked(insert(CorrelationId, position)) as client:
        answers = [
            await client.get("/errors", headers={"Host": "other.example"}),
            await client.post("/graphql", content=b"x" * 2_000_000),
            await client.get("/broken"),
        ]

    assert [answer.status_code for answer in answers] == [400, 413, 500]
    assert all("errors" in answer.json() for answer in answers)
    assert all("x-correlation-id" in answer.headers for answer in answers)


@pytest.mark.parametrize("position", POSITIONS)
async def test_starlettes_gzip_compresses_every_response(stacked, services, position):
    def replace(stack):
        insert(GZipMiddleware, position, minimum_size=1)(stack)
        stack[:] = [layer for layer in stack if layer.cls is not Compression]

    async with stacked(replace) as client:
        client.headers["Accept-Encoding"] = "gzip"
        answers = await responses(client, services)

    del answers["HEAD of an upload"]
    for name, answer in answers.items():
        assert answer.headers["content-encoding"] == "gzip", name
        assert answer.status_code == STATUSES[name], name


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("path", ["/graphql", "/uploads/x", "/exports/x", "/nothing"])
async def test_starlettes_redirect_answers_in_place_of_the_application(stacked, position, path):
    async with stacked(insert(HTTPSRedirectMiddleware, position)) as client:
        answer = await client.get(path)

    assert answer.status_code == 307
    assert answer.headers["location"] == f"https://localhost{path}"


async def has_request_id(client):
    return "x-request-id" in (await client.get("/errors")).headers


async def is_logged(client):
    with capture_logs() as lines:
        await client.get("/errors")
    return [line["event"] for line in lines] == ["request_finished"]


async def has_security_headers(client):
    return "x-content-type-options" in (await client.get("/errors")).headers


async def has_cors_headers(client):
    answer = await client.get("/errors", headers={"Origin": ORIGIN})
    return answer.headers.get("access-control-allow-origin") == ORIGIN


async def is_compressed(client):
    answer = await client.get("/errors", headers={"Accept-Encoding": "br"})
    return answer.headers.get("content-encoding") == "br"


async def has_envelope(client):
    answer = await client.get("/broken")
    assert answer.status_code == 500
    return "errors" in answer.text


async def refuses_hosts(client):
    return (await client.get("/errors", headers={"Host": "other.example"})).status_code != 200


async def refuses_bodies(client):
    return (await client.post("/length", content=b"x" * 200)).status_code != 200


async def endless_body():
    yield b"x"
    await asyncio.Event().wait()


async def ends_in_time(client):
    try:
        async with asyncio.timeout(1):
            return (await client.post("/length", content=endless_body())).status_code != 200
    except TimeoutError:
        return False


async def is_limited(client):
    statuses = [(await client.get("/errors")).status_code for _ in range(200)]
    return set(statuses[:1] + statuses[-1:]) != {200}


# Of each layer, the effect that is seen from outside. The rate limit comes last: it uses itself up.
EFFECTS = {
    RequestId: has_request_id,
    AccessLog: is_logged,
    SecurityHeaders: has_security_headers,
    CORS: has_cors_headers,
    Compression: is_compressed,
    ErrorEnvelope: has_envelope,
    TrustedHost: refuses_hosts,
    BodyLimit: refuses_bodies,
    Timeout: ends_in_time,
    RateLimit: is_limited,
}


@pytest.mark.parametrize("left_out", [None, *STACK])
async def test_each_layer_can_be_left_out_and_the_others_work(stacked, left_out):
    def leave_out(stack):
        assert [layer.cls for layer in stack] == STACK
        stack[:] = [layer for layer in stack if layer.cls is not left_out]
        for layer in stack:
            if layer.cls is Timeout:
                layer.kwargs["receive_seconds"] = 0.1
            if layer.cls is BodyLimit:
                layer.kwargs["max_bytes_below"] = {"/length": 100}

    async with stacked(leave_out, rate_limit_all=20) as client:
        assert data(await execute(client, NAME))["tournament"]["name"]
        effects = {layer: await is_seen(client) for layer, is_seen in EFFECTS.items()}

    assert effects == {layer: layer is not left_out for layer in STACK}


async def test_graphql_answers_without_any_middleware(stacked, services):
    async with stacked(list.clear) as client:
        answers = await responses(client, services)

    assert {name: answer.status_code for name, answer in answers.items()} == STATUSES
    assert data(answers["operation"])["tournament"]["name"]


@pytest.mark.parametrize("scope_type", ["lifespan", "websocket"])
@pytest.mark.parametrize("cls", STACK)
async def test_other_protocols_pass_unchanged(cls, scope_type):
    options = {
        SecurityHeaders: {"hsts": True},
        CORS: {"origins": (), "credentials": False},
        ErrorEnvelope: {"max_unread_bytes": 1},
        RateLimit: {"limiter": None},
        TrustedHost: {"allowed_hosts": ()},
        BodyLimit: {"max_bytes": 0, "max_bytes_below": {}},
        Timeout: {"seconds": 1, "receive_seconds": 1},
    }
    seen = []

    async def app(scope, receive, send):
        seen.append((scope, receive, send))

    scope = {"type": scope_type, "headers": [], "path": "/"}
    await cls(app, **options.get(cls, {}))(scope, "receive", "send")

    assert seen == [(scope, "receive", "send")]
