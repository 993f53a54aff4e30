"""Differences between stored files and rows, in both stores."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from domain.auth.roles import Role
from domain.teams.status import TeamStatus
from integrations.storage.base import Folder
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


async def create_team(services) -> str:
    """The id of a team without documents."""
    stored = await register_team(services, factories.form(), key=None, request_id="request")
    return stored.team.id.hex


@pytest.mark.parametrize("folder", list(Folder))
async def test_maintenance_logs_an_orphan_and_keeps_it(stored_services, harness, folder, clock):
    harness.add(name := f"{folder}/{await create_storage_name(stored_services)}")
    harness.make_old(name)

    with capture_logs() as events:
        for _ in range(3):
            await run_maintenance(stored_services)
            clock.advance(hours=1)

    warnings = [entry for entry in events if entry["event"] == "stored_files_differed"]
    assert [(entry["store"], entry["orphans"]) for entry in warnings] == [
        (harness.store.name, 1)
    ] * 3
    assert harness.names() == [name]


async def test_maintenance_keeps_duplicates(stored_services, harness, sql):
    name = await add_document(sql, harness, folder="confirmed")
    names = [f"{folder}/{name}" for folder in Folder]
    for entry in names:
        harness.add(entry)
        harness.make_old(entry)

    await run_maintenance(stored_services)

    assert harness.names() == sorted(names)


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
async def test_too_many_orphans_are_deleted_only_by_force(
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
async def test_orphan_is_reported_and_deleted(stored_services, harness, folder):
    orphan, young = (
        await create_storage_name(stored_services),
        await create_storage_name(stored_services),
    )
    for name in (orphan, young):
        harness.add(f"{folder}/{name}")
    harness.make_old(f"{folder}/{orphan}")

    (result,) = (await diagnose(stored_services)).comparisons
    missing = [await clear_orphans(stored_services) for _ in range(2)]

    assert (result.store, result.orphans) == (harness.store.name, (orphan,))
    assert missing == [1, 0]
    assert harness.names() == [f"{folder}/{young}"]


async def test_files_with_other_names_stay(stored_services, harness):
    names = ["pending/notes.txt", "pending/ABC", "confirmed/0123", "elsewhere/" + "0" * 32]
    for name in names:
        harness.add(name)
        harness.make_old(name)

    assert await clear_orphans(stored_services) == 0
    assert harness.names() == sorted(names)


async def test_old_file_with_document_stays(stored_services, harness, sql):
    name = await add_document(sql, harness)
    harness.add(f"pending/{name}")
    harness.make_old(f"pending/{name}")
    await sql.execute("UPDATE document SET stored_at = NULL")

    result = await compare(stored_services, harness.store)

    assert (result.orphans, result.misplaced, result.duplicates, result.missing) == ((), (), (), ())
    assert await clear_orphans(stored_services) == 0
    assert harness.names() == [f"pending/{name}"]


async def test_file_of_expired_document_is_deleted(stored_services, harness, sql):
    name = await add_document(sql, harness, name=await create_storage_name(stored_services))
    harness.add(f"rejected/{name}")
    harness.make_old(f"rejected/{name}")
    await sql.execute("UPDATE document SET deleted_at = now()")

    assert await clear_orphans(stored_services) == 1
    assert harness.names() == []


async def test_document_of_another_store_does_not_protect_a_file(stored_services, harness, sql):
    name = await add_document(sql, harness, name=await create_storage_name(stored_services))
    harness.add(f"pending/{name}")
    harness.make_old(f"pending/{name}")
    await sql.execute("UPDATE document SET store = 'another'")

    assert await clear_orphans(stored_services) == 1
    assert harness.names() == []


async def test_missing_file_is_reported_and_its_row_stays(stored_services, harness, sql):
    lost, present = await add_document(sql, harness), await add_document(sql, harness)
    harness.add(f"pending/{present}")

    (result,) = (await diagnose(stored_services)).comparisons
    await repair_all(stored_services)

    row = await sql.fetchrow("SELECT id FROM document WHERE storage_name = $1", lost)
    assert result.missing == (row["id"],)
    assert await sql.fetchval("SELECT count(*) FROM document") == 2


async def test_missing_files_are_reported_up_to_a_limit(stored_services, harness, sql):
    for _ in range(MAX_MISSING + 5):
        await add_document(sql, harness)

    assert len((await compare(stored_services, harness.store)).missing) == MAX_MISSING


@pytest.mark.parametrize("status", list(TeamStatus))
async def test_misplaced_file_is_moved_to_the_folder_of_the_status(
    stored_services, harness, sql, status
):
    team_id = await create_team(stored_services)
    await sql.execute("UPDATE team SET status = $1", status.value)
    for recorded in Folder:
        for actual in Folder:
            name = await add_document(sql, harness, folder=recorded.value, team_id=team_id)
            harness.add(f"{actual}/{name}")
    await sql.execute("DELETE FROM outbox_message")

    await repair_all(stored_services)
    await deliver_due(stored_services, HANDLERS)

    target = FOLDER_BY_STATUS[status]
    rows = await sql.fetch("SELECT storage_name, folder FROM document")
    assert {row["folder"] for row in rows} == {target}
    assert harness.names() == sorted(f"{target}/{row['storage_name']}" for row in rows)


async def test_duplicate_is_deleted(stored_services, harness, sql):
    name = await add_document(sql, harness, folder="confirmed")
    for folder in Folder:
        harness.add(f"{folder}/{name}")
        harness.make_old(f"{folder}/{name}")

    result = await compare(stored_services, harness.store)
    await clear_orphans(stored_services)

    assert {folder for _, folder in result.duplicates} == {Folder.PENDING, Folder.REJECTED}
    assert harness.names() == [f"confirmed/{name}"]


async def test_listing_with_many_pages_is_complete(stored_services, harness, stand_in):
    stand_in.page_size = 3
    for number in range(20):
        name = f"{list(Folder)[number % 3]}/{await create_storage_name(stored_services)}"
        harness.add(name)
        harness.make_old(name)

    assert await clear_orphans(stored_services) == 20
    assert harness.names() == []


async def test_unavailable_store_is_skipped(stored_services, harness, stand_in, tmp_path):
    harness.add(name := f"pending/{await create_storage_name(stored_services)}")
    harness.make_old(name)
    stand_in.mood = "503"
    pending = tmp_path / "documents" / "pending"
    if pending.exists():
        pending.rename(tmp_path / "aside")
        pending.write_bytes(b"a file where the folder should be")

    away = await clear_orphans(stored_services)
    stand_in.mood = "healthy"
    if pending.exists():
        pending.unlink()
        (tmp_path / "aside").rename(pending)

    assert (away, await clear_orphans(stored_services), harness.names()) == (0, 1, [])


async def test_unfinished_files_go_with_the_document_or_after_an_hour(services, tmp_path):
    name, store = uuid4().hex, services.storage.primary_store
    harness = FolderHarness(store)
    other = f"confirmed/{uuid4().hex}.{uuid4().hex}.new"
    before = f"rejected/{uuid4().hex}.new"
    young = f"pending/{uuid4().hex}.{uuid4().hex}.new"
    for path in (f"pending/{name}.{uuid4().hex}.new", other, before, young):
        harness.add(path)
    for path in (other, before):
        harness.make_old(path)

    await store.delete(name, Folder.PENDING)
    assert harness.names() == sorted([other, before, young])
    assert (await prune(services)).unfinished_files == 2
    assert harness.names() == [young]


async def pending_messages(sql) -> int:
    return await sql.fetchval(
        "SELECT count(*) FROM outbox_message WHERE finished_at IS NULL AND kind LIKE 'media.%'"
    )


@pytest.fixture
async def confirmed(services, harness, stored_services, sql) -> str:
    """The id of a team with five files, confirmed just now."""
    team_id = await create_team(stored_services)
    for _ in range(5):
        harness.add(f"pending/{await add_document(sql, harness, team_id=team_id)}")
    await sql.execute("UPDATE team SET status = 'CONFIRMED'")
    await services.database.run(lambda uow: enqueue_move(uow, UUID(team_id), now=services.clock()))
    return team_id


async def leased_move(services):
    """Lease the move, as another worker does."""

    def work(uow):
        return uow.outbox.lease(
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
    stored_services, harness, sql, clock, confirmed, moved
):
    """The worker has read the rows, moves as many files after the erasure and is killed."""
    await leased_move(stored_services)
    rows = await sql.fetch("SELECT storage_name FROM document ORDER BY id")
    contents = {row["storage_name"] for row in rows}
    await erase(stored_services, confirmed)
    await deliver_due(stored_services, HANDLERS)
    assert harness.names() == []
    assert await pending_messages(sql) == 6

    for name in list(contents)[:moved]:
        harness.add(f"confirmed/{name}")
    clock.advance(seconds=DEFAULT_RETRY_POLICY.lease.total_seconds() + 1)
    for _ in range(3):
        await deliver_due(stored_services, HANDLERS)
        clock.advance(minutes=10)

    assert harness.names() == []
    assert await pending_messages(sql) == 0
    assert (
        await sql.fetchval("SELECT count(*) FROM outbox_message WHERE dead_at > '-infinity'") == 0
    )


@pytest.mark.parametrize("moved", range(6))
async def test_crash_after_moving_and_before_erasure_leaves_no_file(
    stored_services, harness, sql, clock, confirmed, moved
):
    await leased_move(stored_services)
    rows = await sql.fetch("SELECT storage_name FROM document ORDER BY id")
    for row in rows[:moved]:
        await harness.store.move(row["storage_name"], Folder.PENDING, Folder.CONFIRMED)

    await erase(stored_services, confirmed)
    await deliver_due(stored_services, HANDLERS)

    assert harness.names() == []


async def test_deletion_ends_once_the_move_has_ended(
    stored_services, harness, sql, clock, confirmed
):
    message = await leased_move(stored_services)
    await erase(stored_services, confirmed)
    await deliver_due(stored_services, HANDLERS)
    await move_files(stored_services, message)
    await stored_services.database.run(lambda uow: uow.outbox.finish(message=message, now=clock()))

    clock.advance(minutes=5)
    await deliver_due(stored_services, HANDLERS)

    assert (harness.names(), await pending_messages(sql)) == ([], 0)


async def test_deletion_without_a_move_in_progress_ends_at_once(
    stored_services, harness, sql, confirmed
):
    await erase(stored_services, confirmed)

    await deliver_due(stored_services, HANDLERS)

    assert (harness.names(), await pending_messages(sql)) == ([], 0)


async def test_deletion_of_an_expired_document_outlives_its_team(
    stored_services, harness, sql, clock, confirmed
):
    await deliver_due(stored_services, HANDLERS)
    await sql.execute("UPDATE document SET claimed_at = $1", clock() - timedelta(days=200))
    store = harness.store
    away = replace(stored_services, storage=replace(stored_services.storage, stores={}))
    await prune(away)
    assert await pending_messages(sql) == 5

    await erase(stored_services, confirmed)
    clock.advance(hours=2)
    await deliver_due(stored_services, HANDLERS)

    assert (store.name, harness.names(), await pending_messages(sql)) == (store.name, [], 0)


@pytest.mark.parametrize("moved", range(6))
async def test_unrecorded_moves_before_a_reopening_are_repaired(
    stored_services, harness, sql, clock, confirmed, moved
):
    """The rows say `pending`, where the files belong after the reopening; some are elsewhere."""
    await leased_move(stored_services)
    rows = await sql.fetch("SELECT storage_name FROM document ORDER BY id")
    for row in rows[:moved]:
        await harness.store.move(row["storage_name"], Folder.PENDING, Folder.CONFIRMED)
    await sql.execute("UPDATE team SET status = 'PENDING'")
    await stored_services.database.run(lambda uow: enqueue_move(uow, UUID(confirmed), now=clock()))

    await deliver_due(stored_services, HANDLERS)
    clock.advance(seconds=DEFAULT_RETRY_POLICY.lease.total_seconds() + 1)
    await deliver_due(stored_services, HANDLERS)

    assert harness.names() == sorted(f"pending/{row['storage_name']}" for row in rows)
    assert {row["folder"] for row in await sql.fetch("SELECT folder FROM document")} == {"pending"}
    assert await pending_messages(sql) == 0


class StaleListingStore:
    """A store with an outdated listing."""

    def __init__(self, store, files):
        self._media = store
        self._files = files

    def __getattr__(self, name):
        return getattr(self._media, name)

    async def files(self):
        return self._files


@pytest.mark.parametrize("recorded", list(Folder))
@pytest.mark.parametrize("is_lost", [True, False])
async def test_row_is_not_corrected_to_an_outdated_folder(
    stored_services, harness, sql, recorded, is_lost
):
    name = await add_document(sql, harness, folder=recorded.value)
    other = next(folder for folder in Folder if folder != recorded)
    harness.add(f"{other}/{name}")
    listed = StaleListingStore(harness.store, await harness.store.files())
    if is_lost:
        harness.lose(f"{other}/{name}")
    else:
        await harness.store.move(name, other, recorded)

    result = await repair(stored_services, listed)

    assert [folder for _, folder in result.misplaced] == [other]
    assert await sql.fetchval("SELECT folder FROM document") == recorded


async def test_vanished_duplicate_does_not_stop_the_clean_up(stored_services, harness, sql):
    missing, present = [await add_document(sql, harness) for _ in range(2)]
    for name in (missing, present):
        for folder in ("pending", "confirmed"):
            harness.add(f"{folder}/{name}")
            harness.make_old(f"{folder}/{name}")
    listed = StaleListingStore(harness.store, await harness.store.files())
    for folder in ("pending", "confirmed"):
        harness.lose(f"{folder}/{missing}")

    await clean_up(stored_services, listed, is_forced=False)

    assert harness.names() == [f"pending/{present}"]
