"""The statements that change a team after its registration, under the lock on its row."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.registration.forms import PlayerEntry, TeamEntry
from persistence.models import player, team
from persistence.repositories.decisions import LockedTeam
from persistence.repositories.registration import duplicates_as_issues, person_columns


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlayer:
    """A player as the row is to be."""

    id: UUID
    position: int
    entry: PlayerEntry


# Two players may swap their numbers: the constraint looks at every row by itself.
_FREE_JERSEYS = text("UPDATE player SET jersey_number = NULL WHERE id = ANY(:ids)")
_GIVEN = """
    unnest(
        CAST(:ids AS uuid[]), CAST(:positions AS integer[]), CAST(:names AS text[]),
        CAST(:normalized AS text[]), CAST(:roles AS text[]), CAST(:jerseys AS integer[]),
        CAST(:births AS date[])
    ) AS g (id, position, name, normalized_name, role, jersey, born)
"""
_CHANGE = text(f"""
    UPDATE player p SET name = g.name, normalized_name = g.normalized_name, role = g.role,
        jersey_number = g.jersey, date_of_birth = g.born
    FROM {_GIVEN} WHERE p.id = g.id
""")  # a constant of ours
_ADD = text(f"""
    INSERT INTO player (
        id, team_id, position, name, normalized_name, role, jersey_number, date_of_birth)
    SELECT g.id, :team_id, g.position, g.name, g.normalized_name, g.role, g.jersey, g.born
    FROM {_GIVEN}
""")  # a constant of ours


async def update_team(  # noqa: PLR0913 - what is written of it
    connection: AsyncConnection,
    locked: LockedTeam,
    entry: TeamEntry,
    *,
    church_id: UUID,
    next_position: int,
    now: datetime,
) -> None:
    """Raises InvalidForm when a live team has the name, the e-mail or the phone by now."""
    values = {
        "church_id": church_id,
        "name": entry.team_name,
        "normalized_name": entry.normalized_team_name,
        **person_columns("captain", entry.captain),
        **person_columns("vice_captain", entry.vice_captain),
        "next_position": next_position,
        "version": locked.version + 1,
        "last_change": locked.last_change,
        "updated_at": now,
    }
    with duplicates_as_issues():
        await connection.execute(team.update().where(team.c.id == locked.id).values(values))


async def update_players(connection: AsyncConnection, players: Sequence[StoredPlayer]) -> None:
    values = _values(players)
    await connection.execute(_FREE_JERSEYS, {"ids": values["ids"]})
    await connection.execute(_CHANGE, values)


async def add_players(
    connection: AsyncConnection, team_id: UUID, players: Sequence[StoredPlayer]
) -> None:
    await connection.execute(_ADD, {"team_id": team_id, **_values(players)})


async def remove_players(connection: AsyncConnection, player_ids: Collection[UUID]) -> None:
    """Their documents have to be gone."""
    await connection.execute(player.delete().where(player.c.id.in_(player_ids)))


async def increment_manage_generation(
    connection: AsyncConnection, locked: LockedTeam, *, now: datetime
) -> int:
    """The generation of the team's secret that counts from now on."""
    generation: int = (
        await connection.execute(
            team.update()
            .where(team.c.id == locked.id)
            .values(
                manage_generation=team.c.manage_generation + 1,
                version=locked.version + 1,
                last_change=locked.last_change,
                updated_at=now,
            )
            .returning(team.c.manage_generation)
        )
    ).scalar_one()
    return generation


def _values(players: Sequence[StoredPlayer]) -> dict[str, list[object]]:
    return {
        "ids": [one.id for one in players],
        "positions": [one.position for one in players],
        "names": [one.entry.name for one in players],
        "normalized": [one.entry.normalized_name for one in players],
        "roles": [one.entry.role.value if one.entry.role else None for one in players],
        "jerseys": [one.entry.jersey_number for one in players],
        "births": [one.entry.date_of_birth for one in players],
    }


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


async def delete_team(connection: AsyncConnection, locked: LockedTeam, *, moves: str) -> None:
    """Its documents have to be gone. The audit log stays, and so does what its key stands for.

    `moves` is the kind of messages that move its files.
    """
    await connection.execute(_LET_GO, {"team_id": locked.id, "kind": moves})
    for deletion in _DELETIONS:
        await connection.execute(deletion, {"team_id": locked.id})
