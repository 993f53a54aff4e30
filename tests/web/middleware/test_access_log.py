"""AccessLog: one line for each request, without anything personal."""

import pytest
from structlog.testing import capture_logs

from tests.web.middleware.applications import client_of


@pytest.fixture
async def client():
    async with client_of() as opened:
        yield opened


async def test_each_request_is_logged_in_one_line(client):
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
async def test_logged_paths_are_bounded_and_hide_tickets(client, path, logged):
    with capture_logs() as written:
        await client.get(path)

    assert [line["path"] for line in written] == [logged]
