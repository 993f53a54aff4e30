"""The same scenarios, written as the documentation of Strawberry and SQLModel shows.

It has entities with relationships, a session for each request, and types made from entities, but
no middleware, no validation and no log.
"""

import argparse
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from hashlib import sha256
from time import perf_counter
from typing import Any

import strawberry
import uvicorn
from sqlalchemy import func
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import joinedload, selectinload
from sqlmodel import SQLModel, col, select, text
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.applications import Starlette
from starlette.routing import Route
from strawberry.asgi import GraphQL
from strawberry.types import Info

from benchmarks.idiomatic_entities import (
    AuditEvent,
    Church,
    IdempotencyRecord,
    OutboxMessage,
    Player,
    Team,
    Tournament,
    now,
)
from benchmarks.idiomatic_types import (
    Check,
    Health,
    PageInfo,
    RegisterTeamInput,
    RegisterTeamPayload,
    TeamConnection,
    TeamType,
)

POOL_SIZE = 16
LOADED = (joinedload(Team.church), selectinload(Team.players))  # type: ignore[arg-type]
ACTIVE = select(Tournament).where(col(Tournament.is_active))


@strawberry.type
class Query:
    @strawberry.field
    async def team(self, info: Info, code: str) -> TeamType | None:
        async with AsyncSession(info.context["engine"]) as session:
            result = await session.exec(select(Team).where(Team.code == code).options(*LOADED))
            team = result.one_or_none()
            return TeamType.from_entity(team) if team else None

    @strawberry.field
    async def teams(self, info: Info, first: int) -> TeamConnection:
        async with AsyncSession(info.context["engine"]) as session:
            tournament = (await session.exec(ACTIVE)).one()
            page = (
                select(Team)
                .where(Team.tournament_id == tournament.id)
                .order_by(func.length(Team.code), col(Team.code))
                .limit(first + 1)
            )
            rows = (await session.exec(page.options(*LOADED))).all()
            nodes = [TeamType.from_entity(team) for team in rows[:first]]
            return TeamConnection(
                nodes=nodes,
                page_info=PageInfo(
                    has_next_page=len(rows) > first, end_cursor=nodes[-1].code if nodes else None
                ),
            )

    @strawberry.field
    async def health(self, info: Info) -> Health:
        started_at = perf_counter()
        async with AsyncSession(info.context["engine"]) as session:
            await session.exec(text("SELECT 1"))  # type: ignore[call-overload]
        check = Check(name="database", status="OK", latency_ms=(perf_counter() - started_at) * 1000)
        return Health(status="OK", version="0", checks=[check])


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def register_team(self, info: Info, input: RegisterTeamInput) -> RegisterTeamPayload:
        key = info.context["request"].headers["idempotency-key"]
        async with AsyncSession(info.context["engine"], expire_on_commit=False) as session:
            if await session.get(IdempotencyRecord, ("registerTeam", key)) is not None:
                raise ValueError("The key was used.")
            tournament = (await session.exec(ACTIVE.with_for_update())).one()
            church = await find_or_create_church(session, tournament, input.church_name)
            church.taken += 1
            tournament.taken += 1
            number = tournament.next_team_number
            tournament.next_team_number = number + 1
            team = build_team(input, tournament, church, f"{tournament.code_prefix}-{number:03}")
            session.add_all([church, tournament, team])
            await session.flush()
            session.add_all(build_records(team, key))
            await session.commit()
            manage_token = sha256(team.id.bytes).hexdigest()
            return RegisterTeamPayload(
                replayed=False, manage_token=manage_token, team=TeamType.from_entity(team)
            )


async def find_or_create_church(session: AsyncSession, tournament: Tournament, name: str) -> Church:
    query = select(Church).where(
        Church.tournament_id == tournament.id, Church.normalized_name == name.lower()
    )
    church = (await session.exec(query.with_for_update())).one_or_none()
    return church or Church(
        tournament_id=tournament.id, name=name, normalized_name=name.lower(), taken=0
    )


def build_team(form: RegisterTeamInput, tournament: Tournament, church: Church, code: str) -> Team:
    captain, vice = form.captain, form.vice_captain
    return Team(
        tournament_id=tournament.id,
        church_id=church.id,
        code=code,
        name=form.team_name,
        normalized_name=form.team_name.lower(),
        captain_name=captain.name,
        captain_phone=captain.phone,
        captain_whatsapp=captain.phone,
        captain_email=captain.email,
        vice_captain_name=vice.name,
        vice_captain_phone=vice.phone,
        vice_captain_whatsapp=vice.phone,
        vice_captain_email=vice.email,
        next_position=len(form.players) + 1,
        church=church,
        players=[
            Player(
                position=position,
                name=player.name,
                normalized_name=player.name.lower(),
                role=player.role.value if player.role else None,
                jersey_number=player.jersey_number,
                date_of_birth=player.date_of_birth,
            )
            for position, player in enumerate(form.players, start=1)
        ],
    )


def build_records(team: Team, key: str) -> list[SQLModel]:
    """Return the idempotency record, audit event and outbox message of a registration."""
    return [
        IdempotencyRecord(
            operation="registerTeam",
            key=key,
            fingerprint=sha256(key.encode()).digest(),
            team_id=team.id,
            expires_at=now() + timedelta(hours=24),
        ),
        AuditEvent(
            actor="captain",
            action="team.registered",
            team_id=team.id,
            request_id=key,
            changes={"players": [None, len(team.players)]},
        ),
        OutboxMessage(kind="mail.team_received", team_id=team.id, payload={}),
    ]


def create_app(url: str) -> Starlette:
    engine = create_async_engine(url, pool_size=POOL_SIZE, max_overflow=0)

    class Endpoint(GraphQL[Any, None]):
        async def get_context(self, request: Any, response: Any) -> Any:
            return {"request": request, "response": response, "engine": engine}

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        yield
        await engine.dispose()

    endpoint = Endpoint(strawberry.Schema(query=Query, mutation=Mutation))
    return Starlette(routes=[Route("/graphql", endpoint)], lifespan=lifespan)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    uvicorn.run(
        create_app(args.url),
        host="127.0.0.1",
        port=args.port,
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
