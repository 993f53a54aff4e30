"""BodyLimit: declared and counted bodies, by path."""

import json

import pytest

from tests.web.middleware.applications import (
    ORIGIN,
    application,
    chunks,
    client_of,
    exchange,
    extensions,
    raw,
    serve,
)


@pytest.fixture
async def client():
    async with client_of() as opened:
        yield opened


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


async def test_limit_for_json_never_exceeds_the_limit_for_all_bodies():
    async with client_of(max_json_size_bytes=9000) as client:
        assert (await client.post("/graphql", content=b"x" * 2001)).status_code == 413


async def test_application_cannot_answer_a_refused_body(client):
    response = await client.post("/careless", content=chunks(1500, 1500))

    assert response.status_code == 413
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize("declared", ["50000000", "9" * 5000])
async def test_too_large_declared_length_is_refused_before_the_body_is_read(declared):
    async def receive():
        raise AssertionError("read")

    status, headers, body = await raw(
        application(), "/graphql", receive, headers=[(b"content-length", declared.encode())]
    )

    assert status == 413
    assert headers[b"connection"] == b"close"
    assert json.loads(body)["errors"][0]["extensions"]["code"] == "BODY_TOO_LARGE"


async def test_endless_body_is_refused_and_the_connection_closed():
    head = b"POST /raw HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"

    async with serve() as address:
        answer = await exchange(address, head + b"fa0\r\n" + b"x" * 4000 + b"\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"BODY_TOO_LARGE" in answer
    assert b"\r\nserver:" not in answer.lower()


async def test_error_that_a_refused_body_causes_is_not_the_answer(client):
    response = await client.post("/broken-by-a-body", content=chunks(1500, 1500))

    assert response.status_code == 413
    assert extensions(response)["code"] == "BODY_TOO_LARGE"
