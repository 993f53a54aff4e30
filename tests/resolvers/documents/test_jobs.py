"""Moves, deletion and expiry of stored files."""

import os
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from domain.documents import RetentionClass
from domain.teams.status import TeamStatus
from resolvers.documents.jobs import HANDLERS, enqueue_move
from resolvers.operations.maintenance import prune
from resolvers.operations.outbox import deliver_due
from tests import factories, sample_files
from tests.graphql_client import data, execute
from tests.schema.test_documents import REGISTER, letter
from tests.uploading import open_upload, put, put_range, upload

FOLDERS = {
    TeamStatus.PENDING: "pending",
    TeamStatus.CHANGES_REQUESTED: "pending",
    TeamStatus.CONFIRMED: "confirmed",
    TeamStatus.REJECTED: "rejected",
    TeamStatus.WITHDRAWN: "rejected",
}


@pytest.fixture
def files_by_folder(settings):
    """Return the number of files by folder."""

    def count() -> dict[str, int]:
        root = settings.data_dir / "documents"
        return {
            folder.name: amount
            for folder in sorted(root.glob("*"))
            if (amount := sum(1 for _ in folder.iterdir()))
        }

    return count


async def create_team(client, number: int = 0) -> str:
    """The id of a team with two documents."""
    players = factories.players()
    proof = await upload(client, "IDENTITY_PROOF")
    players[0]["documents"] = [{"kind": "IDENTITY_PROOF", "documentId": proof}]
    named = [letter(await upload(client, "PASTOR_LETTER"))]
    answer = await execute(
        client, REGISTER, {"input": factories.team(number, players=players, documents=named)}
    )
    return data(answer)["registerTeam"]["team"]["id"]


async def decide(services, sql, team_id: str, status: TeamStatus) -> None:
    """Set a status and enqueue the move, as every decision does."""
    await sql.execute("UPDATE team SET status = $2 WHERE id = $1", team_id, status.value)
    await services.database.run(lambda uow: enqueue_move(uow, UUID(team_id), now=services.clock()))


@pytest.mark.parametrize("status", list(TeamStatus))
async def test_files_follow_the_team_status(client, services, sql, files_by_folder, status):
    team_id = await create_team(client)
    await decide(services, sql, team_id, status)

    await deliver_due(services, HANDLERS)

    assert files_by_folder() == {FOLDERS[status]: 2}
    assert {row["folder"] for row in await sql.fetch("SELECT folder FROM document")} == {
        FOLDERS[status]
    }


async def test_deliveries_in_any_order_end_in_the_present_folder(
    client, services, sql, files_by_folder
):
    team_id = await create_team(client)
    for status in (TeamStatus.CONFIRMED, TeamStatus.PENDING, TeamStatus.REJECTED):
        await decide(services, sql, team_id, status)

    await deliver_due(services, HANDLERS)
    await deliver_due(services, HANDLERS)

    assert files_by_folder() == {"rejected": 2}
    assert await pending_messages(sql) == 0


async def pending_messages(sql) -> int:
    return await sql.fetchval(
        "SELECT count(*) FROM outbox_message WHERE finished_at IS NULL AND kind LIKE 'media.%'"
    )


async def test_move_interrupted_before_recording_is_completed(
    client, services, sql, files_by_folder, settings
):
    team_id = await create_team(client)
    await decide(services, sql, team_id, TeamStatus.CONFIRMED)
    root = settings.data_dir / "documents"
    for path in (root / "pending").iterdir():
        (root / "confirmed").mkdir(exist_ok=True)
        path.rename(root / "confirmed" / path.name)

    await deliver_due(services, HANDLERS)

    assert files_by_folder() == {"confirmed": 2}
    assert await pending_messages(sql) == 0


async def test_unclaimed_upload_is_deleted_after_a_day(
    client, services, clock, sql, files_by_folder
):
    await upload(client, "PASTOR_LETTER")
    team_id = await create_team(client)
    await sql.execute("UPDATE document SET created_at = $1", clock.now - timedelta(hours=24))
    clock.advance(seconds=1)

    pruned = await prune(services)
    again = await prune(services)

    assert (pruned.unclaimed_uploads, again.unclaimed_uploads) == (1, 0)
    assert files_by_folder() == {"pending": 2}
    teams = await sql.fetch("SELECT team_id FROM document")
    assert [row["team_id"].hex for row in teams] == [team_id] * 2
    assert await pending_messages(sql) == 0


async def test_unclaimed_upload_younger_than_a_day_stays(
    client, services, clock, sql, files_by_folder
):
    await upload(client, "PASTOR_LETTER")
    await sql.execute("UPDATE document SET created_at = $1", clock.now - timedelta(hours=24))

    pruned = await prune(services)

    assert pruned.unclaimed_uploads == 0
    assert files_by_folder() == {"pending": 1}


async def test_documents_expire_with_their_retention_class(
    client, services, clock, sql, files_by_folder
):
    await create_team(client)
    short = {**services.storage.retention, RetentionClass.IDENTITY: timedelta(days=30)}
    services = replace(services, storage=replace(services.storage, retention=short))
    await sql.execute("UPDATE document SET claimed_at = $1", clock.now - timedelta(days=31))

    pruned = await prune(services)
    again = await prune(services)

    assert (pruned.expired_documents, again.expired_documents) == (1, 0)
    assert files_by_folder() == {"pending": 1}
    rows = await sql.fetch("SELECT kind FROM document WHERE deleted_at = $1", clock.now)
    assert [row["kind"] for row in rows] == ["IDENTITY_PROOF"]
    (event,) = await sql.fetch("SELECT actor FROM audit_event WHERE action = 'document.expired'")
    assert event["actor"] == "system"


async def test_failed_deletion_is_repeated_by_the_next_prune(
    client, services, clock, sql, files_by_folder
):
    await upload(client, "PASTOR_LETTER")
    await upload(client, "PHOTO")
    await sql.execute("UPDATE document SET created_at = $1", clock.now - timedelta(days=2))
    held = min(services.storage.primary_store.root.glob("pending/*"))
    held.unlink()
    held.mkdir()
    (held / "in the way").touch()

    await prune(services)
    left = await pending_messages(sql)
    (held / "in the way").unlink()
    held.rmdir()
    clock.advance(hours=2)
    await prune(services)

    assert (left, await pending_messages(sql)) == (1, 0)
    assert files_by_folder() == {}
    assert await sql.fetchval("SELECT count(*) FROM document") == 0


async def test_file_saved_but_not_marked_stored_is_deleted(
    client, services, clock, sql, files_by_folder
):
    await upload(client, "PASTOR_LETTER")
    await sql.execute(
        "UPDATE document SET stored_at = NULL, created_at = $1", clock.now - timedelta(days=2)
    )

    await prune(services)

    assert files_by_folder() == {}
    assert await sql.fetchval("SELECT count(*) FROM document") == 0


async def test_unfinished_upload_is_deleted(client, services, settings):
    content = sample_files.large_png(50_000)
    ticket = await open_upload(client, "PHOTO", content)
    await put_range(client, ticket, content, 0, 10_000)
    (part,) = (settings.data_dir / "uploads").iterdir()
    fresh = await prune(services)
    os.utime(part, (0, 0))

    pruned = await prune(services)

    assert (fresh.partial_uploads, pruned.partial_uploads) == (0, 1)
    assert list((settings.data_dir / "uploads").iterdir()) == []
    assert (await put(client, ticket, content)).status_code == 201
