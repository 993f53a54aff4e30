"""Change or delete a team after its registration, under the lock on its row."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from domain.registration.forms import ValidPlayer, ValidTeam
from persistence.models import player, team
from persistence.repositories.base import Repository
from persistence.repositories.decisions import LockedTeam
from persistence.repositories.registration import duplicates_as_issues, person_columns

# ruff: noqa: S608 - only constants are interpolated


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlayer:
    """The new values of a player's row."""

    id: UUID
    position: int
    entry: ValidPlayer


# Two players may swap numbers, but the unique constraint is checked for each updated row.
_CLEAR_JERSEYS = text("UPDATE player SET jersey_number = NULL WHERE id = ANY(:ids)")
_NEW_VALUES = """
    unnest(
        CAST(:ids AS uuid[]), CAST(:positions AS integer[]), CAST(:names AS text[]),
        CAST(:normalized AS text[]), CAST(:roles AS text[]), CAST(:jerseys AS integer[]),
        CAST(:births AS date[])
    ) AS g (id, position, name, normalized_name, role, jersey, born)
"""
_UPDATE = text(f"""
    UPDATE player p SET name = g.name, normalized_name = g.normalized_name, role = g.role,
        jersey_number = g.jersey, date_of_birth = g.born
    FROM {_NEW_VALUES} WHERE p.id = g.id
""")
_INSERT = text(f"""
    INSERT INTO player (
        id, team_id, position, name, normalized_name, role, jersey_number, date_of_birth)
    SELECT g.id, :team_id, g.position, g.name, g.normalized_name, g.role, g.jersey, g.born
    FROM {_NEW_VALUES}
""")
_DETACH_LEASED = text("""
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


def _values(players: Sequence[StoredPlayer]) -> dict[str, list[object]]:
    return {
        "ids": [player_row.id for player_row in players],
        "positions": [player_row.position for player_row in players],
        "names": [player_row.entry.name for player_row in players],
        "normalized": [player_row.entry.normalized_name for player_row in players],
        "roles": [
            player_row.entry.role.value if player_row.entry.role else None for player_row in players
        ],
        "jerseys": [player_row.entry.jersey_number for player_row in players],
        "births": [player_row.entry.date_of_birth for player_row in players],
    }


class TeamUpdateRepository(Repository):
    """Changes of a team under the lock on its row."""

    async def update_team(
        self,
        locked: LockedTeam,
        entry: ValidTeam,
        *,
        church_id: UUID,
        next_position: int,
        now: datetime,
    ) -> None:
        """Raises InvalidForm when a live team has the same name, e-mail or phone."""
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
            await self._execute(team.update().where(team.c.id == locked.id).values(values))

    async def update_players(self, players: Sequence[StoredPlayer]) -> None:
        values = _values(players)
        await self._execute(_CLEAR_JERSEYS, {"ids": values["ids"]})
        await self._execute(_UPDATE, values)

    async def add_players(self, team_id: UUID, players: Sequence[StoredPlayer]) -> None:
        await self._execute(_INSERT, {"team_id": team_id, **_values(players)})

    async def remove_players(self, player_ids: Collection[UUID]) -> None:
        """Delete players. Their documents have to be deleted before."""
        await self._execute(player.delete().where(player.c.id.in_(player_ids)))

    async def increment_manage_generation(self, locked: LockedTeam, *, now: datetime) -> int:
        """Invalidate the manage tokens issued so far. Returns the new generation."""
        generation: int = (
            await self._execute(
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

    async def delete_team(self, locked: LockedTeam, *, moves: str) -> None:
        """Delete a team and all rows about its people. Its documents have to be deleted before.

        Audit events and idempotency records stay. `moves` is the kind of messages that move its
        files: those that a worker has leased stay too, without a team, so that it can finish.
        """
        await self._execute(_DETACH_LEASED, {"team_id": locked.id, "kind": moves})
        for deletion in _DELETIONS:
            await self._execute(deletion, {"team_id": locked.id})
