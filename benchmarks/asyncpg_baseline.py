"""Baseline server: the same scenarios with hand-written SQL on asyncpg.

It has one route for each scenario, no middleware, no validation and no log.
"""

import argparse
import hmac
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from time import perf_counter
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.scenarios import Scenario
from persistence.ids import new_id

POOL_SIZE = 16
SECRET = b"benchmark"
KEY_LIFETIME = timedelta(hours=24)

# One statement is one round trip and one transaction. It locks the tournament's row last, after
# the key and the church.
REGISTER = """
    WITH reserved AS (
        INSERT INTO idempotency_record (operation, key, fingerprint, team_id, expires_at)
        VALUES ('registerTeam', $1, $2, $3, $4)
        ON CONFLICT (operation, key) DO NOTHING RETURNING team_id
    ), place AS (
        INSERT INTO church AS c (id, tournament_id, name, normalized_name, taken, created_at)
        SELECT $5, t.id, $6, lower($6), 1, $7 FROM tournament t, reserved WHERE t.is_active
        ON CONFLICT (tournament_id, normalized_name) DO UPDATE SET taken = c.taken + 1
        RETURNING c.id, c.tournament_id, c.name
    ), numbered AS (
        UPDATE tournament t SET taken = t.taken + 1, next_team_number = t.next_team_number + 1
        FROM place WHERE t.id = place.tournament_id AND (t.capacity IS NULL OR t.taken < t.capacity)
        RETURNING place.id AS church_id, place.name AS church_name, t.id, t.code_prefix,
                  (t.next_team_number - 1)::text AS number
    ), new_team AS (
        INSERT INTO team (
            id, tournament_id, church_id, code, name, normalized_name, status, version,
            captain_name, captain_phone, captain_whatsapp, captain_email,
            vice_captain_name, vice_captain_phone, vice_captain_whatsapp, vice_captain_email,
            manage_generation, next_position, registered_at, updated_at)
        SELECT $3, n.id, n.church_id,
               n.code_prefix || '-' || lpad(n.number, greatest(3, length(n.number)), '0'),
               $8, lower($8), 'PENDING', 1, $9, $10, $10, $11, $12, $13, $13, $14, 1, 16, $7, $7
        FROM numbered n RETURNING code
    ), new_players AS (
        INSERT INTO player (
            id, team_id, position, name, normalized_name, role, jersey_number, date_of_birth)
        SELECT p.id, $3, p.position, p.name, lower(p.name), p.role, p.jersey, p.born::date
        FROM new_team, unnest($15::uuid[], $16::text[], $17::text[], $18::int[], $19::text[])
             WITH ORDINALITY AS p (id, name, role, jersey, born, position)
    ), new_audit_event AS (
        INSERT INTO audit_event (id, at, actor, action, team_id, request_id, changes)
        SELECT $20, $7, 'captain', 'team.registered', $3, $1, '{"players": [null, 15]}'
        FROM new_team
    ), new_message AS (
        INSERT INTO outbox_message (id, kind, team_id, payload, created_at, due_at)
        SELECT $21, 'mail.team_received', $3, '{}', $7, $7 FROM new_team
    )
    SELECT new_team.code, numbered.church_name FROM new_team, numbered
"""


# PostgreSQL builds the JSON of the response.
_TEAM = """
    '{"id":' || to_json(replace(t.id::text, '-', '')) || ',"code":' || to_json(t.code)
    || ',"name":' || to_json(t.name) || ',"status":"' || t.status || '","registeredAt":"'
    || to_char(t.registered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    || '","church":{"name":' || to_json(c.name) || '},"captain":{"name":' || to_json(t.captain_name)
    || ',"phone":' || to_json(t.captain_phone) || ',"email":' || to_json(t.captain_email)
    || '},"viceCaptain":{"name":' || to_json(t.vice_captain_name)
    || ',"phone":' || to_json(t.vice_captain_phone)
    || ',"email":' || to_json(t.vice_captain_email) || '},"players":[' || (
        SELECT string_agg('{"code":"' || t.code || '-P' || lpad(p.position::text, 2, '0')
            || '","name":' || to_json(p.name)
            || ',"role":' || coalesce('"' || p.role || '"', 'null')
            || ',"jerseyNumber":' || coalesce(p.jersey_number::text, 'null')
            || ',"dateOfBirth":' || coalesce('"' || p.date_of_birth || '"', 'null') || '}', ','
            ORDER BY p.position)
        FROM player p WHERE p.team_id = t.id) || ']}'
"""
FIND = f"""
    SELECT '{{"data":{{"team":' || {_TEAM} || '}}}}'
    FROM team t JOIN church c ON c.id = t.church_id WHERE t.code = $1
"""
LIST = f"""
    SELECT '{{"data":{{"teams":{{"nodes":[' || string_agg(team.json, ',') || '],"pageInfo":'
        || '{{"hasNextPage":true,"endCursor":"' || max(team.code) || '"}}}}}}}}'
    FROM (
        SELECT {_TEAM} AS json, t.code
        FROM (
            SELECT * FROM team
            WHERE tournament_id = (SELECT id FROM tournament WHERE is_active)
            ORDER BY length(code), code LIMIT $1
        ) AS t
        JOIN church c ON c.id = t.church_id ORDER BY length(t.code), t.code
    ) AS team
"""


class Connection(asyncpg.Connection):  # type: ignore[misc,unused-ignore]
    def get_reset_query(self) -> str:
        """Return no query: this server changes no session settings."""
        return ""


async def register(request: Request) -> Response:
    body = await request.body()
    team = orjson.loads(body)["variables"]["input"]
    team_id, now = new_id(), datetime.now(UTC)
    values = _values(team, request.headers["idempotency-key"], body, team_id, now)
    row = await request.app.state.pool.fetchrow(REGISTER, *values)
    return _json({"registerTeam": _payload(team, row, team_id, now)})


async def health(request: Request) -> Response:
    started_at = perf_counter()
    await request.app.state.pool.fetchval("SELECT 1")
    check = {"name": "database", "status": "OK", "latencyMs": (perf_counter() - started_at) * 1000}
    return _json({"health": {"status": "OK", "version": "0", "checks": [check]}})


async def find(request: Request) -> Response:
    code = orjson.loads(await request.body())["variables"]["code"]
    return _raw_json(await request.app.state.pool.fetchval(FIND, code))


async def page(request: Request) -> Response:
    size = orjson.loads(await request.body())["variables"]["first"]
    return _raw_json(await request.app.state.pool.fetchval(LIST, size))


def _raw_json(text: str) -> Response:
    return Response(text.encode(), media_type="application/json")


def _values(
    team: dict[str, Any], key: str, body: bytes, team_id: UUID, now: datetime
) -> tuple[Any, ...]:
    captain, vice, players = team["captain"], team["viceCaptain"], team["players"]
    return (
        *(key, hmac.digest(SECRET, body, sha256), team_id, now + KEY_LIFETIME),
        *(new_id(), team["churchName"], now, team["teamName"]),
        *(captain["name"], captain["phone"], captain["email"]),
        *(vice["name"], vice["phone"], vice["email"]),
        [new_id() for _ in players],
        *([player[name] for player in players] for name in ("name", "role", "jerseyNumber")),
        [player["dateOfBirth"] for player in players],
        *(new_id(), new_id()),
    )


def _payload(team: dict[str, Any], row: Any, team_id: UUID, now: datetime) -> dict[str, Any]:
    return {
        "replayed": False,
        "manageToken": f"icm_{team_id.hex}_{hmac.digest(SECRET, team_id.bytes, sha256).hex()}",
        "team": {
            "id": team_id.hex,
            "code": row["code"],
            "name": team["teamName"],
            "status": "PENDING",
            "registeredAt": now,
            "church": {"name": row["church_name"]},
            "captain": team["captain"],
            "viceCaptain": team["viceCaptain"],
            "players": [
                {"code": f"{row['code']}-P{position:02}", **player}
                for position, player in enumerate(team["players"], start=1)
            ],
        },
    }


def _json(data: dict[str, Any]) -> Response:
    return Response(orjson.dumps({"data": data}), media_type="application/json")


ENDPOINTS = {
    Scenario.REGISTER: register,
    Scenario.PAGE: page,
    Scenario.TEAM: find,
    Scenario.HEALTH: health,
}


def create_app(dsn: str) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        async with asyncpg.create_pool(
            dsn, min_size=POOL_SIZE, max_size=POOL_SIZE, connection_class=Connection
        ) as app.state.pool:
            yield

    return Starlette(
        routes=[
            Route(f"/{scenario}", endpoint, methods=["POST"])
            for scenario, endpoint in ENDPOINTS.items()
        ],
        lifespan=lifespan,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    uvicorn.run(
        create_app(args.dsn),
        host="127.0.0.1",
        port=args.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
    )


if __name__ == "__main__":
    main()
