"""All rows that say something about the people of a team."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.repositories.decisions import LockedTeam

# ruff: noqa: S608  # names of tables of ours
# A process is at work on these: they stay until it has ended, and belong to nobody.
_LET_GO = text("""
    UPDATE outbox_message SET team_id = NULL
    WHERE team_id = :team_id AND kind = :kind AND attempts > 0
      AND finished_at IS NULL AND dead_at IS NULL
""")
_DELETIONS = tuple(
    text(f"DELETE FROM {table} WHERE {column} = :team_id")
    for table, column in (
        ("outbox_message", "team_id"),
        ("decision", "team_id"),
        ("player", "team_id"),
        ("team", "id"),
    )
)


async def erase(connection: AsyncConnection, decided: LockedTeam, *, moves: str) -> None:
    """Its documents have to be gone. The audit log stays, and so does what its key stands for.

    `moves` is the kind of messages that move its files.
    """
    await connection.execute(_LET_GO, {"team_id": decided.id, "kind": moves})
    for deletion in _DELETIONS:
        await connection.execute(deletion, {"team_id": decided.id})
