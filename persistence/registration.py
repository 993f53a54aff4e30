"""The statements of a registration, in the order in which they take their locks.

Reserve the key, take a place of the church, take a place and a number of the tournament, store the
rows. The tournament's row, which every registration needs, is locked last and shortest. Each
statement is one round trip.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import SimpleNamespace
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.checks import (
    LookupKeys,
    duplicate_captain_email,
    duplicate_captain_phone,
    duplicate_team_name,
)
from domain.errors import IdempotencyInProgress, InvalidForm
from domain.form import PersonEntry, TeamEntry
from persistence import tournaments
from persistence.database import LOCK_NOT_AVAILABLE, Database, constraint, sqlstate
from persistence.direct import Statement
from persistence.ids import new_id
from persistence.models import IS_LIVE
from persistence.records import ChurchRecord, LookUps, Remembered, TeamRecord, TournamentRecord

OPERATION = "registerTeam"

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

_RESERVE = text("""
    INSERT INTO idempotency_record AS r (operation, key, fingerprint, team_id, expires_at)
    VALUES (:operation, :key, :fingerprint, :team_id, :expires_at)
    ON CONFLICT (operation, key) DO UPDATE
        SET fingerprint = excluded.fingerprint, team_id = excluded.team_id,
            expires_at = excluded.expires_at
        WHERE r.expires_at <= :now
    RETURNING r.team_id
""")

_REMEMBERED = text("""
    SELECT fingerprint, team_id FROM idempotency_record WHERE operation = :operation AND key = :key
""")

_PLACE_IN_CHURCH = text("""
    INSERT INTO church AS c (id, tournament_id, name, normalized_name, taken, created_at)
    VALUES (:church_id, :tournament_id, :name, coalesce(
        (SELECT known.normalized_name
         FROM church_alias a JOIN church known ON known.id = a.church_id
         WHERE a.tournament_id = :tournament_id AND a.normalized_name = :normalized_name),
        :normalized_name), 1, :now)
    ON CONFLICT (tournament_id, normalized_name) DO UPDATE SET taken = c.taken + 1
        WHERE CAST(:limit AS integer) IS NULL OR c.taken < :limit
    RETURNING c.id, c.name, c.taken
""")

_NUMBER = text("""
    UPDATE tournament SET taken = taken + 1, next_team_number = next_team_number + 1
    WHERE id = :tournament_id
      AND (capacity IS NULL OR taken < capacity)
      AND (opens_at IS NULL OR opens_at <= :now) AND (closes_at IS NULL OR closes_at > :now)
    RETURNING next_team_number - 1
""")

_STORE = text("""
    WITH new_team AS (
        INSERT INTO team (
            id, tournament_id, church_id, code, name, normalized_name, status, version,
            captain_name, captain_phone, captain_whatsapp, captain_email,
            vice_captain_name, vice_captain_phone, vice_captain_whatsapp, vice_captain_email,
            consent_version, consented_at, locale, manage_generation, next_position,
            registered_at, updated_at)
        VALUES (
            :id, :tournament_id, :church_id, :code, :name, :normalized_name, 'PENDING', 1,
            :captain_name, :captain_phone, :captain_whatsapp, :captain_email,
            :vice_name, :vice_phone, :vice_whatsapp, :vice_email,
            :consent_version, :consented_at, :locale, 1, :next_position, :now, :now)
    ), new_players AS (
        INSERT INTO player (
            id, team_id, position, name, normalized_name, role, jersey_number, date_of_birth)
        SELECT p.id, :id, p.position, p.name, p.normalized_name, p.role, p.jersey, p.born
        FROM unnest(
            CAST(:player_ids AS uuid[]), CAST(:positions AS integer[]),
            CAST(:player_names AS text[]), CAST(:player_normalized AS text[]),
            CAST(:roles AS text[]), CAST(:jerseys AS integer[]), CAST(:births AS date[])
        ) AS p (id, position, name, normalized_name, role, jersey, born)
    ), new_audit_event AS (
        INSERT INTO audit_event (id, at, actor, action, team_id, request_id, changes)
        VALUES (:audit_id, :now, 'captain', 'team.registered', :id, :request_id,
                CAST(:changes AS jsonb))
    )
    INSERT INTO outbox_message (id, kind, team_id, payload, created_at, due_at)
    VALUES (:message_id, 'mail.team_received', :id, '{}', :now, :now)
""")


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


async def reserve(
    connection: AsyncConnection,
    key: str,
    wanted: Remembered,
    *,
    now: datetime,
    expires_at: datetime,
) -> Remembered | None:
    """None when the key stands for `wanted` from now on, else what was committed before.

    That is `wanted` itself when the attempt is repeated because its commit went unanswered.

    Waits for a registration with the same key that is under way. Raises IdempotencyInProgress
    when that takes longer than the lock timeout.
    """
    values = {"operation": OPERATION, "key": key}
    reservation = {
        "fingerprint": wanted.fingerprint,
        "team_id": wanted.team_id,
        "now": now,
        "expires_at": expires_at,
    }
    try:
        reserved = (await connection.execute(_RESERVE, values | reservation)).first()
    except DBAPIError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise IdempotencyInProgress from error
        raise
    if reserved is not None:
        return None
    row = (await connection.execute(_REMEMBERED, values)).one()
    return Remembered(fingerprint=row.fingerprint, team_id=row.team_id)


async def take_church_place(
    connection: AsyncConnection, tournament: TournamentRecord, entry: TeamEntry, *, now: datetime
) -> ChurchRecord | None:
    """The church with one more team, locked; None when it has no place left."""
    limit = tournament.rules.teams_per_church
    values = {
        "church_id": new_id(),
        "tournament_id": tournament.id,
        "name": entry.church_name,
        "normalized_name": entry.normalized_church_name,
        "limit": limit,
        "now": now,
    }
    row = (await connection.execute(_PLACE_IN_CHURCH, values)).first()
    if row is None:
        return None
    return ChurchRecord(id=row.id, name=row.name, taken=row.taken, limit=limit)


async def take_number(
    connection: AsyncConnection, tournament: TournamentRecord, *, now: datetime
) -> int | None:
    """The next team number, the tournament's row locked; None when it is full or not open."""
    values = {"tournament_id": tournament.id, "now": now}
    number: int | None = (await connection.execute(_NUMBER, values)).scalar_one_or_none()
    return number


async def store(
    connection: AsyncConnection,
    team: TeamRecord,
    entry: TeamEntry,
    *,
    tournament_id: UUID,
    request_id: str,
) -> None:
    """Write the team, its players, the audit event and the mail that is owed.

    Raises InvalidForm when a team that is live has the name, the e-mail or the phone.
    """
    now = team.registered_at
    changes = {"status": [None, team.status.value], "players": [None, len(team.players)]}
    values = {
        "id": team.id,
        "tournament_id": tournament_id,
        "church_id": team.church.id,
        "code": team.code,
        "name": team.name,
        "normalized_name": entry.normalized_team_name,
        **person_columns("captain", entry.captain),
        **person_columns("vice", entry.vice_captain),
        "consent_version": entry.consent_version,
        "consented_at": now if entry.consent_version else None,
        "locale": entry.locale,
        "next_position": len(team.players) + 1,
        "now": now,
        "player_ids": [player.id for player in team.players],
        "positions": [player.position for player in team.players],
        "player_names": [player.name for player in team.players],
        "player_normalized": [player.normalized_name for player in entry.players],
        "roles": [player.role.value if player.role else None for player in team.players],
        "jerseys": [player.jersey_number for player in team.players],
        "births": [player.date_of_birth for player in team.players],
        "audit_id": new_id(),
        "message_id": new_id(),
        "request_id": request_id,
        "changes": json.dumps(changes),
    }
    with duplicates_as_issues():
        await connection.execute(_STORE, values)


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
