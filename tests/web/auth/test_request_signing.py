"""Requests of scripts that are signed: taken once, as they were signed, for a while."""

import asyncio
import hmac
import json
import time
from datetime import timedelta
from functools import partial
from hashlib import sha256

import pytest

from domain.auth.roles import Role
from tests.accounts import bearer_headers
from tests.graphql_client import GRAPHQL_TYPE, data, error_extensions, execute

CREATE = """mutation ($input: CreateApiTokenInput!) {
  createApiToken(input: $input) { token signingSecret apiToken { id isSigned } }
}"""
BODY = json.dumps({"query": "{ me { email } }"}).encode()
ME = {"me": {"email": "owner@example.org"}}


@pytest.fixture
async def script(client, services) -> dict:
    owner = await bearer_headers(services, Role.OWNER)
    wanted = {"name": "export", "role": "VIEWER", "isSigned": True}
    return data(await execute(client, CREATE, {"input": wanted}, **owner))["createApiToken"]


def signed(script: dict, body: bytes = BODY, *, nonce: str = "n" * 16, **changes) -> dict:
    """The headers of a request, as the documentation says they are made."""
    timestamp = str(changes.pop("timestamp", int(time.time()) + changes.pop("shift", 0)))
    target = changes.pop("target", "/graphql")
    method = changes.pop("method", "POST")
    lines = [method, target, timestamp, nonce, sha256(body).hexdigest()]
    secret = bytes.fromhex(changes.pop("secret", script["signingSecret"]))
    return {
        "Authorization": f"Bearer {script['token']}",
        "Content-Type": "application/json",
        "Accept": GRAPHQL_TYPE,
        "X-Signature-Timestamp": timestamp,
        "X-Signature-Nonce": nonce,
        "X-Signature": hmac.new(secret, "\n".join(lines).encode(), sha256).hexdigest(),
    } | {name.replace("_", "-"): value for name, value in changes.items()}


async def send(client, headers: dict, body: bytes = BODY):
    return await client.post("/graphql", content=body, headers=headers)


async def test_a_signed_request_is_taken_and_an_unsigned_one_is_not(client, script):
    assert script["apiToken"]["isSigned"] is True
    plain = {"Authorization": f"Bearer {script['token']}", "Content-Type": "application/json"}

    unsigned = await send(client, plain)
    taken = await send(client, signed(script))

    assert error_extensions(unsigned)["code"] == "UNAUTHENTICATED"
    assert data(taken) == ME


async def test_queries_in_the_address_are_signed_with_it(client, script):
    target = "/graphql?query=%7B%20me%20%7B%20email%20%7D%20%7D"
    headers = signed(script, b"", method="GET", target=target)

    assert data(await client.get(target, headers=headers)) == ME
    other = signed(script, b"", method="GET", target="/graphql", nonce="m" * 16)
    assert error_extensions(await client.get(target, headers=other))["code"] == "UNAUTHENTICATED"


async def test_a_request_is_taken_once(client, script):
    headers = signed(script)

    answers = await asyncio.gather(*(send(client, headers) for _ in range(5)))

    codes = sorted("errors" in answer.json() for answer in answers)
    assert codes == [False, True, True, True, True]
    assert data(await send(client, signed(script, nonce="another-nonce-16"))) == ME


@pytest.mark.parametrize(
    "changes",
    [
        {"shift": -301},
        {"shift": 330},
        {"timestamp": "yesterday"},
        {"nonce": "short"},
        {"nonce": "with spaces here"},
        {"target": "/else"},
        {"method": "GET"},
        {"secret": "00" * 32},
        {"X_Signature": ""},
        {"X_Signature": "zz" * 32},
        {"X_Signature_Nonce": "m" * 16},
    ],
    ids=[
        "old",
        "ahead",
        "no time",
        "short",
        "spaces",
        "path",
        "method",
        "secret",
        "empty",
        "no hex",
        "nonce",
    ],
)
async def test_what_was_not_signed_so_is_refused(client, sql, script, changes):
    answer = await send(client, signed(script, **changes))

    assert error_extensions(answer)["code"] == "UNAUTHENTICATED"
    assert await sql.fetchval("SELECT count(*) FROM request_nonce") == 0


async def test_another_body_is_not_what_was_signed(client, script):
    headers = signed(script)

    answer = await send(client, headers, BODY.replace(b"email", b"role "))

    assert error_extensions(answer)["code"] == "UNAUTHENTICATED"


async def test_a_token_that_is_not_signed_has_no_secret(client, services):
    owner = await bearer_headers(services, Role.OWNER)
    wanted = {"name": "export", "role": "VIEWER"}

    made = data(await execute(client, CREATE, {"input": wanted}, **owner))["createApiToken"]

    assert (made["signingSecret"], made["apiToken"]["isSigned"]) == (None, False)
    assert (
        data(await execute(client, "{ me { email } }", Authorization=f"Bearer {made['token']}"))
        == ME
    )


async def test_nonces_are_forgotten_when_they_can_be_of_no_use(client, services, sql, script):
    data(await send(client, signed(script)))
    now = await sql.fetchval("SELECT now()")

    def forget(uow, now):
        return uow.api_tokens.delete_expired(now=now)

    await services.database.run(partial(forget, now=now + timedelta(minutes=5)))
    kept = await sql.fetchval("SELECT count(*) FROM request_nonce")
    await services.database.run(partial(forget, now=now + timedelta(minutes=11)))

    assert kept == 1
    assert await sql.fetchval("SELECT count(*) FROM request_nonce") == 0
