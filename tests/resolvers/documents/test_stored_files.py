"""Files of a store and rows of documents that differ, in both stores."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from domain.auth.roles import Role
from domain.teams.status import TeamStatus
from integrations.storage.base import Folder
from persistence.repositories import outbox
from resolvers.documents.jobs import FOLDER_BY_STATUS, HANDLERS, enqueue_move, move_files
from resolvers.documents.stored_files import (
    MAX_MISSING,
    MAX_ORPHANS,
    clean_up,
    clean_up_all,
    compare,
    repair,
    repair_all,
)
from resolvers.operations.maintenance import diagnose, prune, run_maintenance
from resolvers.operations.outbox import DEFAULT_RETRY_POLICY, deliver_due
from resolvers.registration.register import register_team
from resolvers.teams.erasure import erase_team
from tests import factories
from tests.accounts import new_caller
from tests.document_stores import FolderHarness, add_document, clear_orphans, create_storage_name


async def registered(services) -> str:
    """The id of a team without documents."""
    stored = await register_team(services, factories.form(), key=None, request_id="request")
    return stored.team.id.hex


@pytest.mark.parametrize("folder", list(Folder))
async def test_server_leaves_old_file_without_document_and_logs_it(kept, store, folder, clock):
    store.add(name := f"{folder}/{await create_storage_name(kept)}")
    store.make_old(name)

    with capture_logs() as events:
        for _ in range(3):
            await run_maintenance(kept)
            clock.advance(hours=1)

    told = [entry for entry in events if entry["event"] == "stored_files_differed"]
    assert [(entry["store"], entry["orphans"]) for entry in told] == [(store.media.name, 1)] * 3
    assert store.names() == [name]


async def test_server_leaves_second_copies(kept, store, sql):
    name = await add_document(sql, store, folder="confirmed")
    names = [f"{folder}/{name}" for folder in Folder]
    for entry in names:
        store.add(entry)
        store.make_old(entry)

    await run_maintenance(kept)

    assert store.names() == sorted(names)


@pytest.mark.parametrize(
    ("documents", "orphans", "is_deleted"),
    [
        (0, MAX_ORPHANS, True),
        (0, MAX_ORPHANS + 1, False),
        (100, MAX_ORPHANS + 1, False),
        (188, MAX_ORPHANS + 1, False),
        (189, MAX_ORPHANS + 1, True),
        (30, 60, False),
    ],
)
async def test_more_orphans_than_a_tenth_stay_unless_forced(
    services, sql, documents, orphans, is_deleted
):
    store = FolderHarness(services.storage.primary_store)
    for _ in range(documents):
        store.add(f"pending/{await add_document(sql, store)}")
    for _ in range(orphans):
        name = f"rejected/{await create_storage_name(services)}"
        store.add(name)
        store.make_old(name)
    store.add(foreign := f"pending/{uuid4().hex}")
    store.make_old(foreign)

    (entry,) = await clean_up_all(services)
    left = len(store.names())
    forced = await clear_orphans(services, is_forced=True)

    deleted = orphans if is_deleted else 0
    assert (entry.deleted, entry.left) == (deleted, orphans - deleted)
    assert (entry.store, entry.own) == ("folder", documents + orphans)
    assert left == documents + 1 + orphans - deleted
    assert forced == orphans - deleted
    assert len(store.names()) == documents + 1
    assert foreign in store.names()


@pytest.mark.parametrize("folder", list(Folder))
async def test_old_file_without_document_is_reported_and_deleted(kept, store, folder):
    orphan, young = await create_storage_name(kept), await create_storage_name(kept)
    for name in (orphan, young):
        store.add(f"{folder}/{name}")
    store.make_old(f"{folder}/{orphan}")

    (found,) = (await diagnose(kept)).comparisons
    gone = [await clear_orphans(kept) for _ in range(2)]

    assert (found.store, found.orphans) == (store.media.name, (orphan,))
    assert gone == [1, 0]
    assert store.names() == [f"{folder}/{young}"]


async def test_files_with_other_names_are_left_alone(kept, store):
    names = ["pending/notes.txt", "pending/ABC", "confirmed/0123", "elsewhere/" + "0" * 32]
    for name in names:
        store.add(name)
        store.make_old(name)

    assert await clear_orphans(kept) == 0
    assert store.names() == sorted(names)


async def test_file_with_document_is_kept_whatever_its_age(kept, store, sql):
    name = await add_document(sql, store)
    store.add(f"pending/{name}")
    store.make_old(f"pending/{name}")
    await sql.execute("UPDATE document SET stored_at = NULL")

    found = await compare(kept, store.media)

    assert (found.orphans, found.misplaced, found.duplicates, found.missing) == ((), (), (), ())
    assert await clear_orphans(kept) == 0
    assert store.names() == [f"pending/{name}"]


async def test_file_of_expired_document_is_deleted(kept, store, sql):
    name = await add_document(sql, store, name=await create_storage_name(kept))
    store.add(f"rejected/{name}")
    store.make_old(f"rejected/{name}")
    await sql.execute("UPDATE document SET deleted_at = now()")

    assert await clear_orphans(kept) == 1
    assert store.names() == []


async def test_document_of_another_store_does_not_keep_a_file(kept, store, sql):
    name = await add_document(sql, store, name=await create_storage_name(kept))
    store.add(f"pending/{name}")
    store.make_old(f"pending/{name}")
    await sql.execute("UPDATE document SET store = 'another'")

    assert await clear_orphans(kept) == 1
    assert store.names() == []


async def test_missing_file_is_reported_and_its_document_stays(kept, store, sql):
    lost, there = await add_document(sql, store), await add_document(sql, store)
    store.add(f"pending/{there}")

    (found,) = (await diagnose(kept)).comparisons
    await repair_all(kept)

    row = await sql.fetchrow("SELECT id FROM document WHERE storage_name = $1", lost)
    assert found.missing == (row["id"],)
    assert await sql.fetchval("SELECT count(*) FROM document") == 2


async def test_many_missing_files_are_reported_up_to_a_number(kept, store, sql):
    for _ in range(MAX_MISSING + 5):
        await add_document(sql, store)

    assert len((await compare(kept, store.media)).missing) == MAX_MISSING


@pytest.mark.parametrize("status", list(TeamStatus))
async def test_file_in_another_folder_is_brought_where_its_team_stands(kept, store, sql, status):
    team_id = await registered(kept)
    await sql.execute("UPDATE team SET status = $1", status.value)
    for recorded in Folder:
        for actual in Folder:
            name = await add_document(sql, store, folder=recorded.value, team_id=team_id)
            store.add(f"{actual}/{name}")
    await sql.execute("DELETE FROM outbox_message")

    await repair_all(kept)
    await deliver_due(kept, HANDLERS)

    target = FOLDER_BY_STATUS[status]
    rows = await sql.fetch("SELECT storage_name, folder FROM document")
    assert {row["folder"] for row in rows} == {target}
    assert store.names() == sorted(f"{target}/{row['storage_name']}" for row in rows)


async def test_second_copy_of_a_file_goes(kept, store, sql):
    name = await add_document(sql, store, folder="confirmed")
    for folder in Folder:
        store.add(f"{folder}/{name}")
        store.make_old(f"{folder}/{name}")

    found = await compare(kept, store.media)
    await clear_orphans(kept)

    assert {folder for _, folder in found.duplicates} == {Folder.PENDING, Folder.REJECTED}
    assert store.names() == [f"confirmed/{name}"]


async def test_listing_of_many_pages_is_read_to_its_end(kept, store, stand_in):
    stand_in.page_size = 3
    for number in range(20):
        name = f"{list(Folder)[number % 3]}/{await create_storage_name(kept)}"
        store.add(name)
        store.make_old(name)

    assert await clear_orphans(kept) == 20
    assert store.names() == []


async def test_store_that_is_away_is_left_for_another_time(kept, store, stand_in, tmp_path):
    store.add(name := f"pending/{await create_storage_name(kept)}")
    store.make_old(name)
    stand_in.mood = "503"
    pending = tmp_path / "documents" / "pending"
    if pending.exists():
        pending.rename(tmp_path / "aside")
        pending.write_bytes(b"a file where the folder should be")

    away = await clear_orphans(kept)
    stand_in.mood = "healthy"
    if pending.exists():
        pending.unlink()
        (tmp_path / "aside").rename(pending)

    assert (away, await clear_orphans(kept), store.names()) == (0, 1, [])


async def test_unfinished_files_go_with_their_document_or_after_an_hour(services, tmp_path):
    name, media = uuid4().hex, services.storage.primary_store
    store = FolderHarness(media)
    other = f"confirmed/{uuid4().hex}.{uuid4().hex}.new"
    before = f"rejected/{uuid4().hex}.new"
    young = f"pending/{uuid4().hex}.{uuid4().hex}.new"
    for path in (f"pending/{name}.{uuid4().hex}.new", other, before, young):
        store.add(path)
    for path in (other, before):
        store.make_old(path)

    await media.delete(name, Folder.PENDING)
    assert store.names() == sorted([other, before, young])
    assert (await prune(services)).unfinished_files == 2
    assert store.names() == [young]


async def owed(sql) -> int:
    return await sql.fetchval(
        "SELECT count(*) FROM outbox_message WHERE finished_at IS NULL AND kind LIKE 'media.%'"
    )


@pytest.fixture
async def confirmed(services, store, kept, sql) -> str:
    """The id of a team with five files, which has just been confirmed."""
    team_id = await registered(kept)
    for _ in range(5):
        store.add(f"pending/{await add_document(sql, store, team_id=team_id)}")
    await sql.execute("UPDATE team SET status = 'CONFIRMED'")
    await services.database.run(
        lambda connection: enqueue_move(connection, UUID(team_id), now=services.clock())
    )
    return team_id


async def claimed_move(services):
    """As another worker claims it."""
    work = partial(
        outbox.lease,
        kinds=["media.move"],
        now=services.clock(),
        duration=DEFAULT_RETRY_POLICY.lease,
        limit=1,
    )
    (message,) = await services.database.run(work)
    return message


async def erase(services, team_id: str) -> None:
    await erase_team(services, await new_caller(services, Role.OWNER), team_id, expected_version=1)


@pytest.mark.parametrize("moved", range(6))
async def test_files_moved_by_a_killed_worker_after_the_erasure_are_deleted(
    kept, store, sql, clock, confirmed, moved
):
    """The worker has read the rows, moves as many files after the deletion, and is gone."""
    await claimed_move(kept)
    rows = await sql.fetch("SELECT storage_name FROM document ORDER BY id")
    contents = {row["storage_name"] for row in rows}
    await erase(kept, confirmed)
    await deliver_due(kept, HANDLERS)
    assert store.names() == []
    assert await owed(sql) == 6

    for name in list(contents)[:moved]:
        store.add(f"confirmed/{name}")
    clock.advance(seconds=DEFAULT_RETRY_POLICY.lease.total_seconds() + 1)
    for _ in range(3):
        await deliver_due(kept, HANDLERS)
        clock.advance(minutes=10)

    assert store.names() == []
    assert await owed(sql) == 0
    assert (
        await sql.fetchval("SELECT count(*) FROM outbox_message WHERE dead_at > '-infinity'") == 0
    )


@pytest.mark.parametrize("moved", range(6))
async def test_crash_between_moving_and_erasure_leaves_nothing(
    kept, store, sql, clock, confirmed, moved
):
    await claimed_move(kept)
    rows = await sql.fetch("SELECT storage_name FROM document ORDER BY id")
    for row in rows[:moved]:
        await store.media.move(row["storage_name"], Folder.PENDING, Folder.CONFIRMED)

    await erase(kept, confirmed)
    await deliver_due(kept, HANDLERS)

    assert store.names() == []


async def test_worker_that_ends_after_the_erasure_lets_the_deletion_end(
    kept, store, sql, clock, confirmed
):
    message = await claimed_move(kept)
    await erase(kept, confirmed)
    await deliver_due(kept, HANDLERS)
    await move_files(kept, message)
    await kept.database.run(partial(outbox.finish, message=message, now=clock()))

    clock.advance(minutes=5)
    await deliver_due(kept, HANDLERS)

    assert (store.names(), await owed(sql)) == ([], 0)


async def test_deletion_without_a_move_under_way_ends_at_once(kept, store, sql, confirmed):
    await erase(kept, confirmed)

    await deliver_due(kept, HANDLERS)

    assert (store.names(), await owed(sql)) == ([], 0)


async def test_deletion_of_an_expired_document_outlives_its_team(
    kept, store, sql, clock, confirmed
):
    await deliver_due(kept, HANDLERS)
    await sql.execute("UPDATE document SET claimed_at = $1", clock() - timedelta(days=200))
    media = store.media
    away = replace(kept, storage=replace(kept.storage, stores={}))
    await prune(away)
    assert await owed(sql) == 5

    await erase(kept, confirmed)
    clock.advance(hours=2)
    await deliver_due(kept, HANDLERS)

    assert (media.name, store.names(), await owed(sql)) == (media.name, [], 0)


@pytest.mark.parametrize("moved", range(6))
async def test_crash_between_moving_and_recording_before_a_team_is_reopened_is_mended(
    kept, store, sql, clock, confirmed, moved
):
    """The rows say `pending`, where the files of a reopened team belong; some are elsewhere."""
    await claimed_move(kept)
    rows = await sql.fetch("SELECT storage_name FROM document ORDER BY id")
    for row in rows[:moved]:
        await store.media.move(row["storage_name"], Folder.PENDING, Folder.CONFIRMED)
    await sql.execute("UPDATE team SET status = 'PENDING'")
    await kept.database.run(
        lambda connection: enqueue_move(connection, UUID(confirmed), now=clock())
    )

    await deliver_due(kept, HANDLERS)
    clock.advance(seconds=DEFAULT_RETRY_POLICY.lease.total_seconds() + 1)
    await deliver_due(kept, HANDLERS)

    assert store.names() == sorted(f"pending/{row['storage_name']}" for row in rows)
    assert {row["folder"] for row in await sql.fetch("SELECT folder FROM document")} == {"pending"}
    assert await owed(sql) == 0


class Listed:
    """A store whose listing was made before something happened to its files."""

    def __init__(self, media, files):
        self._media = media
        self._files = files

    def __getattr__(self, name):
        return getattr(self._media, name)

    async def files(self):
        return self._files


@pytest.mark.parametrize("recorded", list(Folder))
@pytest.mark.parametrize("is_lost", [True, False])
async def test_row_is_not_corrected_to_where_the_file_was(kept, store, sql, recorded, is_lost):
    name = await add_document(sql, store, folder=recorded.value)
    other = next(folder for folder in Folder if folder != recorded)
    store.add(f"{other}/{name}")
    listed = Listed(store.media, await store.media.files())
    if is_lost:
        store.lose(f"{other}/{name}")
    else:
        await store.media.move(name, other, recorded)

    found = await repair(kept, listed)

    assert [folder for _, folder in found.misplaced] == [other]
    assert await sql.fetchval("SELECT folder FROM document") == recorded


async def test_second_copy_that_is_gone_keeps_no_other_from_being_cleared(kept, store, sql):
    gone, there = [await add_document(sql, store) for _ in range(2)]
    for name in (gone, there):
        for folder in ("pending", "confirmed"):
            store.add(f"{folder}/{name}")
            store.make_old(f"{folder}/{name}")
    listed = Listed(store.media, await store.media.files())
    for folder in ("pending", "confirmed"):
        store.lose(f"{folder}/{gone}")

    await clean_up(kept, listed, is_forced=False)

    assert store.names() == [f"pending/{there}"]
