"""ErrorEnvelope: every exception becomes an error that a client can read."""

import asyncio
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


async def test_unexpected_exception_is_masked_and_logged(client):
    with capture_logs() as written:
        response = await client.get("/broken", headers={"Origin": ORIGIN})

    assert response.status_code == 500
    assert extensions(response)["code"] == "INTERNAL"
    assert "Asha" not in response.text
    assert [line["event"] for line in written] == ["unexpected_exception", "request_finished"]
    assert written[0]["exc_info"] is True


async def test_domain_error_keeps_its_status_and_retry_after(client):
    response = await client.get("/away")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "2"
    assert extensions(response)["code"] == "SERVICE_UNAVAILABLE"


async def test_error_response_to_head_has_no_body(client):
    response = await client.head("/broken")

    assert response.status_code == 500
    assert response.content == b""


async def test_client_that_left_is_no_error():
    async def receive():
        return {"type": "http.disconnect"}

    with capture_logs() as written:
        status, _, _ = await raw(application(), "/graphql", receive)

    assert status is None
    assert [(line["event"], line["status"]) for line in written] == [("request_finished", None)]


async def test_cancellation_from_outside_passes_through():
    async with client_of() as client:
        task = asyncio.create_task(client.get("/stuck"))
        await client.app.state.began.wait()

        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task
        assert client.app.state.cancelled


async def test_response_that_breaks_midway_is_cut_off(caplog):
    caplog.set_level(logging.CRITICAL)

    async with serve() as address:
        answer = await exchange(address, b"GET /broken-midway HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"1\r\na\r\n")


async def test_error_before_the_body_is_answered_in_place_of_the_response(client):
    response = await client.get("/broken-before-the-body")

    assert response.status_code == 500
    assert extensions(response)["code"] == "INTERNAL"
