"""The whole service on one screen: middleware, routes, lifespan."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from domain.errors import MethodNotAllowed, NotFound
from persistence.database import Database, DatabaseOptions
from resolvers.context import Services
from resolvers.secrets import Secrets
from settings import Settings, ensure_secret_key
from web.graphql import GraphQLEndpoint, refusal
from web.limits import RateLimits
from web.middleware import middleware_stack
from web.pages import Readiness, errors, graphiql, livez


def create_app(settings: Settings, database_url: str) -> Starlette:
    """The ASGI application on a database whose schema is current. Connects when it starts."""
    services = services_for(settings, Database(database_options(settings, database_url)))
    limits = RateLimits(
        enabled=settings.enable_rate_limiting,
        requests_per_minute=settings.rate_limit_requests,
        queries_per_minute=settings.rate_limit_queries,
        storage_uri=settings.rate_limit_storage.get_secret_value(),
    )
    app = Starlette(
        routes=routes(settings, services, limits),
        middleware=middleware_stack(
            environment=settings.environment,
            cors_origins=settings.cors_origins,
            cors_credentials=settings.cors_credentials,
            allowed_hosts=settings.allowed_hosts,
            enable_compression=settings.enable_compression,
            max_request_size_bytes=settings.max_request_size_bytes,
            max_json_size_bytes=settings.max_json_size_bytes,
            request_timeout_seconds=settings.request_timeout_seconds,
        ),
        exception_handlers={404: not_found, 405: method_not_allowed},
        lifespan=partial(lifespan, services.database, limits),
    )
    # A path with a slash too many is no page of ours, and is answered as such.
    app.router.redirect_slashes = False
    return app


def routes(settings: Settings, services: Services, limits: RateLimits) -> list[Route]:
    graphql = GraphQLEndpoint(
        services,
        limits,
        trusted_proxies=settings.trusted_proxies,
        anonymous_introspection=settings.anonymous_introspection,
    )
    readiness = Readiness(services)
    served = [
        Route("/graphql", graphql.respond, methods=["GET", "POST"]),
        Route("/livez", livez),
        Route("/readyz", readiness.respond),
        Route("/health", readiness.respond),
        Route("/errors", errors),
    ]
    return [*served, Route("/graphiql", graphiql)] if settings.graphiql else served


@asynccontextmanager
async def lifespan(database: Database, limits: RateLimits, _app: Starlette) -> AsyncGenerator[None]:
    keep_alive = asyncio.create_task(database.keep_alive())
    try:
        yield
    finally:
        keep_alive.cancel()
        with suppress(asyncio.CancelledError):
            await keep_alive
        await limits.close()
        await database.close()


def services_for(settings: Settings, database: Database) -> Services:
    current, previous = settings.secret_key, settings.secret_key_previous
    return Services(
        database=database,
        secrets=Secrets(
            current=(
                current.get_secret_value() if current else ensure_secret_key(settings.data_dir)
            ),
            previous=previous.get_secret_value() if previous else None,
        ),
        clock=lambda: datetime.now(UTC),
        idempotency_kept=timedelta(hours=settings.idempotency_hours),
        version=settings.app_version,
    )


def database_options(settings: Settings, url: str) -> DatabaseOptions:
    return DatabaseOptions(
        url=url,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pool_recycle_seconds=settings.database_pool_recycle_seconds,
        connect_timeout_seconds=settings.database_connect_timeout_seconds,
        statement_timeout_seconds=settings.database_statement_timeout_seconds,
        lock_timeout_seconds=settings.database_lock_timeout_seconds,
        idle_transaction_timeout_seconds=settings.database_idle_transaction_timeout_seconds,
        keep_alive_seconds=settings.database_keep_alive_seconds,
        attempts=settings.database_retry_attempts,
        pgbouncer=settings.database_pgbouncer,
    )


async def not_found(_request: Request, _error: Exception) -> Response:
    return refusal(NotFound("There is nothing at this address."))


async def method_not_allowed(request: Request, _error: Exception) -> Response:
    allowed = "GET, POST" if request.url.path == "/graphql" else "GET"
    return refusal(MethodNotAllowed(), allow=allowed)
