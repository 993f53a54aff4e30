"""Who may read /metrics."""

import httpx
import pytest
from pydantic import SecretStr

from server import create_app
from tests.asking import AWAY, check_envelope

TOKEN = "a token of the monitoring, long enough"


async def metrics(settings, client: tuple[str, int], **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(settings, AWAY), client=client)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as opened:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await opened.get("/metrics", headers=named)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_without_a_token_this_machine_may_read(settings, host):
    answer = await metrics(settings, (host, 1))

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert b"guarded_calls_total" in answer.content


@pytest.mark.parametrize(
    ("host", "headers"),
    [("192.0.2.1", {}), ("127.0.0.1", {"X_Forwarded_For": "127.0.0.1"}), ("nobody", {})],
)
async def test_without_a_token_nobody_else_may(settings, host, headers):
    answer = await metrics(settings, (host, 1), **headers)

    assert answer.status_code == 403
    check_envelope(answer.json())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer something else"}, 401),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
    ],
)
async def test_with_a_token_it_is_needed_everywhere(settings, headers, status):
    guarded = settings.model_copy(update={"metrics_token": SecretStr(TOKEN)})

    answers = [await metrics(guarded, (host, 1), **headers) for host in ("127.0.0.1", "192.0.2.1")]

    assert [answer.status_code for answer in answers] == [status, status]
