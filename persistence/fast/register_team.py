"""The one statement of a registration, in the order in which it takes its locks.

Reserve the key; take a place of the church; take a place and a number of the tournament; store the
rows, take the documents. Each part reads what the one before returned. The tournament's row, which
every registration needs, is locked last but for documents, which nobody else needs.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import orjson
from sqlalchemy import text

from domain.audit import AuditAction
from domain.auth.roles import CAPTAIN_ACTOR
from domain.deliveries import DeliveryKind
from domain.errors.exceptions import IdempotencyInProgress
from domain.registration.forms import TeamEntry
from domain.teams.status import TeamStatus
from persistence.engine.database import Database
from persistence.engine.errors import error_context, sqlstate
from persistence.engine.sqlstates import LOCK_NOT_AVAILABLE
from persistence.fast.statement_pool import CompiledStatement
from persistence.ids import new_id
from persistence.records import (
    ChurchRecord,
    DocumentClaim,
    IdempotencyEntry,
    PlayerRecord,
    TournamentRecord,
)
from persistence.repositories.idempotency import OPERATION, RESERVE
from persistence.repositories.registration import (
    build_church,
    church_columns,
    map_duplicate,
    person_columns,
    take_church_slot_sql,
)


class ChurchFull(Exception):
    """The church has no place left."""


class TournamentUnavailable(Exception):
    """The tournament is full, or not open any more."""


class DocumentsUnavailable(Exception):
    """Another team took one of the documents, or it was given up, since it was looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRegistration:
    church: ChurchRecord
    code: str


# What the function `refuse` ends the statement with.
_REFUSALS: dict[str, type[Exception]] = {
    "IC001": ChurchFull,
    "IC002": TournamentUnavailable,
    "IC003": DocumentsUnavailable,
}

# What follows the reservation of the key.
_STORE = f"""
    ), place AS ({take_church_slot_sql("FROM reserved")}    ), numbered AS (
        UPDATE tournament t
        SET taken = t.taken + 1, next_team_number = t.next_team_number + 1
        FROM place
        WHERE t.id = :tournament_id AND t.is_active
          AND (t.capacity IS NULL OR t.taken < t.capacity)
          AND (t.opens_at IS NULL OR NOT isfinite(t.opens_at) OR t.opens_at <= :now)
          AND (t.closes_at IS NULL OR NOT isfinite(t.closes_at) OR t.closes_at > :now)
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
            :id, :tournament_id, numbered.church_id,
            coalesce(numbered.code,
                refuse(CASE WHEN place.id IS NULL THEN 'IC001' ELSE 'IC002' END)),
            :name, :normalized_name, 'PENDING', 1,
            :captain_name, :captain_phone, :captain_whatsapp, :captain_email,
            :vice_name, :vice_phone, :vice_whatsapp, :vice_email,
            :consent_version, CAST(:consented_at AS timestamptz), :locale, 1, :next_position,
            :now, :now
        FROM reserved LEFT JOIN place ON true LEFT JOIN numbered ON true
    ), new_players AS (
        INSERT INTO player (
            id, team_id, position, name, normalized_name, role, jersey_number, date_of_birth)
        SELECT p.id, :id, p.position, p.name, p.normalized_name, p.role, p.jersey, p.born
        FROM numbered, json_to_recordset(CAST(:players AS json)) AS p (
            id uuid, position integer, name text, normalized_name text, role text, jersey integer,
            born date)
    ), claimed AS (
        UPDATE document d SET team_id = :id, player_id = c.player_id, claimed_at = :now
        FROM numbered, unnest(
            CAST(:document_ids AS uuid[]), CAST(:documents_players AS uuid[])
        ) AS c (id, player_id)
        WHERE d.id = c.id AND d.team_id IS NULL AND d.stored_at IS NOT NULL
        RETURNING d.id
    ), new_audit_event AS (
        INSERT INTO audit_event (id, at, actor, action, team_id, request_id, changes)
        SELECT :audit_id, :now, '{CAPTAIN_ACTOR}', '{AuditAction.TEAM_REGISTERED}', :id,
            :request_id, CAST(:changes AS jsonb) FROM numbered
    ), new_message AS (
        INSERT INTO outbox_message (id, kind, team_id, payload, created_at, due_at)
        SELECT :message_id, '{DeliveryKind.MAIL_TEAM_RECEIVED}', :id, '{{}}', :now, :now
        FROM numbered
    )
    SELECT CAST(place.id AS uuid) AS id, CAST(place.name AS text) AS name,
        CAST(place.taken AS integer) AS taken, CAST(numbered.code AS text) AS code,
        CASE WHEN (SELECT count(*) FROM claimed) < cardinality(CAST(:document_ids AS uuid[]))
            THEN refuse('IC003') END
    FROM place JOIN numbered ON true
"""  # noqa: S608  # constants of ours


@lru_cache
def _storing(*, with_key: bool) -> CompiledStatement:
    return CompiledStatement(
        text(f"WITH reserved AS ({RESERVE if with_key else 'SELECT 1'}{_STORE}")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRows:
    """What is stored. Without a key it cannot be told whether it was stored before."""

    tournament: TournamentRecord
    entry: TeamEntry
    players: tuple[PlayerRecord, ...]
    claims: tuple[DocumentClaim, ...]
    key: str | None
    idempotency: IdempotencyEntry
    now: datetime
    expires_at: datetime
    request_id: str


async def store(
    database: Database, registration: RegistrationRows, *, answer: object = None
) -> StoredRegistration | None:
    """Write the team with all that belongs to it; None for a key that was used before.

    `answer` is all that is shown of the team beside what is returned here.
    That may have been for this team, when the statement is repeated because its answer was lost.
    Waits for a registration with the same key that is under way. Raises IdempotencyInProgress when
    that takes longer than the lock timeout; InvalidForm when a team that is live has the name, the
    e-mail or the phone; NoChurchPlace, NoNumber, DocumentsTaken, Unanswerable.
    """
    key = registration.key
    rows = await database.write(
        _storing(with_key=key is not None),
        _values(registration),
        repeatable=key is not None,
        map_error=_meaning,
        answer=answer,
    )
    if not rows:
        return None
    return StoredRegistration(
        church=build_church(rows[0], registration.tournament), code=rows[0]["code"]
    )


def _meaning(error: BaseException) -> Exception | None:
    """What a failure of the statement says; None for one that says nothing about the form."""
    state = sqlstate(error) or ""
    if state in _REFUSALS:
        return _REFUSALS[state]()
    if state == LOCK_NOT_AVAILABLE and '"idempotency_record"' in error_context(error):
        return IdempotencyInProgress()
    return map_duplicate(error)


@lru_cache
def _changes(players: int) -> str:
    return json.dumps({"status": [None, TeamStatus.PENDING.value], "players": [None, players]})


def _players(registration: RegistrationRows) -> str:
    """As JSON, which takes a quarter of the time of arrays to send and no longer to read."""
    return orjson.dumps(
        [
            {
                "id": player.id,
                "position": player.position,
                "name": player.name,
                "normalized_name": entry.normalized_name,
                "role": player.role,
                "jersey": player.jersey_number,
                "born": player.date_of_birth,
            }
            for player, entry in zip(registration.players, registration.entry.players, strict=True)
        ]
    ).decode()


def _values(registration: RegistrationRows) -> dict[str, object]:
    entry, players, now = registration.entry, registration.players, registration.now
    reserved = {
        "operation": OPERATION,
        "key": registration.key,
        "fingerprint": registration.idempotency.fingerprint,
        "expires_at": registration.expires_at,
    }
    return {
        **(reserved if registration.key is not None else {}),
        "id": registration.idempotency.team_id,
        "audit_id": new_id(),
        "message_id": new_id(),
        "request_id": registration.request_id,
        **church_columns(registration.tournament, entry, now),
        "name": entry.team_name,
        "normalized_name": entry.normalized_team_name,
        **person_columns("captain", entry.captain),
        **person_columns("vice", entry.vice_captain),
        "consent_version": entry.consent_version,
        "consented_at": now if entry.consent_version else None,
        "locale": entry.locale,
        "next_position": len(players) + 1,
        "players": _players(registration),
        "document_ids": [claim.document_id for claim in registration.claims],
        "documents_players": [claim.player_id for claim in registration.claims],
        "changes": _changes(len(players)),
    }
