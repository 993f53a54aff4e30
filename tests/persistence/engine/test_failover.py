"""A database that moves to a server that starts read-only, and old connections that go on."""

import asyncio
from functools import partial
from time import monotonic

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from domain.errors.exceptions import ServiceUnavailable
from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from persistence.engine.errors import sqlstate
from persistence.fast.statement_pool import CompiledStatement
from tests.postgres_proxy import PostgresProxy
from tests.standby import pair

SERVER = CompiledStatement(text("SELECT current_setting('cluster_name') AS server"))
WRITE = """
    INSERT INTO idempotency_record VALUES ('test', :key, '', gen_random_uuid(), now()) RETURNING key
"""
WRITE_ONE = CompiledStatement(text(WRITE))
# Written again after a commit whose answer was lost, there is one row all the same.
WRITE_AGAIN = WRITE.replace(
    "RETURNING", "ON CONFLICT (operation, key) DO UPDATE SET key = excluded.key RETURNING"
)
WRITE_ONE_AGAIN = CompiledStatement(text(WRITE_AGAIN))


@pytest.fixture
async def servers(tmp_path):
    async with pair(tmp_path) as opened:
        yield opened


def nothing(_error):
    return None


async def write_again(connection, key):
    return (await connection.execute(text(WRITE_AGAIN), {"key": key})).scalar_one()


async def write_one(database, key, statement=WRITE_ONE):
    rows = await database.write(statement, {"key": key}, repeatable=True, map_error=nothing)
    return rows[0]["key"]


async def work(connection, key):
    return (await connection.execute(text(WRITE), {"key": key})).scalar_one()


async def server(database):
    return (await database.fetch(SERVER))[0]["server"]


async def test_writes_follow_the_database_to_another_server(servers):
    async with PostgresProxy(servers.primary_url) as proxy:
        database = Database(DatabaseOptions(url=proxy.url, pool_size=6))
        try:
            acknowledged = [await write_one(database, "before")]
            acknowledged += [await database.run(lambda c: work(c, "also before"))]
            old = await server(database)
            proxy.set_target(servers.standby_url)
            await servers.stop_writing()

            causes = [await refused(write_one(database, "refused 1"))]
            causes += [await refused(database.run(lambda c: work(c, "refused 2")))]
            assert not await database.accepts_writes()
            standing = await server(database)

            await servers.promote()
            began = monotonic()
            acknowledged += [await write_one(database, "after")]
            acknowledged += [await database.run(lambda c: work(c, "also after"))]
            outage = monotonic() - began

            assert causes == ["25006", "25006"]
            # Those that only read have left the old server, too.
            assert standing != old
            assert outage < 5
            assert await stored(database) == sorted(acknowledged)
            assert await database.accepts_writes()
        finally:
            await database.close()


async def refused(call) -> str | None:
    with capture_logs() as logs, pytest.raises(ServiceUnavailable) as unavailable:
        await call
    assert unavailable.value.retry_after_seconds == 2
    assert logs[-1]["event"] == "database_unavailable"
    return sqlstate(unavailable.value.__cause__)


async def stored(database):
    async def read(connection):
        rows = await connection.execute(text("SELECT key FROM idempotency_record ORDER BY key"))
        return list(rows.scalars())

    return await database.read(read)


async def test_many_writers_lose_and_double_nothing_over_a_failover(servers):
    async with PostgresProxy(servers.primary_url) as proxy:
        database = Database(DatabaseOptions(url=proxy.url, pool_size=8, max_overflow=0))
        acknowledged, others = [], []
        stop = asyncio.Event()

        async def write_on(name):
            number = 0
            while not stop.is_set():
                key, number = f"{name} {number}", number + 1
                try:
                    if number % 2:
                        acknowledged.append(await write_one(database, key, WRITE_ONE_AGAIN))
                    else:
                        acknowledged.append(await database.run(partial(write_again, key=key)))
                except ServiceUnavailable:
                    await asyncio.sleep(0.01)
                except Exception as error:  # noqa: BLE001 - counted
                    others.append(error)

        writers = [asyncio.create_task(write_on(f"writer {n}")) for n in range(8)]
        try:
            await until(lambda: len(acknowledged) > 50)
            proxy.set_target(servers.standby_url)
            await servers.stop_writing()
            before = len(acknowledged)
            await servers.promote()
            began = monotonic()
            await until(lambda: len(acknowledged) > before + 50)
            outage = monotonic() - began
            stop.set()
            await asyncio.gather(*writers)

            assert others == []
            assert outage < 5
            assert await stored(database) == sorted(acknowledged)
        finally:
            for writer in writers:
                writer.cancel()
            await database.close()


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)
