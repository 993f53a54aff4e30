"""Timeout: work and bodies that take too long."""

import asyncio
import json
import logging

import pytest
from structlog.testing import capture_logs

from tests.web.middleware.applications import (
    ORIGIN,
    application,
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


async def stalls_after(*pieces):
    """A `receive` that brings these pieces and then nothing more."""
    for piece in pieces:
        yield {"type": "http.request", "body": piece, "more_body": True}
    await asyncio.Event().wait()


async def test_request_that_takes_too_long_is_cancelled_and_answered():
    async with client_of(request_timeout_seconds=0.05) as client:
        with capture_logs() as written:
            response = await client.get("/stuck", headers={"Origin": ORIGIN})

        assert client.app.state.cancelled
    assert response.status_code == 504
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert extensions(response)["code"] == "REQUEST_TIMEOUT"
    assert [line["event"] for line in written] == ["request_timed_out", "request_finished"]


@pytest.mark.parametrize("pieces", [(), (b"{", b'"query')])
async def test_body_that_does_not_arrive_in_time_is_answered_with_408(pieces):
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


async def test_body_in_small_parts_has_no_more_time_than_any_request():
    async def receive():
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"", "more_body": True}

    status, _, _ = await raw(application(request_timeout_seconds=0.05), "/graphql", receive)

    assert status == 408


async def test_work_may_take_longer_than_the_receive_timeout():
    async with client_of(receive_timeout_seconds=0.01, request_timeout_seconds=0.2) as client:
        response = await client.post("/stuck", content=b"{}")

    assert response.status_code == 504


async def test_timeout_error_of_the_application_is_an_unexpected_exception(client):
    response = await client.get("/timed-out-itself")

    assert response.status_code == 500
    assert extensions(response)["code"] == "INTERNAL"


async def test_response_that_gets_stuck_is_cut_off(caplog):
    caplog.set_level(logging.CRITICAL)

    async with serve(request_timeout_seconds=0.05) as address:
        answer = await exchange(address, b"GET /stuck-midway HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"1\r\na\r\n")
