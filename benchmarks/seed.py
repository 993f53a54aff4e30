"""Rows for measurements: many teams of 15 players, made by PostgreSQL itself."""

from collections.abc import Sequence

import asyncpg

from resolvers.accounts.tokens import hash_token

# Every seventh name is Tamil.
_CHURCHES = """
INSERT INTO church (id, tournament_id, name, normalized_name, taken, created_at)
SELECT gen_random_uuid(), t.id, 'CSI Church ' || n, 'csi church ' || n, 2, now()
FROM tournament t, generate_series(1, ($1 + 1) / 2) AS n WHERE t.is_active
"""
_TEAMS = """
INSERT INTO team (
    id, tournament_id, church_id, code, name, normalized_name, status, version,
    captain_name, captain_phone, captain_whatsapp, captain_email,
    vice_captain_name, vice_captain_phone, vice_captain_whatsapp, vice_captain_email,
    manage_generation, next_position, registered_at, updated_at)
SELECT gen_random_uuid(), t.id, c.id,
    t.code_prefix || '-' || lpad(n::text, greatest(3, length(n::text)), '0'),
    'Warriors ' || n, 'warriors ' || n,
    (ARRAY['PENDING', 'CONFIRMED', 'CHANGES_REQUESTED'])[1 + n % 3], 1,
    'Captain ' || n, '+91' || (7000000000 + n), '+91' || (7000000000 + n),
    'captain' || n || '@example.org',
    'Vice ' || n, '+91' || (8000000000 + n), '+91' || (8000000000 + n),
    'vice' || n || '@example.org', 1, 16,
    timestamptz '2026-11-01T00:00:00Z' + n * interval '1 minute', now()
FROM tournament t
JOIN church c ON c.tournament_id = t.id,
LATERAL generate_series(
    2 * substring(c.name FROM '[0-9]+$')::int - 1, 2 * substring(c.name FROM '[0-9]+$')::int
) AS n
WHERE t.is_active AND n <= $1
"""
_PLAYERS = """
INSERT INTO player (
    id, team_id, position, name, normalized_name, role, jersey_number, date_of_birth)
SELECT gen_random_uuid(), t.id, n,
    CASE n % 7 WHEN 0 THEN 'ஆனந்த் ராஜ் ' ELSE 'Player ' END || chr(64 + n),
    CASE n % 7 WHEN 0 THEN 'ஆனந்த் ராஜ் ' ELSE 'player ' END || chr(96 + n),
    (ARRAY['BATSMAN', 'BOWLER', 'ALL_ROUNDER', 'WICKET_KEEPER', NULL])[1 + n % 5],
    n, CASE n % 2 WHEN 0 THEN date '2000-01-01' + n * 40 END
FROM team t, generate_series(1, 15) AS n
"""
_COUNTS = """
UPDATE tournament SET capacity = NULL, taken = $1, next_team_number = $1 + 1 WHERE is_active
"""

_ORGANISERS = """
WITH one AS (
    INSERT INTO organiser (id, email, role, created_at)
    SELECT gen_random_uuid(), 'viewer' || n || '@example.org', 'REVIEWER', now()
    FROM generate_series(1, cardinality($1::bytea[])) AS n RETURNING id
)
INSERT INTO api_token (
    id, organiser_id, name, role, token_hash, is_signed, created_at, expires_at, last_used_at)
SELECT gen_random_uuid(), o.id, 'benchmark', 'REVIEWER', h.hash, false, now(),
    now() + interval '1 day', now()
FROM (SELECT id, row_number() OVER () AS n FROM one) AS o
JOIN unnest($1::bytea[]) WITH ORDINALITY AS h (hash, n) USING (n)
"""


async def seed_teams(connection: asyncpg.Connection, teams: int) -> None:
    """Into an empty season, with counts that agree."""
    async with connection.transaction():
        await connection.execute(_CHURCHES, teams)
        await connection.execute(_TEAMS, teams)
        await connection.execute(_PLAYERS)
        await connection.execute(_COUNTS, teams)
    await connection.execute("VACUUM ANALYZE")


async def seed_organisers(connection: asyncpg.Connection, tokens: Sequence[str]) -> None:
    """One organiser for each of the API tokens."""
    await connection.execute(_ORGANISERS, [hash_token(one) for one in tokens])
