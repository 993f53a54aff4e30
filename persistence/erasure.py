"""All rows that say something about the people of a team."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.decisions import Decided

# ruff: noqa: S608  # names of tables of ours
_DELETIONS = tuple(
    text(f"DELETE FROM {table} WHERE {column} = :team_id")
    for table, column in (
        ("outbox_message", "team_id"),
        ("decision", "team_id"),
        ("player", "team_id"),
        ("team", "id"),
    )
)


async def erase(connection: AsyncConnection, decided: Decided) -> None:
    """Its documents have to be gone. The audit log stays, and so does what its key stands for."""
    for deletion in _DELETIONS:
        await connection.execute(deletion, {"team_id": decided.id})
