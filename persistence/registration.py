"""The statements of a registration, in the order in which they take their locks.

Reserve the key; then, in one statement, take a place of the church, take a place and a number of
the tournament, store the rows. The tournament's row, which every registration needs, is locked
last. Each statement is one round trip.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.checks import (
    LookupKeys,
    duplicate_captain_email,
    duplicate_captain_phone,
    duplicate_team_name,
)
from domain.errors import InvalidForm
from domain.form import PersonEntry, TeamEntry
from domain.status import TeamStatus
from persistence import tournaments
from persistence.database import Database, constraint
from persistence.direct import Statement
from persistence.idempotency import OPERATION
from persistence.ids import new_id
from persistence.models import IS_LIVE
from persistence.records import (
    ChurchRecord,
    LookUps,
    PlayerRecord,
    Remembered,
    TournamentRecord,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """None for a church without a place, for a tournament that is full or not open."""

    church: ChurchRecord | None
    code: str | None


_DUPLICATES = {
    "uq_team_live_captain_email": duplicate_captain_email,
    "uq_team_live_captain_phone": duplicate_captain_phone,
    "uq_team_live_name": duplicate_team_name,
}

_KNOWN = Statement(
    text("""
    SELECT t.*, r.fingerprint, r.team_id AS remembered_team_id
    FROM tournament t
    LEFT JOIN idempotency_record r
        ON r.operation = :operation AND r.key = :key AND r.expires_at > :now
    WHERE t.is_active
""")
)

_LOOK_UPS = text(f"""
    SELECT t.taken, coalesce(c.taken, 0) AS church_taken,
           EXISTS (SELECT FROM team WHERE church_id = c.id
                   AND normalized_name = :team_name AND {IS_LIVE}) AS has_team_name,
           EXISTS (SELECT FROM team WHERE tournament_id = t.id
                   AND captain_email = :captain_email AND {IS_LIVE}) AS has_captain_email,
           EXISTS (SELECT FROM team WHERE tournament_id = t.id
                   AND captain_phone = :captain_phone AND {IS_LIVE}) AS has_captain_phone
    FROM tournament t
    LEFT JOIN church c ON c.tournament_id = t.id AND c.normalized_name = coalesce(
        (SELECT known.normalized_name
         FROM church_alias a JOIN church known ON known.id = a.church_id
         WHERE a.tournament_id = t.id AND a.normalized_name = :church), :church)
    WHERE t.is_active
""")  # noqa: S608  # IS_LIVE is a constant of ours

_TAKE_PLACE = """
        INSERT INTO church AS c (id, tournament_id, name, normalized_name, taken, created_at)
        VALUES (:church_id, :tournament_id, :church_name, coalesce(
            (SELECT known.normalized_name
             FROM church_alias a JOIN church known ON known.id = a.church_id
             WHERE a.tournament_id = :tournament_id AND a.normalized_name = :normalized_church),
            :normalized_church), 1, :now)
        ON CONFLICT (tournament_id, normalized_name) DO UPDATE SET taken = c.taken + 1
            WHERE CAST(:limit AS integer) IS NULL OR c.taken < :limit
        RETURNING c.id, c.name, c.taken
"""
_PLACE_IN_CHURCH = text(_TAKE_PLACE)

# The place in the church, then the number, then the rows: each reads what the one before returned,
# so that a refusal of one is the end, and locks are taken in this order.
_STORE = text(f"""
    WITH place AS ({_TAKE_PLACE}    ), numbered AS (
        UPDATE tournament t
        SET taken = t.taken + 1, next_team_number = t.next_team_number + 1
        FROM place
        WHERE t.id = :tournament_id
          AND (t.capacity IS NULL OR t.taken < t.capacity)
          AND (t.opens_at IS NULL OR t.opens_at <= :now)
          AND (t.closes_at IS NULL OR t.closes_at > :now)
        RETURNING place.id AS church_id,
            t.code_prefix || '-' || lpad(CAST(t.next_team_number - 1 AS text),
                greatest(3, length(CAST(t.next_team_number - 1 AS text))), '0') AS code
    ), new_team AS (
        INSERT INTO team (
            id, tournament_id, church_id, code, name, normalized_name, status, version,
            captain_name, captain_phone, captain_whatsapp, captain_email,
            vice_captain_name, vice_captain_phone, vice_captain_whatsapp, vice_captain_email,
            consent_version, consented_at, locale, manage_generation, next_position,
            registered_at, updated_at)
        SELECT
            :id, :tournament_id, numbered.church_id, numbered.code, :name, :normalized_name,
            'PENDING', 1, :captain_name, :captain_phone, :captain_whatsapp, :captain_email,
            :vice_name, :vice_phone, :vice_whatsapp, :vice_email,
            :consent_version, CAST(:consented_at AS timestamptz), :locale, 1, :next_position,
            :now, :now
        FROM numbered
    ), new_players AS (
        INSERT INTO player (
            id, team_id, position, name, normalized_name, role, jersey_number, date_of_birth)
        SELECT p.id, :id, p.position, p.name, p.normalized_name, p.role, p.jersey, p.born
        FROM numbered, unnest(
            CAST(:player_ids AS uuid[]), CAST(:positions AS integer[]),
            CAST(:player_names AS text[]), CAST(:player_normalized AS text[]),
            CAST(:roles AS text[]), CAST(:jerseys AS integer[]), CAST(:births AS date[])
        ) AS p (id, position, name, normalized_name, role, jersey, born)
    ), new_audit_event AS (
        INSERT INTO audit_event (id, at, actor, action, team_id, request_id, changes)
        SELECT :audit_id, :now, 'captain', 'team.registered', :id, :request_id,
            CAST(:changes AS jsonb) FROM numbered
    ), new_message AS (
        INSERT INTO outbox_message (id, kind, team_id, payload, created_at, due_at)
        SELECT :message_id, 'mail.team_received', :id, '{{}}', :now, :now FROM numbered
    )
    SELECT place.id, place.name, place.taken, numbered.code
    FROM place LEFT JOIN numbered ON true
""")  # noqa: S608  # _TAKE_PLACE is a constant of ours


async def known(
    database: Database, *, idempotency_key: str | None, now: datetime
) -> tuple[TournamentRecord, Remembered | None]:
    """The active tournament, and what the key was used for."""
    (found,) = await database.fetch(_KNOWN, operation=OPERATION, key=idempotency_key, now=now)
    row = SimpleNamespace(**found)
    if row.remembered_team_id is None:
        return tournaments.from_row(row), None
    remembered = Remembered(fingerprint=row.fingerprint, team_id=row.remembered_team_id)
    return tournaments.from_row(row), remembered


async def look_up(connection: AsyncConnection, keys: LookupKeys) -> LookUps:
    """What is taken already, as of now and without locks."""
    values = {
        "church": keys.church,
        "team_name": keys.team_name,
        "captain_email": keys.captain_email,
        "captain_phone": keys.captain_phone,
    }
    row = (await connection.execute(_LOOK_UPS, values)).one()
    return LookUps(**row._asdict())


async def take_church_place(
    connection: AsyncConnection, tournament: TournamentRecord, entry: TeamEntry, *, now: datetime
) -> ChurchRecord | None:
    """The church with one more team, locked; None when it has no place left."""
    values = _church_columns(tournament, entry, now)
    row = (await connection.execute(_PLACE_IN_CHURCH, values)).first()
    return _church(row, tournament) if row is not None else None


async def store(  # noqa: PLR0913 - the rows of a registration
    connection: AsyncConnection,
    tournament: TournamentRecord,
    entry: TeamEntry,
    players: Sequence[PlayerRecord],
    *,
    team_id: UUID,
    now: datetime,
    request_id: str,
) -> Placed:
    """Take the places and write the team, its players, the audit event and the mail that is owed.

    Nothing is written for a church without a place; without a number, what was written has to be
    rolled back. Raises InvalidForm when a team that is live has the name, the e-mail or the phone.
    """
    values = {
        "id": team_id,
        "audit_id": new_id(),
        "message_id": new_id(),
        "request_id": request_id,
        **_church_columns(tournament, entry, now),
        **_team_columns(entry, now),
        **_player_columns(entry, players),
    }
    with duplicates_as_issues():
        row = (await connection.execute(_STORE, values)).first()
    if row is None:
        return Placed(church=None, code=None)
    return Placed(church=_church(row, tournament), code=row.code)


def _church(row: Any, tournament: TournamentRecord) -> ChurchRecord:
    limit = tournament.rules.teams_per_church
    return ChurchRecord(id=row.id, name=row.name, taken=row.taken, limit=limit)


def _church_columns(
    tournament: TournamentRecord, entry: TeamEntry, now: datetime
) -> dict[str, object]:
    return {
        "church_id": new_id(),
        "tournament_id": tournament.id,
        "church_name": entry.church_name,
        "normalized_church": entry.normalized_church_name,
        "limit": tournament.rules.teams_per_church,
        "now": now,
    }


def _team_columns(entry: TeamEntry, now: datetime) -> dict[str, object]:
    return {
        "name": entry.team_name,
        "normalized_name": entry.normalized_team_name,
        **person_columns("captain", entry.captain),
        **person_columns("vice", entry.vice_captain),
        "consent_version": entry.consent_version,
        "consented_at": now if entry.consent_version else None,
        "locale": entry.locale,
    }


def _player_columns(entry: TeamEntry, players: Sequence[PlayerRecord]) -> dict[str, object]:
    changes = {"status": [None, TeamStatus.PENDING.value], "players": [None, len(players)]}
    return {
        "next_position": len(players) + 1,
        "player_ids": [player.id for player in players],
        "positions": [player.position for player in players],
        "player_names": [player.name for player in players],
        "player_normalized": [player.normalized_name for player in entry.players],
        "roles": [player.role.value if player.role else None for player in players],
        "jerseys": [player.jersey_number for player in players],
        "births": [player.date_of_birth for player in players],
        "changes": json.dumps(changes),
    }


@contextmanager
def duplicates_as_issues() -> Iterator[None]:
    """Raises InvalidForm when a live team has the name, the e-mail or the phone by now."""
    try:
        yield
    except IntegrityError as error:
        duplicate = _DUPLICATES.get(constraint(error) or "")
        if duplicate is None:
            raise
        raise InvalidForm((duplicate(),)) from error


def person_columns(prefix: str, person: PersonEntry) -> dict[str, str]:
    """A person's values by the names of columns, or parameters, with this prefix."""
    return {
        f"{prefix}_name": person.name,
        f"{prefix}_phone": person.phone,
        f"{prefix}_whatsapp": person.whatsapp,
        f"{prefix}_email": person.email,
    }
