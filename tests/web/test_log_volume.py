"""However hostile a request is, it adds one short line to the log, and little beside it."""

import io
import json
import logging
import sys

import httpx
import pytest

from observability.logging_setup import configure_logging
from tests.graphql_client import UNREACHABLE_DATABASE, app_client
from tests.logging_state import restored_logging
from tests.web.middleware.applications import application

MAX_BYTES = 2_000
MAX_LINES = 3
SIGN_IN = 'signIn(input: {email: "a@example.org", password: "x"}) { expiresAt }'
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def log(monkeypatch, caplog):
    """A function that gives the lines, and their size in bytes, since it was last called."""
    caplog.set_level(logging.WARNING, "httpx")
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with restored_logging():
        configure_logging(level="INFO", environment="production")

        def read():
            logging.root.handlers[0].flush()
            text = stream.getvalue()
            stream.seek(0)
            stream.truncate()
            return [json.loads(line) for line in text.splitlines()], len(text.encode())

        yield read


@pytest.fixture
async def without_database(settings):
    async with app_client(settings, UNREACHABLE_DATABASE) as client:
        yield client


def asked(query: str, **headers: str) -> dict:
    return {
        "method": "POST",
        "url": "/graphql",
        "content": json.dumps({"query": query}),
        "headers": JSON | headers,
    }


def many(field: str, count: int) -> str:
    return " ".join(f"a{number}: {field}" for number in range(count))


HOSTILE = {
    "200 KB of query": asked("{ " + "a " * 100_000 + "}"),
    "10,000 aliases": asked(f"{{ {many('tournament { name }', 10_000)} }}"),
    "1,900 unknown fields": asked("{ " + " ".join(f"f{i}" for i in range(1_900)) + " }"),
    "10 units of work": asked(f"{{ {many('tournament { name }', 10)} }}"),
    "deep JSON": {"method": "POST", "url": "/graphql", "content": "[" * 100_000, "headers": JSON},
    "long operation name": asked("query " + "a" * 50_000 + " { tournament { name } }"),
    "long agent and id": asked("{", **{"User-Agent": "a" * 60_000, "X-Request-ID": "a" * 60_000}),
    "long bearer token": asked("{ me { email } }", Authorization="Bearer " + "a" * 60_000),
    "long trace": asked("{", traceparent="0" * 60_000, tracestate="a=b," * 10_000),
    "strange host": {"method": "GET", "url": "/livez-", "headers": {"Host": "h" * 60_000}},
    "long path": {"method": "GET", "url": "/" + "a" * 60_000},
    "path that JSON makes longer": {"method": "GET", "url": "/" + "%01%0a" * 10_000},
    "long ticket": {"method": "PUT", "url": "/uploads/" + "a" * 50_000, "content": b"x"},
    "long link": {"method": "GET", "url": "/files/" + "a" * 50_000},
    "long query string": {"method": "GET", "url": "/graphql?query=" + "a" * 50_000},
    "long method": {"method": "A" * 5_000, "url": "/livez"},
}
# Refused sign-ins are facts, each with a line; their number is limited.
SIGN_INS = asked(f"mutation {{ {many(SIGN_IN, 10)} }}")


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_request_adds_one_short_line(client, log, name):
    await client.request(**HOSTILE[name])

    lines, size = log()
    assert [line["message"] for line in lines] == ["request_finished"]
    assert size < MAX_BYTES


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_request_adds_little_while_the_database_is_away(without_database, log, name):
    await without_database.request(**HOSTILE[name])

    lines, size = log()
    assert [line["message"] for line in lines].count("request_finished") == 1
    assert len(lines) <= MAX_LINES
    assert size < MAX_BYTES


async def test_units_of_work_that_fail_alike_add_little(without_database, log):
    answer = await without_database.request(**SIGN_INS)

    lines, size = log()
    assert len(answer.json()["errors"]) == 10
    assert len(lines) <= MAX_LINES
    assert size < MAX_BYTES


async def test_refusals_by_a_limit_are_one_line_each(settings_with, database, database_url, log):
    settings = settings_with(enable_rate_limiting=True, rate_limit_queries=1)
    async with app_client(settings, database_url) as client:
        answers = [await client.request(**HOSTILE["10 units of work"]) for _ in range(20)]

    lines, size = log()
    assert {answer.status_code for answer in answers[1:]} == {429}
    assert [line["message"] for line in lines] == ["request_finished"] * 20
    assert size < 20 * MAX_BYTES


async def test_stack_is_written_in_full_once(log):
    transport = httpx.ASGITransport(application())
    async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as client:
        for _ in range(20):
            await client.get("/broken")

    lines, size = log()
    stacks = [line["exception"] for line in lines if line["message"] == "unexpected_exception"]
    assert len(stacks) == 20
    assert "Traceback" in stacks[0]
    assert all(stack.startswith("RuntimeError at ") for stack in stacks[1:])
    assert size < 20 * MAX_BYTES
