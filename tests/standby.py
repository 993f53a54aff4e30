"""A primary PostgreSQL server and a standby that replicates it and can be promoted."""

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from persistence.embedded.server import EmbeddedPostgres
from persistence.engine import migrate
from tests.databases import dsn

VERSION = os.environ.get("TEST_POSTGRES_VERSION", "18")
NOT_COPIED = shutil.ignore_patterns("postmaster.pid", "*.lock", "socket_folder", "server.log")
DATABASE = "icct26"


@dataclass(frozen=True, kw_only=True)
class Pair:
    primary: EmbeddedPostgres
    standby: EmbeddedPostgres

    @property
    def primary_url(self) -> str:
        return self.primary.connected_url(DATABASE)

    @property
    def standby_url(self) -> str:
        return self.standby.connected_url(DATABASE)

    async def stop_writing(self) -> None:
        """Make the primary read-only and wait until the standby has everything committed before."""
        await _execute(
            self.primary_url,
            "ALTER SYSTEM SET default_transaction_read_only = on",
            "SELECT pg_reload_conf()",
        )
        while await _value(self.primary_url, "SHOW default_transaction_read_only") != "on":
            await asyncio.sleep(0.01)
        # Sessions apply the setting between two transactions: wait for those that are open.
        now = await _value(self.primary_url, "SELECT clock_timestamp()::text")
        older_transactions = f"SELECT count(*) FROM pg_stat_activity WHERE xact_start < '{now}'"
        while await _value(self.primary_url, older_transactions):
            await asyncio.sleep(0.01)
        written_lsn = await _value(self.primary_url, "SELECT pg_current_wal_lsn()::text")
        is_replayed = f"SELECT pg_last_wal_replay_lsn() >= '{written_lsn}'"
        while not await _value(self.standby_url, is_replayed):
            await asyncio.sleep(0.01)

    async def promote(self) -> None:
        """Promote the standby and wait until it accepts writes."""
        assert await _value(self.standby_url, "SELECT pg_promote(true, 60)")
        await _execute(
            self.standby_url,
            "ALTER SYSTEM RESET default_transaction_read_only",
            "SELECT pg_reload_conf()",
        )
        while await _value(self.standby_url, "SHOW transaction_read_only") != "off":
            await asyncio.sleep(0.01)


@asynccontextmanager
async def pair(folder: Path) -> AsyncGenerator[Pair]:
    """Start both servers, with a migrated database."""
    with EmbeddedPostgres(folder / "primary", version=VERSION) as primary:
        await asyncio.to_thread(migrate.upgrade, primary.connected_url(DATABASE))
        await _copy(primary, folder)
        standby = EmbeddedPostgres(folder / "standby", version=VERSION)
        await asyncio.to_thread(standby.start)
        try:
            yield Pair(primary=primary, standby=standby)
        finally:
            await asyncio.to_thread(standby.stop)


async def _copy(primary: EmbeddedPostgres, folder: Path) -> None:
    """Make a base backup of the primary, configured as its standby."""
    source = folder / "primary" / f"postgres{VERSION}"
    target = folder / "standby" / f"postgres{VERSION}"
    connection = await asyncpg.connect(dsn(primary.connected_url(DATABASE)))
    try:
        await connection.execute("SELECT pg_backup_start('standby', true)")
        shutil.copytree(source, target, ignore=NOT_COPIED)
        label = await connection.fetchval("SELECT labelfile FROM pg_backup_stop(false)")
    finally:
        await connection.close()
    cluster = target / "cluster"
    (cluster / "backup_label").write_text(label)
    (cluster / "standby.signal").touch()
    with (cluster / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"primary_conninfo = 'host={primary.socket_dir} user=postgres'\n")
    owner = (source / "cluster").stat()
    for path in (cluster, *cluster.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn(url))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _value(url: str, query: str):
    connection = await asyncpg.connect(dsn(url))
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()
