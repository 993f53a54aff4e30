"""Failover to a promoted standby while connections to the read-only primary stay open."""

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
# Leaves one row when it is repeated after a commit whose answer was lost.
UPSERT = WRITE.replace(
    "RETURNING", "ON CONFLICT (operation, key) DO UPDATE SET key = excluded.key RETURNING"
)
UPSERT_ONE = CompiledStatement(text(UPSERT))


@pytest.fixture
async def servers(tmp_path):
    async with pair(tmp_path) as servers:
        yield servers


def no_mapping(_error):
    return None


async def upsert(uow, key):
    return (await uow.session.exec(text(UPSERT), params={"key": key})).scalar_one()


async def write_one(database, key, statement=WRITE_ONE):
    rows = await database.write(statement, {"key": key}, repeatable=True, map_error=no_mapping)
    return rows[0]["key"]


async def write(uow, key):
    return (await uow.session.exec(text(WRITE), params={"key": key})).scalar_one()


async def server(database):
    return (await database.fetch(SERVER))[0]["server"]


async def test_reads_and_writes_follow_the_database_to_another_server(servers):
    async with PostgresProxy(servers.primary_url) as proxy:
        database = Database(DatabaseOptions(url=proxy.url, pool_size=6))
        try:
            acknowledged = [await write_one(database, "before")]
            acknowledged += [await database.run(lambda uow: write(uow, "also before"))]
            old = await server(database)
            proxy.set_target(servers.standby_url)
            await servers.stop_writing()

            causes = [await failure_sqlstate(write_one(database, "refused 1"))]
            causes += [await failure_sqlstate(database.run(lambda uow: write(uow, "refused 2")))]
            assert not await database.accepts_writes()
            reader = await server(database)

            await servers.promote()
            started_at = monotonic()
            acknowledged += [await write_one(database, "after")]
            acknowledged += [await database.run(lambda uow: write(uow, "also after"))]
            outage_seconds = monotonic() - started_at

            assert causes == ["25006", "25006"]
            # Connections that only read have left the old server, too.
            assert reader != old
            assert outage_seconds < 5
            assert await stored(database) == sorted(acknowledged)
            assert await database.accepts_writes()
        finally:
            await database.close()


async def failure_sqlstate(call) -> str | None:
    with capture_logs() as logs, pytest.raises(ServiceUnavailable) as raised:
        await call
    assert raised.value.retry_after_seconds == 2
    assert logs[-1]["event"] == "database_unavailable"
    return sqlstate(raised.value.__cause__)


async def stored(database):
    async def read(uow):
        rows = await uow.session.exec(text("SELECT key FROM idempotency_record ORDER BY key"))
        return list(rows.scalars())

    return await database.read(read)


async def test_failover_loses_and_duplicates_no_acknowledged_write(servers):
    async with PostgresProxy(servers.primary_url) as proxy:
        database = Database(DatabaseOptions(url=proxy.url, pool_size=8, max_overflow=0))
        acknowledged, errors = [], []
        stop = asyncio.Event()

        async def keep_writing(name):
            number = 0
            while not stop.is_set():
                key, number = f"{name} {number}", number + 1
                try:
                    if number % 2:
                        acknowledged.append(await write_one(database, key, UPSERT_ONE))
                    else:
                        acknowledged.append(await database.run(partial(upsert, key=key)))
                except ServiceUnavailable:
                    await asyncio.sleep(0.01)
                except Exception as error:  # noqa: BLE001 - counted
                    errors.append(error)

        writers = [asyncio.create_task(keep_writing(f"writer {n}")) for n in range(8)]
        try:
            await until(lambda: len(acknowledged) > 50)
            proxy.set_target(servers.standby_url)
            await servers.stop_writing()
            before = len(acknowledged)
            await servers.promote()
            started_at = monotonic()
            await until(lambda: len(acknowledged) > before + 50)
            outage_seconds = monotonic() - started_at
            stop.set()
            await asyncio.gather(*writers)

            assert errors == []
            assert outage_seconds < 5
            assert await stored(database) == sorted(acknowledged)
        finally:
            for writer in writers:
                writer.cancel()
            await database.close()


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)
