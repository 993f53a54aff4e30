"""Store a registration in one statement.

It reserves the idempotency key, takes a slot of the church, takes a slot and a number of the
tournament, stores the rows and claims the documents. Each step reads what the one before returned,
which fixes the order of the locks. The tournament row, for which all registrations wait, is locked
last, except for the documents, which no other transaction waits for.
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
from domain.registration.forms import ValidTeam
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
from persistence.repositories.idempotency import REGISTER_TEAM
from persistence.repositories.registration import map_duplicate, person_columns
from persistence.repositories.slots import (
    build_church,
    church_slot_parameters,
    take_church_slot_sql,
)


class ChurchFull(Exception):
    """All slots of the church are taken."""


class TournamentUnavailable(Exception):
    """The tournament is full, or its registration is closed."""


class DocumentsUnavailable(Exception):
    """A document was claimed by another team, or deleted, after it was checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRegistration:
    church: ChurchRecord
    code: str


# SQLSTATEs with which `refuse`, a function of the database, ends the statement.
_ERRORS_BY_SQLSTATE: dict[str, type[Exception]] = {
    "IC001": ChurchFull,
    "IC002": TournamentUnavailable,
    "IC003": DocumentsUnavailable,
}

# Returns no row for a key in use; waits for a transaction that is about to use it.
_RESERVE = """
        INSERT INTO idempotency_record AS r (operation, key, fingerprint, team_id, expires_at)
        VALUES (:operation, :key, :fingerprint, :id, :expires_at)
        ON CONFLICT (operation, key) DO UPDATE
            SET fingerprint = excluded.fingerprint, team_id = excluded.team_id,
                expires_at = excluded.expires_at
            WHERE r.expires_at <= :now
        RETURNING r.team_id
"""
# Continues the CTE that reserves the key.
_STORE = f"""
    ), church_slot AS ({take_church_slot_sql("FROM reserved")}    ), numbered AS (
        UPDATE tournament t
        SET taken = t.taken + 1, next_team_number = t.next_team_number + 1
        FROM church_slot
        WHERE t.id = :tournament_id AND t.is_active
          AND (t.capacity IS NULL OR t.taken < t.capacity)
          AND (t.opens_at IS NULL OR NOT isfinite(t.opens_at) OR t.opens_at <= :now)
          AND (t.closes_at IS NULL OR NOT isfinite(t.closes_at) OR t.closes_at > :now)
        RETURNING church_slot.id AS church_id,
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
                refuse(CASE WHEN church_slot.id IS NULL THEN 'IC001' ELSE 'IC002' END)),
            :name, :normalized_name, 'PENDING', 1,
            :captain_name, :captain_phone, :captain_whatsapp, :captain_email,
            :vice_name, :vice_phone, :vice_whatsapp, :vice_email,
            :consent_version, CAST(:consented_at AS timestamptz), :locale, 1, :next_position,
            :now, :now
        FROM reserved LEFT JOIN church_slot ON true LEFT JOIN numbered ON true
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
    SELECT CAST(church_slot.id AS uuid) AS id, CAST(church_slot.name AS text) AS name,
        CAST(church_slot.taken AS integer) AS taken, CAST(numbered.code AS text) AS code,
        CASE WHEN (SELECT count(*) FROM claimed) < cardinality(CAST(:document_ids AS uuid[]))
            THEN refuse('IC003') END
    FROM church_slot JOIN numbered ON true
"""  # noqa: S608 - only constants are interpolated


@lru_cache
def _statement(*, with_key: bool) -> CompiledStatement:
    return CompiledStatement(
        text(f"WITH reserved AS ({_RESERVE if with_key else 'SELECT 1'}{_STORE}")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRows:
    """The values of a registration. Without a `key`, a repeat stores the team a second time."""

    tournament: TournamentRecord
    entry: ValidTeam
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
    """Store the team with its players, documents, audit event and message.

    `answer` is everything that the response shows of the team beside what is returned here.
    Return None for a key that was used before; also for this team, when the statement was repeated
    because its answer was lost. Waits for another transaction that is using the key. Raises
    IdempotencyInProgress when that takes longer than the lock timeout, InvalidForm when a live team
    has the same name, e-mail or phone, ChurchFull, TournamentUnavailable, DocumentsUnavailable,
    UnrepresentableResult.
    """
    key = registration.key
    rows = await database.write(
        _statement(with_key=key is not None),
        _parameters(registration),
        repeatable=key is not None,
        map_error=_map_error,
        response_values=answer,
    )
    if not rows:
        return None
    return StoredRegistration(
        church=build_church(rows[0], registration.tournament), code=rows[0]["code"]
    )


def _map_error(error: BaseException) -> Exception | None:
    """The domain error for a failure of the statement; None if it is not about the form."""
    code = sqlstate(error) or ""
    if code in _ERRORS_BY_SQLSTATE:
        return _ERRORS_BY_SQLSTATE[code]()
    if code == LOCK_NOT_AVAILABLE and '"idempotency_record"' in error_context(error):
        return IdempotencyInProgress()
    return map_duplicate(error)


@lru_cache
def _changes(player_count: int) -> str:
    status = [None, TeamStatus.PENDING.value]
    return json.dumps({"status": status, "players": [None, player_count]})


def _players(registration: RegistrationRows) -> str:
    """The players as JSON: encoding takes a quarter of the time that arrays take."""
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


def _parameters(registration: RegistrationRows) -> dict[str, object]:
    entry, players, now = registration.entry, registration.players, registration.now
    key_values = {
        "operation": REGISTER_TEAM,
        "key": registration.key,
        "fingerprint": registration.idempotency.fingerprint,
        "expires_at": registration.expires_at,
    }
    return {
        **(key_values if registration.key is not None else {}),
        "id": registration.idempotency.object_id,
        "audit_id": new_id(),
        "message_id": new_id(),
        "request_id": registration.request_id,
        **church_slot_parameters(registration.tournament, entry, now),
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
