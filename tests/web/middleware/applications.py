"""Small applications behind the whole stack, and clients of them."""

import asyncio
import contextlib

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from domain.errors.exceptions import ServiceUnavailable
from observability.logging_setup import current_request_id
from server import middleware
from settings import Settings

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


async def broken_before_the_body(request):
    async def parts():
        raise RuntimeError("before")
        yield b""

    return StreamingResponse(parts())


async def broken_by_a_refused_body(request):
    """Fails in its own way while it reads."""
    try:
        await request.body()
    except Exception as error:
        raise ValueError from error


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
            Route("/broken-before-the-body", broken_before_the_body),
            Route("/broken-by-a-body", broken_by_a_refused_body, methods=["POST"]),
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


def extensions(response):
    assert response.headers["content-type"] == REFUSED_TYPE
    (error,) = response.json()["errors"]
    assert error["extensions"]["requestId"] == response.headers["x-request-id"]
    return error["extensions"]


async def chunks(*sizes):
    for size in sizes:
        yield b"x" * size


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


@contextlib.asynccontextmanager
async def serve(**changes):
    """The address of a real server around the application."""
    config = uvicorn.Config(
        application(**changes),
        port=0,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
    )
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    task = asyncio.create_task(server.serve(sockets=[socket]))
    while not server.started:
        await asyncio.sleep(0)
    try:
        yield socket.getsockname()[:2]
    finally:
        server.should_exit = server.force_exit = True
        await task


async def exchange(address, data):
    """Everything the server answers until it closes the connection."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(data)
    answer = await reader.read()
    writer.close()
    return answer
