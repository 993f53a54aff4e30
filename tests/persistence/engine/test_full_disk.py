"""PostgreSQL on a full disk: a small file system that the test mounts and fills."""

import asyncio
import os
import subprocess

import pytest
from sqlalchemy import text

from domain.errors.exceptions import ServiceUnavailable
from persistence.embedded.server import EmbeddedPostgres
from persistence.engine import migrate
from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from persistence.engine.errors import sqlstate
from persistence.fast.statement_pool import CompiledStatement
from tests.standby import VERSION

# Enough for initdb, the first WAL segments and the schema, and little more.
DISK_SIZE = "160m"
CHUNK_BYTES = 4096
WRITE = CompiledStatement(
    text("""
    INSERT INTO idempotency_record
    SELECT 'test', CAST(gen_random_uuid() AS text), CAST(repeat(md5(CAST(n AS text)), 60) AS bytea),
        gen_random_uuid(), now()
    FROM generate_series(1, 1000) AS n
    RETURNING key
""")
)
COUNT = CompiledStatement(text("SELECT count(*) AS rows FROM idempotency_record"))


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("NOT RUN: mounting a tmpfs needs root. Its SQLSTATEs are tested elsewhere.")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder):
    """Create a file that takes all free space. Returns its path."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"\0" * CHUNK_BYTES)
        except OSError:
            return path


def no_mapping(_error):
    return None


async def write(database):
    return len(await database.write(WRITE, {}, repeatable=True, map_error=no_mapping))


async def test_full_disk_is_unavailable_until_there_is_space(small_disk):
    with EmbeddedPostgres(small_disk / "data", version=VERSION) as postgres:
        url = postgres.connected_url("icct26")
        await asyncio.to_thread(migrate.upgrade, url)
        database = Database(DatabaseOptions(url=url))
        written = await write(database)
        filler = fill(small_disk)

        failure = None
        while failure is None:
            try:
                written += await write(database)
            except ServiceUnavailable as error:
                failure = error
        accepted = await database.accepts_writes()
        row_count = (await database.fetch(COUNT))[0]["rows"]
        filler.unlink()
        written += await write(database)

        assert sqlstate(failure.__cause__) == "53100"
        assert failure.retry_after_seconds == 2
        assert not accepted
        assert row_count == written - 1000
        assert (await database.fetch(COUNT))[0]["rows"] == written
        assert await database.accepts_writes()
        await database.close()
