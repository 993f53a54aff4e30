"""The whole stack around small applications, mostly without a socket."""

import asyncio
import contextlib
import json
import logging
import re

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from structlog.testing import capture_logs

from domain.errors.exceptions import ServiceUnavailable
from observability.logging_setup import current_request_id
from server import middleware
from settings import Settings
from web.middleware.request_id import new_request_id

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
ORIGIN = "https://register.example"
REFUSED_TYPE = "application/json; charset=utf-8"


async def ok(request):
    return PlainTextResponse("fine")


async def echo_id(request):
    return PlainTextResponse(current_request_id())


async def length(request):
    return PlainTextResponse(str(len(await request.body())))


async def careless(request):
    """Answers in its own way whatever goes wrong while it reads."""
    try:
        await request.body()
    except Exception:  # noqa: BLE001 - what is tried here
        return PlainTextResponse("mine", status_code=400)
    return PlainTextResponse("read")


async def broken(request):
    raise RuntimeError("no 'Asha Thomas' here")


async def away(request):
    raise ServiceUnavailable(retry_after_seconds=2)


async def broken_midway(request):
    async def parts():
        yield b"a"
        raise RuntimeError("midway")

    return StreamingResponse(parts())


async def timed_out_itself(request):
    raise TimeoutError


async def stuck(request):
    await request.body()
    request.app.state.began.set()
    try:
        await asyncio.Event().wait()
    finally:
        request.app.state.cancelled = True


async def stuck_midway(request):
    async def parts():
        yield b"a"
        await asyncio.Event().wait()

    return StreamingResponse(parts())


async def own_headers(request):
    return PlainTextResponse(
        "x", headers={"Content-Security-Policy": "default-src 'self'", "Cache-Control": "max-age=9"}
    )


def application(**changes):
    values = {
        "environment": "production",
        "cors_origins": (ORIGIN,),
        "cors_credentials": True,
        "cors_headers": ("X-App-Build",),
        "allowed_hosts": ("api.example", "*.teams.example", "127.0.0.1", "[::1]"),
        "enable_compression": True,
        "max_request_size_bytes": 2000,
        "max_json_size_bytes": 100,
        "request_timeout_seconds": 30,
        "receive_timeout_seconds": 30,
    } | changes
    app = Starlette(
        routes=[
            Route("/ok", ok),
            Route("/livez", ok),
            Route("/id", echo_id),
            Route("/graphql", length, methods=["POST"]),
            Route("/raw", length, methods=["POST"]),
            Route("/careless", careless, methods=["POST"]),
            Route("/broken", broken),
            Route("/away", away),
            Route("/broken-midway", broken_midway),
            Route("/timed-out-itself", timed_out_itself),
            Route("/stuck", stuck, methods=["GET", "POST"]),
            Route("/stuck-midway", stuck_midway),
            Route("/own-headers", own_headers),
        ],
        middleware=middleware(Settings.model_construct(**values)),
    )
    app.state.began = asyncio.Event()
    app.state.cancelled = False
    return app


@contextlib.asynccontextmanager
async def client_of(scheme="http", **changes):
    transport = httpx.ASGITransport(app=application(**changes))
    async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://api.example") as it:
        it.app = transport.app
        yield it


@pytest.fixture
async def client():
    async with client_of() as it:
        yield it


def extensions(response):
    assert response.headers["content-type"] == REFUSED_TYPE
    (error,) = response.json()["errors"]
    assert error["extensions"]["requestId"] == response.headers["x-request-id"]
    return error["extensions"]


async def chunks(*sizes):
    for size in sizes:
        yield b"x" * size


async def test_a_request_id_is_minted_and_returned(client):
    response = await client.get("/id")

    assert ULID.fullmatch(response.headers["x-request-id"])
    assert response.text == response.headers["x-request-id"]


@pytest.mark.parametrize(
    "given", ["abcdefgh", "6f1c0c52-5a0e-4c6e-9d0f-123456789012", "A.b_c-" + "d" * 122]
)
async def test_a_proper_request_id_is_accepted(client, given):
    response = await client.get("/id", headers={"X-Request-ID": given})

    assert response.text == response.headers["x-request-id"] == given


@pytest.mark.parametrize(
    "given", ["short", "d" * 129, "with space", "a@b.example", "919876543210", "icm_abcdefgh", ""]
)
async def test_an_improper_or_personal_request_id_is_replaced(client, given):
    response = await client.get("/id", headers={"X-Request-ID": given})

    assert ULID.fullmatch(response.text)


async def test_nothing_of_a_request_stays_bound(client):
    await client.get("/id")

    assert current_request_id() == ""


def test_minted_ids_are_unique_and_sort_by_time():
    ids = [new_request_id() for _ in range(1000)]

    assert len(set(ids)) == 1000
    assert [i[:10] for i in ids] == sorted(i[:10] for i in ids)


async def test_one_line_is_logged_per_request(client):
    with capture_logs() as written:
        await client.get("/ok?phone=9876543210", headers={"User-Agent": "Asha"})

    (line,) = written
    assert line.pop("response_time_ms") >= 0
    assert line == {
        "event": "request_finished",
        "log_level": "info",
        "method": "GET",
        "path": "/ok",
        "status": 200,
    }


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/uploads/secret-ticket", "/uploads/[redacted]"),
        ("/files/signed", "/files/[redacted]"),
        ("/exports/signed", "/exports/[redacted]"),
        ("/" + "a" * 900, "/" + "a" * 199),
    ],
)
async def test_paths_are_bounded_and_tickets_hidden(client, path, logged):
    with capture_logs() as written:
        await client.get(path)

    assert [line["path"] for line in written] == [logged]


@pytest.mark.parametrize("path", ["/ok", "/nowhere", "/broken"])
async def test_every_answer_has_the_security_headers(client, path):
    response = await client.get(path)

    headers = response.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "camera=()" in headers["permissions-policy"]
    assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


async def test_headers_of_the_page_itself_stay(client):
    response = await client.get("/own-headers")

    assert response.headers["content-security-policy"] == "default-src 'self'"
    assert response.headers["cache-control"] == "max-age=9"


@pytest.mark.parametrize(
    ("environment", "scheme", "strict"),
    [
        ("production", "https", True),
        ("production", "http", True),
        ("development", "https", False),
    ],
)
async def test_strict_transport_is_for_production_where_a_proxy_ends_tls(
    environment, scheme, strict
):
    async with client_of(scheme, environment=environment) as client:
        response = await client.get("/ok")

    assert ("strict-transport-security" in response.headers) is strict


@pytest.mark.parametrize("path", ["/ok", "/broken", "/away", "/nowhere"])
async def test_browsers_may_read_answers_and_errors(client, path):
    response = await client.get(path, headers={"Origin": ORIGIN})

    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["access-control-allow-credentials"] == "true"
    assert response.headers["access-control-expose-headers"] == (
        "X-Request-ID, Retry-After, RateLimit, RateLimit-Policy, Upload-Offset, Upload-Length, "
        "Content-Disposition"
    )


async def test_strange_origins_are_not_let_in(client):
    response = await client.get("/ok", headers={"Origin": "https://evil.example"})

    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD"])
async def test_a_preflight_is_answered(client, method):
    wanted = "authorization, content-range, graphql-cost, idempotency-key, x-requested-with"
    response = await client.options(
        "/graphql",
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": wanted,
        },
    )

    assert response.status_code == 204
    assert response.content == b""
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["x-content-type-options"] == "nosniff"
    assert ULID.fullmatch(response.headers["x-request-id"])


@pytest.mark.parametrize(
    "header",
    [
        "traceparent",
        "tracestate",
        "baggage",
        "sentry-trace",
        "apollographql-client-name",
        "apollographql-client-version",
        "apollo-require-preflight",
        "x-apollo-operation-name",
        "x-apollo-operation-id",
        "x-app-build",
        "traceparent, sentry-trace, baggage, content-type, x-app-build",
    ],
)
async def test_preflight_naming_a_header_of_clients_or_of_the_setting_passes(client, header):
    response = await client.options(
        "/graphql",
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": header,
        },
    )

    assert response.status_code == 204
    allowed = response.headers["access-control-allow-headers"].lower().split(", ")
    assert set(header.split(", ")) <= set(allowed)


@pytest.mark.parametrize(
    "changed",
    [
        {"Origin": "https://evil.example"},
        {"Access-Control-Request-Method": "DELETE"},
        {"Access-Control-Request-Headers": "x-other"},
    ],
)
async def test_a_refused_preflight_has_the_envelope(client, changed):
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"} | changed

    response = await client.options("/graphql", headers=headers)

    assert response.status_code == 400
    assert extensions(response)["code"] == "BAD_USER_INPUT"


async def test_an_unexpected_exception_is_masked_and_logged(client):
    with capture_logs() as written:
        response = await client.get("/broken", headers={"Origin": ORIGIN})

    assert response.status_code == 500
    assert extensions(response)["code"] == "INTERNAL"
    assert "Asha" not in response.text
    assert [line["event"] for line in written] == ["unexpected_exception", "request_finished"]
    assert written[0]["exc_info"] is True


async def test_a_domain_error_keeps_its_status_and_its_wait(client):
    response = await client.get("/away")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "2"
    assert extensions(response)["code"] == "SERVICE_UNAVAILABLE"


async def test_an_error_answer_to_head_has_no_body(client):
    response = await client.head("/broken")

    assert response.status_code == 500
    assert response.content == b""


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("api.example", 200),
        ("API.Example:8000", 200),
        ("api.example.", 200),
        ("a.teams.example", 200),
        ("[::1]:8000", 200),
        ("teams.example", 400),
        ("evil.example", 400),
        ("api.example.evil.example", 400),
        ("evil.example#api.example", 400),
        ("api.example:80:80", 400),
        ("", 400),
    ],
)
async def test_only_known_hosts_are_served(client, host, status):
    response = await client.get("/ok", headers={"Host": host})

    assert response.status_code == status
    if status == 400:
        assert extensions(response)["code"] == "BAD_USER_INPUT"
        assert "evil" not in response.text


async def test_two_hosts_are_refused(client):
    hosts = [("Host", "api.example"), ("Host", "evil.example")]

    assert (await client.get("/ok", headers=hosts)).status_code == 400


async def test_probes_may_call_by_address(client):
    assert (await client.get("/livez", headers={"Host": "10.2.3.4:8000"})).status_code == 200


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [("/graphql", 100, 200), ("/graphql", 101, 413), ("/raw", 2000, 200), ("/raw", 2001, 413)],
)
@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_are_limited_by_path(client, path, size, status, chunked):
    content = chunks(60, size - 60) if chunked else b"x" * size

    response = await client.post(path, content=content, headers={"Origin": ORIGIN})

    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == ORIGIN
    if status == 413:
        assert extensions(response)["code"] == "BODY_TOO_LARGE"


async def test_the_larger_limit_for_json_never_exceeds_the_hard_cap():
    async with client_of(max_json_size_bytes=9000) as client:
        assert (await client.post("/graphql", content=b"x" * 2001)).status_code == 413


async def test_an_application_cannot_answer_over_a_refused_body(client):
    response = await client.post("/careless", content=chunks(1500, 1500))

    assert response.status_code == 413
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize("declared", ["50000000", "9" * 5000])
async def test_a_declared_length_is_refused_before_anything_is_read(declared):
    async def receive():
        raise AssertionError("read")

    status, headers, body = await raw(
        application(), "/graphql", receive, headers=[(b"content-length", declared.encode())]
    )

    assert status == 413
    assert headers[b"connection"] == b"close"
    assert json.loads(body)["errors"][0]["extensions"]["code"] == "BODY_TOO_LARGE"


async def test_stuck_work_is_cancelled_and_answered():
    async with client_of(request_timeout_seconds=0.05) as client:
        with capture_logs() as written:
            response = await client.get("/stuck", headers={"Origin": ORIGIN})

        assert client.app.state.cancelled
    assert response.status_code == 504
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert extensions(response)["code"] == "REQUEST_TIMEOUT"
    assert [line["event"] for line in written] == ["request_timed_out", "request_finished"]


async def stalls_after(*pieces):
    """A `receive` that brings these pieces and then nothing more."""
    for piece in pieces:
        yield {"type": "http.request", "body": piece, "more_body": True}
    await asyncio.Event().wait()


@pytest.mark.parametrize("pieces", [(), (b"{", b'"query')])
async def test_a_body_that_does_not_arrive_is_the_fault_of_the_client(pieces):
    receive = stalls_after(*pieces).__anext__
    origin = (b"origin", ORIGIN.encode())

    with capture_logs() as written:
        status, headers, body = await raw(
            application(receive_timeout_seconds=0.05), "/graphql", receive, [origin]
        )

    assert status == 408
    assert headers[b"connection"] == b"close"
    assert headers[b"access-control-allow-origin"] == ORIGIN.encode()
    assert json.loads(body)["errors"][0]["extensions"]["code"] == "REQUEST_TIMEOUT"
    assert [line["event"] for line in written] == ["request_finished"]


async def test_a_body_in_small_pieces_has_no_longer_than_any_request():
    async def receive():
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"", "more_body": True}

    status, _, _ = await raw(application(request_timeout_seconds=0.05), "/graphql", receive)

    assert status == 408


async def test_work_may_take_longer_than_a_body():
    async with client_of(receive_timeout_seconds=0.01, request_timeout_seconds=0.2) as client:
        response = await client.post("/stuck", content=b"{}")

    assert response.status_code == 504


async def test_a_timeout_of_the_application_itself_is_an_unexpected_exception(client):
    response = await client.get("/timed-out-itself")

    assert response.status_code == 500
    assert extensions(response)["code"] == "INTERNAL"


async def test_a_client_that_left_is_no_error():
    async def receive():
        return {"type": "http.disconnect"}

    with capture_logs() as written:
        status, _, _ = await raw(application(), "/graphql", receive)

    assert status is None
    assert [(line["event"], line["status"]) for line in written] == [("request_finished", None)]


async def test_cancelling_from_outside_passes_through():
    async with client_of() as client:
        task = asyncio.create_task(client.get("/stuck"))
        await client.app.state.began.wait()

        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task
        assert client.app.state.cancelled


@pytest.mark.parametrize("scope_type", ["lifespan", "websocket"])
async def test_other_protocols_pass_unchanged(scope_type):
    seen = []

    async def app(scope, receive, send):
        seen.append((receive, scope))

    for layer in reversed(middleware(Settings.model_construct())):
        app = layer.cls(app, *layer.args, **layer.kwargs)
    scope = {"type": scope_type, "headers": [], "path": "/"}

    await app(scope, None, None)

    assert seen == [(None, scope)]


async def raw(app, path, receive, headers=()):
    """Status, headers and body of a POST whose messages the test sends itself."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = Request(
        {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", b"api.example"), *headers],
            "client": ("192.0.2.1", 1),
            "server": ("api.example", 80),
        }
    ).scope
    await app(scope, receive, send)
    starts = [m for m in sent if m["type"] == "http.response.start"]
    body = b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")
    if not starts:
        return None, {}, body
    return starts[0]["status"], dict(starts[0]["headers"]), body


@pytest.fixture
async def served(request):
    """The address of a real server around the application."""
    config = uvicorn.Config(
        application(**getattr(request, "param", {})),
        port=0,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
    )
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    task = asyncio.create_task(server.serve(sockets=[socket]))
    yield socket.getsockname()[:2]
    server.should_exit = True
    server.force_exit = True
    await task


async def exchange(address, data):
    """Everything the server answers until it closes the connection."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(data)
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_real_server_refuses_an_endless_body_and_closes(served):
    head = b"POST /raw HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"

    answer = await exchange(served, head + b"fa0\r\n" + b"x" * 4000 + b"\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"BODY_TOO_LARGE" in answer
    assert b"\r\nserver:" not in answer.lower()


async def test_a_real_server_cuts_a_response_that_breaks_midway(served, caplog):
    caplog.set_level(logging.CRITICAL)

    answer = await exchange(served, b"GET /broken-midway HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"1\r\na\r\n")


@pytest.mark.parametrize("served", [{"request_timeout_seconds": 0.05}], indirect=True)
async def test_a_real_server_cuts_a_response_that_gets_stuck(served, caplog):
    caplog.set_level(logging.CRITICAL)

    answer = await exchange(served, b"GET /stuck-midway HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"1\r\na\r\n")
