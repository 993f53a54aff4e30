"""Databases that share a store: none deletes files of another."""

import asyncio
import os
import subprocess
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url, text

from integrations.storage.base import Folder, delete_everywhere
from persistence.embedded.binaries import INSTALLATIONS, PACKAGE
from persistence.engine.database import Database
from persistence.engine.database_identity import TAG_DIGITS, new_storage_name, storage_tag
from persistence.engine.engine import DatabaseOptions
from resolvers.operations.maintenance import diagnose
from tests.databases import dsn
from tests.document_stores import add_document, clear_orphans, create_storage_name

COPY = "copy_of_a_test"


@asynccontextmanager
async def opened(services, url: str):
    """Services on another database with the same store."""
    database = Database(DatabaseOptions(url=url))
    try:
        yield replace(services, database=database)
    finally:
        await database.close()


@pytest.fixture
async def admin(cluster):
    """A connection for creating databases; those of the test are dropped at the end."""
    connection = await asyncpg.connect(dsn(cluster.connected_url("icct26")))
    name = f"{COPY}_{connection.get_server_pid()}"
    yield connection, name
    await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await connection.execute(f'DROP ROLE IF EXISTS "{name}"')
    await connection.close()


async def empty_database(admin, name: str, template: str, _url: str) -> None:
    await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')


async def copied_by_template(admin, name: str, _template: str, url: str) -> None:
    source = make_url(url).database
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", source
    )
    await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}"')


async def restored_from_dump(admin, name: str, _template: str, url: str) -> None:
    await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    await asyncio.to_thread(dump_and_restore, dsn(url), name)


def dump_and_restore(source: str, name: str) -> None:
    target = make_url(source).set(database=name).render_as_string()
    dump = subprocess.run(
        [program("pg_dump"), "--format=custom", "--no-owner", source],
        capture_output=True,
        check=True,
    ).stdout
    restore = [program("pg_restore"), "--no-owner", "--exit-on-error", f"--dbname={target}"]
    subprocess.run(restore, input=dump, check=True)


def program(name: str) -> str:
    installation = INSTALLATIONS[os.environ.get("TEST_POSTGRES_VERSION", "18")]
    return str(Path(find_spec(PACKAGE).origin).parent / installation / "bin" / name)


COPIES = [empty_database, copied_by_template, restored_from_dump]


@pytest.fixture(params=COPIES, ids=[copy.__name__ for copy in COPIES])
def copy(request):
    return request.param


async def test_copied_database_keeps_later_files_of_the_original(
    stored_services, harness, sql, admin, copy, template, database_url
):
    connection, name = admin
    before = await add_document(sql, harness, name=await create_storage_name(stored_services))
    harness.add(f"pending/{before}")
    await sql.close()
    await copy(connection, name, template, database_url)
    url = make_url(database_url).set(database=name).render_as_string()

    async with opened(stored_services, url) as other:
        # The original stores a document that the copy has no row of.
        later, crashed = (
            await create_storage_name(stored_services),
            await create_storage_name(stored_services),
        )
        for entry in (before, later, crashed):
            harness.add(f"pending/{entry}")
            harness.make_old(f"pending/{entry}")
        (result,) = (await diagnose(other)).comparisons
        deleted = await clear_orphans(other)

        unknown = 3 if copy is empty_database else 2
        assert (result.orphans, result.foreign, deleted) == ((), unknown, 0)
        assert harness.names() == sorted(f"pending/{entry}" for entry in (before, later, crashed))


async def test_each_database_deletes_only_its_own_orphans(
    stored_services, harness, admin, copy, template, database_url
):
    connection, name = admin
    await stored_services.database.close()
    await copy(connection, name, template, database_url)
    url = make_url(database_url).set(database=name).render_as_string()

    async with (
        opened(stored_services, database_url) as first,
        opened(stored_services, url) as second,
    ):
        names = [await create_storage_name(first), await create_storage_name(second), "0" * 32]
        for entry in names:
            harness.add(f"rejected/{entry}")
            harness.make_old(f"rejected/{entry}")
        deleted = [await clear_orphans(services) for services in (first, second)]
        (result,) = (await diagnose(first)).comparisons

    assert deleted == [1, 1]
    assert (result.orphans, result.foreign) == ((), 1)
    assert harness.names() == [f"rejected/{names[-1]}"]


@pytest.mark.parametrize(
    "name", ["0" * 32, "f" * 16, "0123456789abcdef" * 4, "a" * 20, "deadbeef" * 4]
)
async def test_untagged_file_is_foreign_and_stays_with_its_document(
    stored_services, harness, sql, name
):
    harness.add(f"confirmed/{name}")
    harness.make_old(f"confirmed/{name}")
    (without_row,) = (await diagnose(stored_services)).comparisons
    deleted = await clear_orphans(stored_services)
    await add_document(sql, harness, folder="confirmed", name=name)
    (with_row,) = (await diagnose(stored_services)).comparisons

    assert (without_row.foreign, without_row.orphans, deleted) == (1, (), 0)
    assert (with_row.foreign, with_row.missing) == (0, ())
    assert await harness.store.holds(name, Folder.CONFIRMED)
    assert await delete_everywhere(harness.store, name)


async def test_user_without_access_to_the_tag_deletes_nothing(
    stored_services, harness, admin, database_url
):
    connection, name = admin
    await connection.execute(f'CREATE ROLE "{name}" LOGIN NOSUPERUSER')
    await connection.execute(f'GRANT pg_read_all_data TO "{name}"')
    url = database_url.replace("//postgres@", f"//{name}@")
    own = await create_storage_name(stored_services)
    harness.add(f"pending/{own}")
    harness.make_old(f"pending/{own}")

    async with opened(stored_services, url) as ordinary:
        tag = await ordinary.database.run(lambda uow: storage_tag(uow.session))
        (result,) = (await diagnose(ordinary)).comparisons
        assert (own[:TAG_DIGITS], result.orphans) == (tag, (own,))

        for function in ("pg_control_system()", "pg_walfile_name(pg_lsn)"):
            async with denied(function, database_url):
                assert await ordinary.database.run(lambda uow: storage_tag(uow.session)) is None
                (result,) = (await diagnose(ordinary)).comparisons
                assert (result.orphans, result.foreign) == ((), 1)
                names = {
                    await ordinary.database.run(lambda uow: new_storage_name(uow.session))
                    for _ in range(5)
                }
                assert [len(entry) for entry in names] == [32] * 5
                assert len({entry[:TAG_DIGITS] for entry in names}) == 5


@asynccontextmanager
async def denied(function: str, url: str):
    connection = await asyncpg.connect(dsn(url))
    await connection.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
    try:
        yield
    finally:
        await connection.execute(f"GRANT EXECUTE ON FUNCTION {function} TO PUBLIC")
        await connection.close()


async def test_transaction_continues_after_access_to_the_tag_is_denied(
    stored_services, admin, database_url
):
    connection, name = admin
    await connection.execute(f'CREATE ROLE "{name}" LOGIN NOSUPERUSER')

    async def work(uow):
        return await storage_tag(uow.session), await uow.session.scalar(text("SELECT 1"))

    url = database_url.replace("//postgres@", f"//{name}@")
    async with opened(stored_services, url) as other, denied("pg_control_system()", database_url):
        assert await other.database.run(work) == (None, 1)
