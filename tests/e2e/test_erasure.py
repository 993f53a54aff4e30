"""Erasure of teams concurrent with moves of their files, with killed servers."""

import asyncio
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from tests import factories
from tests.accounts import bearer_headers
from tests.databases import dsn
from tests.graphql_client import data, execute
from tests.server_processes import register, wait_until
from tests.uploading import upload

TEAMS = 6
FILES = 6
PENDING = "SELECT count(*) FROM outbox_message WHERE finished_at IS NULL AND kind LIKE 'media.%'"
CONFIRM = """
mutation Confirm($team: ID!) {
  confirmTeam(input: { teamId: $team, expectedVersion: 1, overrideReason: "a test" }) {
    team { version }
  }
}
"""
ERASE = """
mutation Erase($team: ID!) {
  eraseTeam(input: { teamId: $team, expectedVersion: 2 }) { code documentsErased }
}
"""


def stored(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kill", [False, True], ids=["running", "killed"])
async def test_erasure_during_moves_leaves_no_file(make_server, own_url, tmp_path, services, kill):
    documents = tmp_path / "documents"
    shared = {
        "DATABASE_URL": own_url,
        "UPLOAD_DIR": str(tmp_path / "uploads"),
        "DOCUMENT_DIR": str(documents),
    }
    servers = [make_server(**shared), make_server(**shared)]
    await asyncio.gather(*(server.start() for server in servers))
    sql = await asyncpg.connect(dsn(own_url))
    async with servers[0].client() as client:
        teams = [await team_with_files(client, number) for number in range(TEAMS)]
        kept = await team_with_files(client, TEAMS)
    database = Database(DatabaseOptions(url=own_url))
    headers = await bearer_headers(replace(services, database=database))
    await database.close()

    async def confirm_and_erase(team: str) -> None:
        async with servers[0].client() as client:
            data(await execute(client, CONFIRM, {"team": team}, **headers))
            data(await execute(client, ERASE, {"team": team}, **headers))

    async with servers[0].client() as client:
        data(await execute(client, CONFIRM, {"team": kept}, **headers))
    erasing = asyncio.gather(*(confirm_and_erase(team) for team in teams))
    if kill:
        await servers[1].kill()
    await erasing
    if kill:
        # Expire the leases of the killed process.
        await sql.execute("UPDATE outbox_message SET due_at = now() WHERE finished_at IS NULL")
    await wait_until(lambda: _has_no_messages(sql), "no message is pending")

    rows = await sql.fetch("SELECT storage_name, folder FROM document")
    assert len(rows) == FILES
    assert stored(documents) == sorted(f"{row['folder']}/{row['storage_name']}" for row in rows)
    assert {row["folder"] for row in rows} == {"confirmed"}
    assert await sql.fetchval("SELECT count(*) FROM outbox_message WHERE dead_at IS NOT NULL") == 0
    await sql.close()


async def _has_no_messages(sql) -> bool:
    return await sql.fetchval(PENDING) == 0


async def team_with_files(client, number: int) -> str:
    """Register a team with FILES identity proofs; return its code."""
    players = factories.players()
    for player in players[:FILES]:
        proof = await upload(client, "IDENTITY_PROOF")
        player["documents"] = [{"kind": "IDENTITY_PROOF", "documentId": proof}]
    body = await register(client, factories.team(number, players=players))
    return body["data"]["registerTeam"]["team"]["code"]
