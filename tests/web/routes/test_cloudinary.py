"""Uploads through the whole application while Cloudinary is well, away and back."""

import asyncio

import pytest
from pydantic import SecretStr

from tests import sample_files
from tests.cloudinary import CloudinaryStandIn
from tests.graphql_client import app_client, data, execute
from tests.server_processes import wait_until
from tests.uploading import open_upload, put, upload, upload_offset

HEALTH = "{ health { status checks { name status latencyMs } } }"


@pytest.fixture
def stand_in():
    with CloudinaryStandIn() as running:
        yield running


@pytest.fixture
async def client(settings, database, database_url, stand_in):
    changes = {
        "cloudinary_url": SecretStr(stand_in.url),
        "outside_attempts": 1,
        "breaker_open_seconds": 1,
    }
    async with app_client(settings.model_copy(update=changes), database_url) as opened_client:
        yield opened_client


async def health(client) -> tuple[str, dict[str, str]]:
    shown = data(await execute(client, HEALTH))["health"]
    return shown["status"], {check["name"]: check["status"] for check in shown["checks"]}


async def refusals(client, tickets, content) -> list[tuple[int, str, bool]]:
    answers = [await put(client, ticket, content) for ticket in tickets]
    extensions = [answer.json()["errors"][0]["extensions"] for answer in answers]
    return [
        (answer.status_code, one["code"], one["retryable"])
        for answer, one in zip(answers, extensions, strict=True)
    ]


async def test_documents_go_to_cloudinary_when_there_is_an_account(client, stand_in, sql, settings):
    await upload(client, "PASTOR_LETTER")

    row = await sql.fetchrow("SELECT store, storage_name, folder FROM document")
    assert tuple(row) == ("cloudinary", row["storage_name"], "pending")
    assert stand_in.names == [f"pending/{row['storage_name']}"]
    assert not (settings.data_dir / "documents").exists()


async def test_an_outage_refuses_uploads_without_a_call_and_loses_none(client, stand_in, sql):
    content = sample_files.jpeg()
    tickets = [await open_upload(client, "PHOTO", content) for _ in range(8)]
    before = await health(client)
    stand_in.mood = "503"

    failing = await refusals(client, tickets[:5], content)
    calls = stand_in.total_calls
    refused = await refusals(client, tickets[5:], content)
    during = await health(client)
    standing = [await upload_offset(client, ticket) for ticket in tickets]

    unavailable = (503, "STORAGE_UNAVAILABLE", True)
    assert failing + refused == [unavailable] * 8
    assert (calls, stand_in.total_calls) == (5, 5)
    assert before == ("OK", {"database": "OK", "cloudinary": "OK"})
    assert during == ("DEGRADED", {"database": "OK", "cloudinary": "DOWN"})
    assert standing == [len(content)] * 8

    stand_in.mood = "healthy"
    finish = {"content_range": f"bytes */{len(content)}"}

    async def is_back() -> bool:
        return (await put(client, tickets[0], b"", **finish)).status_code == 201

    await wait_until(is_back, "the service recovers by itself")
    rest = await asyncio.gather(*(put(client, ticket, b"", **finish) for ticket in tickets[1:]))

    assert {answer.status_code for answer in rest} == {201}
    assert await health(client) == ("OK", {"database": "OK", "cloudinary": "OK"})
    assert await sql.fetchval("SELECT count(*) FROM document WHERE stored_at IS NOT NULL") == 8
    assert len(stand_in.assets) == 8


async def test_readiness_is_the_databases_alone(client, stand_in):
    content = sample_files.jpeg()
    stand_in.mood = "503"
    await refusals(client, [await open_upload(client, "PHOTO", content) for _ in range(5)], content)

    answer = await client.get("/readyz")

    assert (answer.status_code, answer.json()["status"]) == (200, "DEGRADED")


async def test_switching_back_leaves_the_old_documents_readable(
    settings, database, database_url, stand_in, sql
):
    account = settings.model_copy(update={"cloudinary_url": SecretStr(stand_in.url)})
    async with app_client(account, database_url) as client:
        await upload(client, "PASTOR_LETTER")
    folder = account.model_copy(update={"document_store": "folder"})
    async with app_client(folder, database_url) as client:
        await upload(client, "PASTOR_LETTER")

    stores = await sql.fetch("SELECT store FROM document ORDER BY created_at")
    assert [row["store"] for row in stores] == ["cloudinary", "folder"]
