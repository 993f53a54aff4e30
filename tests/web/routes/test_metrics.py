"""Access to /metrics, and its values."""

from datetime import UTC, datetime

import httpx
import pytest
from pydantic import SecretStr

from server import create_app
from tests import factories
from tests.graphql_client import UNREACHABLE_DATABASE, app_client, check_envelope, data, execute

TOKEN = "a token of the monitoring, long enough"


async def metrics(settings, client: tuple[str, int], **headers: str | bytes) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(settings, UNREACHABLE_DATABASE), client=client)
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
    [
        ("192.0.2.1", {}),
        ("127.0.0.1", {"X_Forwarded_For": "127.0.0.1"}),
        ("127.0.0.1", {"X_Forwarded_Proto": "https"}),
        ("127.0.0.1", {"X_Real_IP": "127.0.0.1"}),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}),
        ("127.0.0.1", {"Via": "1.1 proxy"}),
        ("nobody", {}),
    ],
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
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": TOKEN}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"Authorization": f"bearer {TOKEN}"}, 200),
        ({"Authorization": f"BEARER {TOKEN}"}, 200),
    ],
)
async def test_with_a_token_it_is_needed_everywhere(settings, headers, status):
    guarded = settings.model_copy(update={"metrics_token": SecretStr(TOKEN)})

    answers = [await metrics(guarded, (host, 1), **headers) for host in ("127.0.0.1", "192.0.2.1")]

    assert [answer.status_code for answer in answers] == [status, status]


@pytest.mark.parametrize("token", ["é and long enough", "a token that ends with à"])
async def test_token_that_is_not_ascii_is_sent_in_utf8(settings, token):
    guarded = settings.model_copy(update={"metrics_token": SecretStr(token)})

    right = await metrics(guarded, ("192.0.2.1", 1), Authorization=f"Bearer {token}".encode())
    wrong = await metrics(guarded, ("192.0.2.1", 1), Authorization=f"Bearer {token}é".encode())

    assert (right.status_code, wrong.status_code) == (200, 401)


def value(text: str, metric: str, /, **labels: str) -> float:
    """0 for what has not been counted."""
    wanted = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
    line = f"{metric}{{{wanted}}} " if wanted else f"{metric} "
    found = [one for one in text.splitlines() if one.startswith(line)]
    return float(found[0].removeprefix(line)) if found else 0.0


@pytest.fixture
async def measured(client):
    """Growth of the metrics since the test began."""

    async def read() -> str:
        return (await client.get("/metrics")).text

    before = await read()

    async def grown(metric: str, /, **labels: str) -> float:
        return value(await read(), metric, **labels) - value(before, metric, **labels)

    return grown


@pytest.mark.parametrize(
    ("query", "kind", "name"),
    [
        ("{ tournament { name } }", "query", "tournament"),
        ("query Anything($n: Int) { churches(first: $n) { totalCount } }", "query", "churches"),
        ("{ a: tournament { name } tournament { name } }", "query", "several"),
        ("{ ...F } fragment F on Query { tournament { name } }", "query", "several"),
        ("{ __typename }", "query", "__typename"),
        ("{ secretFieldOfAClient }", "query", "invalid"),
        ("mutation { registerTeam }", "mutation", "registerTeam"),
        ("{ tournament", "none", "invalid"),
    ],
)
async def test_operations_are_counted_by_names_of_the_schema(client, measured, query, kind, name):
    await execute(client, query)

    assert await measured("graphql_operation_seconds_count", type=kind, name=name) == 1


async def test_no_name_of_a_clients_becomes_a_label(client):
    await execute(client, "query MyOwnName { nothingOfYours }")
    await client.get("/a/path/of/mine")

    text = (await client.get("/metrics")).text

    assert "MyOwnName" not in text
    assert "nothingOfYours" not in text
    assert "/a/path" not in text


async def test_requests_and_errors_are_counted(client, measured):
    await client.get("/livez")
    await client.get("/uploads/a-capability")
    await client.get("/else")
    await execute(client, "{ nothing }")

    async def requests(route, status):
        return await measured("http_request_seconds_count", route=route, status=status)

    assert await requests("/livez", "200") == 1
    assert await requests("/uploads/", "405") == 1
    assert await requests("other", "404") == 1
    assert await requests("/graphql", "400") == 1
    assert await measured("errors_total", code="GRAPHQL_VALIDATION_FAILED") == 1
    assert await measured("errors_total", code="NOT_FOUND") == 1


DUE = """
    INSERT INTO outbox_message (id, kind, payload, created_at, due_at, dead_at) VALUES
    (gen_random_uuid(), $1, '{}', now(), now() - interval '10 minutes', $2)
"""


async def test_what_is_owed_is_counted_when_it_is_asked_for(client, sql):
    await sql.execute(DUE, "media.move", None)
    await sql.execute(DUE, "media.delete", None)
    await sql.execute(DUE, "media.delete", datetime.now(UTC))

    text = (await client.get("/metrics")).text

    assert value(text, "outbox_pending", kind="media.move") == 1
    assert value(text, "outbox_pending", kind="media.delete") == 1
    assert value(text, "outbox_dead", kind="media.delete") == 1
    assert 600 <= value(text, "outbox_late_seconds") < 700
    assert value(text, "database_connections", state="allowed") == 5
    await sql.execute("DELETE FROM outbox_message")
    text = (await client.get("/metrics")).text
    assert "media.move" not in text
    assert value(text, "outbox_late_seconds") == 0


async def test_kinds_without_handler_raise_no_alarm(client, sql):
    data(await execute(client, factories.REGISTER, {"input": factories.team(1)}))
    mails = ("team_confirmed", "changes_requested", "team_rejected", "team_withdrawn", "unknown")
    for kind in mails:
        await sql.execute(DUE, f"mail.{kind}", None)
    await sql.execute("UPDATE outbox_message SET due_at = now() - interval '10 days'")

    text = (await client.get("/metrics")).text

    counted = {kind: value(text, "outbox_unhandled", kind=f"mail.{kind}") for kind in mails}
    assert counted == dict.fromkeys(mails, 1)
    assert value(text, "outbox_unhandled", kind="mail.team_received") == 1
    assert 'outbox_pending{kind="mail' not in text
    assert value(text, "outbox_late_seconds") == 0


async def test_pool_behind_pgbouncer_is_not_reported_as_full(settings_with, database, database_url):
    settings = settings_with(database_pgbouncer=True)
    async with app_client(settings, database_url) as client:
        text = (await client.get("/metrics")).text

    assert "database_connections{" not in text


async def test_measures_are_told_while_the_database_is_away(settings):
    answer = await metrics(settings, ("127.0.0.1", 1))

    assert answer.status_code == 200
    assert b"database_connections" in answer.content
