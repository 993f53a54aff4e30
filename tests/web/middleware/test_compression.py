import asyncio
import contextlib
import gzip

import brotli
import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from server import middleware
from settings import Settings
from web.middleware.compression import MINIMUM_SIZE, THREAD_MINIMUM_SIZE, negotiate_encoding

DECODERS = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}
TEXT = b"a" * 5_000


async def sized(request):
    return Response(b"a" * int(request.path_params["size"]), media_type="text/plain")


async def typed(request):
    return Response(TEXT, headers={"Content-Type": request.query_params["type"]})


async def encoded(request):
    headers = {"Content-Encoding": "zstd"}
    return Response(TEXT, media_type="text/plain", headers=headers)


async def streamed(request):
    async def pieces():
        yield TEXT
        yield TEXT

    return StreamingResponse(pieces(), media_type="text/plain")


async def empty(request):
    return Response(status_code=204)


async def own_file(request):
    return FileResponse(__file__, media_type="text/plain")


@contextlib.asynccontextmanager
async def client_of(**settings):
    values = {"allowed_hosts": ("api.example",)} | settings
    app = Starlette(
        routes=[
            Route("/sized/{size}", sized),
            Route("/typed", typed),
            Route("/encoded", encoded),
            Route("/streamed", streamed),
            Route("/empty", empty),
            Route("/files/{link}", own_file),
            Route("/uploads/{ticket}", own_file),
        ],
        middleware=middleware(Settings.model_construct(**values)),
    )
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as it:
        it.headers.pop("accept-encoding")
        yield it


@pytest.fixture
async def client():
    async with client_of() as it:
        yield it


async def get(client, path, accept=None):
    """The response and its body as it was sent."""
    headers = {} if accept is None else {"Accept-Encoding": accept}
    async with client.stream("GET", path, headers=headers) as response:
        return response, b"".join([part async for part in response.aiter_raw()])


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("br", "br"),
        ("BR", "br"),
        ("gzip", "gzip"),
        ("deflate", None),
        ("", None),
        ("*", "br"),
        ("*, br;q=0", "gzip"),
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("br;q=0.8, gzip;q=0.5", "br"),
        ("gzip;q=0, br;q=0", None),
        ("br ; q=1.0", "br"),
        ("br;q=nonsense, gzip", "gzip"),
        ("br;q=2", None),
        ("identity, br;q=0.5", None),
        ("identity;q=0.5, br;q=0.5", "br"),
        ("xbr, gzipped", None),
    ],
)
def test_the_encoding_with_the_highest_weight_is_chosen(accept, encoding):
    assert negotiate_encoding(accept) == encoding


@pytest.mark.parametrize("encoding", ["br", "gzip", None])
async def test_response_names_its_encoding(client, encoding):
    response, body = await get(client, "/sized/5000", encoding)

    assert response.headers.get("content-encoding") == encoding
    assert response.headers["content-length"] == str(len(body))
    assert response.headers["vary"] == "Accept-Encoding, Origin"
    assert DECODERS[encoding](body) == TEXT


@pytest.mark.parametrize(("size", "threads"), [(5_000, 0), (THREAD_MINIMUM_SIZE, 1)])
async def test_large_response_is_compressed_in_a_thread(client, monkeypatch, size, threads):
    calls = []

    async def to_thread(function, *args):
        calls.append(function)
        return function(*args)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    response, body = await get(client, f"/sized/{size}", "br")

    assert response.headers["content-encoding"] == "br"
    assert brotli.decompress(body) == b"a" * size
    assert len(calls) == threads


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/sized/{MINIMUM_SIZE - 1}", 200),
        ("/typed?type=image/png", 200),
        ("/typed?type=application/pdf", 200),
        ("/typed?type=application/octet-stream", 200),
        ("/streamed", 200),
        ("/empty", 204),
        ("/files/link", 200),
        ("/uploads/ticket", 200),
    ],
)
async def test_incompressible_response_stays_unchanged(client, path, status):
    response, _ = await get(client, path, "br, gzip")

    assert response.status_code == status
    assert "content-encoding" not in response.headers
    assert response.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "media_type", ["application/json", "application/graphql-response+json; charset=utf-8"]
)
async def test_json_is_compressed(client, media_type):
    response, _ = await get(client, f"/typed?type={media_type.replace('+', '%2B')}", "br")

    assert response.headers["content-encoding"] == "br"


async def test_encoded_response_stays_unchanged(client):
    response, _ = await get(client, "/encoded", "br")

    assert response.headers["content-encoding"] == "zstd"


async def test_head_has_the_headers_of_get(client):
    got = await client.get("/sized/5000", headers={"Accept-Encoding": "gzip"})
    asked = await client.head("/sized/5000", headers={"Accept-Encoding": "gzip"})

    names = ("content-encoding", "content-length", "vary")
    assert [asked.headers[name] for name in names] == [got.headers[name] for name in names]


async def test_compression_can_be_switched_off():
    async with client_of(enable_compression=False) as client:
        response, body = await get(client, "/sized/5000", "br, gzip")

    assert "content-encoding" not in response.headers
    assert body == TEXT
