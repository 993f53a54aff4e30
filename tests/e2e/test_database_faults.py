"""Database faults under load, with exact accounting of registrations."""

import asyncio
from contextlib import asynccontextmanager
from time import monotonic

import asyncpg
import pytest
from sqlalchemy import make_url

from tests import factories
from tests.databases import dsn
from tests.e2e.captains import Captains
from tests.e2e.rows import registered_codes
from tests.postgres_proxy import PostgresProxy
from tests.server_processes import register
from tests.standby import pair

OUTAGE_SECONDS = 5
UNAVAILABLE = ("SERVICE_UNAVAILABLE", True)


@asynccontextmanager
async def server_behind_relay(make_server, proxy, **variables):
    """Yield a server behind the proxy and a client."""
    place = make_url(proxy.url)
    url = f"postgresql://postgres@127.0.0.1:{place.port}/{place.database}?sslmode=disable"
    server = make_server(OUTBOX_IN_SERVER="false", DATABASE_URL=url, **variables)
    await server.start()
    async with server.client() as client:
        yield client
    server.clean_up()


async def seconds_until_acknowledged(captains, more):
    """Return the seconds until so many more teams are acknowledged."""
    began = monotonic()
    await captains.wait_until_acknowledged(len(captains.acknowledged) + more)
    return monotonic() - began


async def test_failover_loses_no_registration_and_ends_in_time(make_server, tmp_path):
    async with (
        pair(tmp_path) as servers,
        PostgresProxy(servers.primary_url) as proxy,
        server_behind_relay(make_server, proxy) as client,
    ):
        captains = Captains(client=client, teams=150)
        registering = asyncio.create_task(captains.register_all())
        await captains.wait_until_acknowledged(20)
        proxy.set_target(servers.standby_url)
        await servers.stop_writing()
        await captains.wait_for_refusals(8)
        unready = await client.get("/readyz")
        await servers.promote()
        outage = await seconds_until_acknowledged(captains, 16)
        await registering
        rows = await registered_codes(servers.standby_url)
        ready = await client.get("/readyz")

    assert outage < OUTAGE_SECONDS
    assert set(captains.refusals) == {UNAVAILABLE}
    assert captains.acknowledged == rows
    assert len(rows) == 150
    assert unready.status_code == 503
    assert ready.status_code == 200


@pytest.mark.parametrize("silence", ["drop_traffic", "drop_responses"])
async def test_silent_connections_lose_no_registration(make_server, own_url, silence):
    async with PostgresProxy(own_url) as proxy, server_behind_relay(make_server, proxy) as client:
        captains = Captains(client=client, teams=120)
        registering = asyncio.create_task(captains.register_all())
        outages = []
        for moment in (10, 50):
            await captains.wait_until_acknowledged(moment)
            getattr(proxy, silence)()
            outages.append(await seconds_until_acknowledged(captains, 8))
        await registering

    assert max(outages) < OUTAGE_SECONDS
    assert set(captains.refusals) <= {UNAVAILABLE}
    assert captains.acknowledged == await registered_codes(own_url)
    assert len(captains.acknowledged) == 120


async def test_single_client_behind_a_silent_proxy_waits_once(make_server, own_url):
    async with PostgresProxy(own_url) as proxy, server_behind_relay(make_server, proxy) as client:
        for number in range(5):
            await register(client, factories.team(number), f"key-of-team-{number}")
        proxy.drop_traffic()
        began = monotonic()
        answers = [
            await register(client, factories.team(number), f"key-of-team-{number}")
            for number in range(5, 25)
        ]
        outage = monotonic() - began

    assert outage < 2 * OUTAGE_SECONDS
    assert all("errors" not in answer for answer in answers)
    assert len(await registered_codes(own_url)) == 25


@pytest.mark.parametrize("at_once", [1, 20])
async def test_wait_for_a_locked_tournament_is_bounded(make_server, own_url, at_once):
    variables = {"DATABASE_LOCK_TIMEOUT_SECONDS": "1"}
    async with (
        PostgresProxy(own_url) as proxy,
        server_behind_relay(make_server, proxy, **variables) as client,
    ):
        await register(client, factories.team(100), "key-of-team-100")
        sql = await asyncpg.connect(dsn(own_url))
        async with sql.transaction():
            await sql.execute("SELECT FROM tournament FOR UPDATE")
            answers = await asyncio.gather(
                *(timed(register_whole(client, number)) for number in range(at_once))
            )
        await sql.close()
        after = [await register_whole(client, number) for number in range(at_once)]

    assert {codes_by_email(answer) for _, answer in answers} == {UNAVAILABLE}
    assert {answer.headers["Retry-After"] for _, answer in answers} <= {"1", "2"}
    # The lock timeout and a margin for a busy machine.
    assert max(seconds for seconds, _ in answers) < 1 + 2
    assert all("errors" not in answer.json() for answer in after)
    assert len(await registered_codes(own_url)) == at_once + 1


def codes_by_email(answer):
    extensions = answer.json()["errors"][0]["extensions"]
    return extensions["code"], extensions["retryable"]


async def timed(call):
    began = monotonic()
    answer = await call
    return monotonic() - began, answer


async def register_whole(client, number):
    return await client.post(
        "/graphql",
        json={"query": factories.REGISTER, "variables": {"input": factories.team(number)}},
        headers={"Idempotency-Key": f"key-of-team-{number}"},
    )
