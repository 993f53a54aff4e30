"""RequestId: ids that are taken, made, bound to the log and sent back."""

import re

import pytest

from observability.logging_setup import current_request_id
from tests.web.middleware.applications import client_of
from web.middleware.request_id import new_request_id

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


@pytest.fixture
async def client():
    async with client_of() as opened:
        yield opened


async def test_request_without_an_id_gets_one(client):
    response = await client.get("/id")

    assert ULID.fullmatch(response.headers["x-request-id"])
    assert response.text == response.headers["x-request-id"]


@pytest.mark.parametrize(
    "given", ["abcdefgh", "6f1c0c52-5a0e-4c6e-9d0f-123456789012", "A.b_c-" + "d" * 122]
)
async def test_valid_request_id_is_taken(client, given):
    response = await client.get("/id", headers={"X-Request-ID": given})

    assert response.text == response.headers["x-request-id"] == given


@pytest.mark.parametrize(
    "given", ["short", "d" * 129, "with space", "a@b.example", "919876543210", "icm_abcdefgh", ""]
)
async def test_invalid_or_personal_request_id_is_replaced(client, given):
    response = await client.get("/id", headers={"X-Request-ID": given})

    assert ULID.fullmatch(response.text)


async def test_log_context_ends_with_the_request(client):
    await client.get("/id")

    assert current_request_id() == ""


def test_new_ids_are_unique_and_sort_by_time():
    ids = [new_request_id() for _ in range(1000)]

    assert len(set(ids)) == 1000
    assert [i[:10] for i in ids] == sorted(i[:10] for i in ids)
