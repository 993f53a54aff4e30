"""The whole service on one screen: middleware, routes, lifespan."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import uvicorn
from argon2 import PasswordHasher
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp

from config.base import SettingsError
from domain.documents import MAX_BYTES, RetentionClass
from domain.errors.exceptions import StorageUnavailable
from integrations.storage.base import DocumentStore
from integrations.storage.folder import FolderStore
from integrations.storage.inspection.sanitize import InspectionOptions
from integrations.storage.upload_buffer import UploadBuffer
from observability.tracing import start_tracing, stop_tracing
from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from resilience.background_tasks import BackgroundTasks
from resilience.memory import return_freed_blocks_to_system
from resilience.shutdown_deadline import wait_or_cancel
from resolvers.accounts.known_clients import device_id
from resolvers.accounts.passwords import Passwords
from resolvers.documents.jobs import HANDLERS
from resolvers.operations.maintenance import prune_periodically, sweep_periodically
from resolvers.operations.outbox import Handler, run_outbox
from resolvers.security.secrets import Secrets
from resolvers.services import Accounts, DiskProbe, HealthSource, Services, Storage
from schema.context import ExecutionOptions
from settings import Settings, ensure_secret_key
from web.auth.authentication import Authentication
from web.graphql.endpoint import GraphQLEndpoint
from web.graphql.trusted_documents import trusted_documents
from web.middleware.access_log import App, Responder, Surroundings
from web.middleware.cors import Cors
from web.middleware.exchange import Rules
from web.middleware.rate_limit import RateLimit
from web.middleware.timeout import BodyLimits, TimeoutScheduler, TrustedHosts
from web.rate_limiting.guesses import Guesses
from web.rate_limiting.limiter import RateLimiter
from web.routes.exports import Exports
from web.routes.files import Files
from web.routes.health import Readiness, errors, graphiql, livez, method_not_allowed, not_found
from web.routes.metrics import Metrics
from web.routes.uploads import Uploads
from web.server.graceful_shutdown import ShutdownState
from web.server.protocol import ConnectionLimits, protocol_factory

if TYPE_CHECKING:
    from integrations.storage.cloudinary_store import CloudinaryStore

INVITATION_LIFETIME = timedelta(days=7)
# For connections to be given back, even when nothing is left of the grace period.
CLOSING_SECONDS = 2.0


def create_app(
    settings: Settings,
    database_url: str,
    drain: ShutdownState | None = None,
    background: BackgroundTasks | None = None,
) -> Starlette:
    """The ASGI application on a database whose schema is current. Connects when it starts.

    `background` may hold tasks of the process's own, which health shows with the others.
    """
    return_freed_blocks_to_system()
    drain = drain or ShutdownState()
    limits = RateLimiter(
        enabled=settings.enable_rate_limiting,
        requests_per_minute=settings.rate_limit_requests,
        queries_per_minute=settings.rate_limit_queries,
        uploads_per_10_minutes=settings.rate_limit_uploads,
        sign_ins_per_15_minutes=settings.rate_limit_sign_ins,
        storage_uri=settings.rate_limit_storage.get_secret_value(),
    )
    configure_tracing(settings)
    database = Database(database_options(settings, database_url))
    services = build_services(
        settings,
        database,
        health_sources=(limits,) if limits.is_shared else (),
        background=background,
    )
    graphql = graphql_endpoint(settings, services, limits)
    # It refuses other methods itself, and counts them.
    route = Route("/graphql", graphql)
    app = App(
        routes=[route, *routes(settings, services, limits, drain)],
        middleware=middleware(settings, {route.path: graphql}, partial(device_id, services)),
        exception_handlers={404: not_found, 405: method_not_allowed},
        lifespan=partial(
            lifespan,
            services,
            limits,
            HANDLERS if settings.outbox_in_server else {},
            drain=drain,
            grace_seconds=settings.shutdown_grace_seconds,
        ),
    )
    # A path with a slash too many is no page of ours, and is answered as such.
    app.router.redirect_slashes = False
    return app


def middleware(
    settings: Settings,
    straight: Mapping[str, Responder],
    device_of: Callable[[str], str | None] = lambda _: None,
) -> list[Middleware]:
    """Heads are limited before it, by connections; the rates of queries, mutations and files after
    it, once it is known what a request is.

    `device_of` names a client that has signed in before by its cookie; see RateLimit.
    `straight` answers the paths that are asked for most.
    """
    return [
        Middleware(
            Surroundings,
            rules=Rules(
                https_only=settings.environment == "production",
                cors=Cors(
                    origins=settings.cors_origins,
                    credentials=settings.cors_credentials,
                    headers=settings.cors_headers,
                ),
                sizes=BodyLimits(
                    max_bytes=settings.max_request_size_bytes,
                    max_bytes_below={
                        "/graphql": settings.max_json_size_bytes,
                        "/uploads/": MAX_BYTES,
                    },
                ),
                deadlines=TimeoutScheduler(
                    seconds=settings.request_timeout_seconds,
                    receive_seconds=settings.receive_timeout_seconds,
                ),
                compresses=settings.enable_compression,
            ),
            hosts=TrustedHosts(settings.allowed_hosts),
            straight=straight,
            rate=rate_limit(settings, device_of),
        )
    ]


def rate_limit(settings: Settings, device_of: Callable[[str], str | None]) -> RateLimit | None:
    if not settings.enable_rate_limiting:
        return None
    return RateLimit(
        per_minute=settings.rate_limit_all,
        trusted_proxies=settings.trusted_proxies,
        device_of=device_of,
    )


def uvicorn_config(settings: Settings, app: ASGIApp, drain: ShutdownState) -> uvicorn.Config:
    head, stall = settings.header_timeout_seconds, settings.upload_stall_seconds
    manners = ConnectionLimits(head_seconds=head, stall_seconds=stall, drain=drain)
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=protocol_factory(manners),
        ws="none",
        log_config=None,
        access_log=False,
        # What a request binds is bound for no other one.
        reset_contextvars=True,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.shutdown_grace_seconds,
    )


def graphql_endpoint(
    settings: Settings, services: Services, limits: RateLimiter
) -> GraphQLEndpoint:
    sessions = Authentication(
        services,
        limits,
        environment=settings.environment,
        trusted_proxies=settings.trusted_proxies,
        cors_origins=settings.cors_origins,
        allowed_networks=settings.admin_allowed_networks,
    )
    return GraphQLEndpoint(
        services,
        sessions,
        anonymous_introspection=settings.anonymous_introspection,
        trusted=trusted_documents(settings.trusted_documents),
        execution=ExecutionOptions(
            compiled=settings.compiled_execution, rendered=settings.rendered_plans
        ),
    )


def routes(
    settings: Settings, services: Services, limits: RateLimiter, drain: ShutdownState
) -> list[Route]:
    """All but `/graphql`'s."""
    readiness = Readiness(services, drain)
    guesses = Guesses(limits, settings.trusted_proxies)
    uploads = Uploads(services, limits, guesses, stall_seconds=settings.upload_stall_seconds)
    token = settings.metrics_token
    metrics = Metrics(services, guesses, token.get_secret_value() if token else None)
    served = [
        Route("/uploads/{ticket}", uploads.respond, methods=["PUT", "HEAD"]),
        Route("/files/{link}", Files(services, guesses).respond),
        Route("/exports/{link}", Exports(services, guesses).respond),
        Route("/metrics", metrics.respond),
        Route("/livez", livez),
        Route("/readyz", readiness.respond),
        Route("/health", readiness.respond),
        Route("/errors", errors),
    ]
    return [*served, Route("/graphiql", graphiql)] if settings.graphiql else served


@asynccontextmanager
async def lifespan(
    services: Services,
    limits: RateLimiter,
    handlers: Mapping[str, Handler],
    _app: Starlette,
    *,
    drain: ShutdownState,
    grace_seconds: float,
) -> AsyncGenerator[None]:
    background, database = services.background, services.database
    ended_at_once, ended_in_time = [], []
    if database.options.keep_alive_seconds:
        keep_alive = background.start("keepAlive", database.keep_alive, healthy_after_seconds=None)
        ended_at_once.append(keep_alive)
    if limits.is_shared:
        ended_at_once.append(
            background.start("rateLimitStoreProbe", lambda _: limits.look_after_store())
        )
    ended_at_once.append(
        background.start(
            "sweepUploads", partial(sweep_periodically, services), healthy_after_seconds=None
        )
    )
    if handlers:
        ended_at_once.append(
            background.start(
                "prune", partial(prune_periodically, services), healthy_after_seconds=None
            )
        )
        outbox = run_outbox(services, handlers, drain.stopping)
        ended_in_time.append(asyncio.create_task(outbox, name="outbox"))
    try:
        yield
    finally:
        drain.stopping.set()
        for task in ended_at_once:
            task.cancel()
        left = drain.seconds_left(otherwise=grace_seconds)
        await wait_or_cancel([*ended_at_once, *ended_in_time], within_seconds=left)
        closing = [
            asyncio.create_task(limits.close(), name="rateLimitStore"),
            asyncio.create_task(database.close(), name="database"),
            asyncio.create_task(asyncio.to_thread(stop_tracing), name="tracing"),
        ]
        left = drain.seconds_left(otherwise=grace_seconds)
        await wait_or_cancel(closing, within_seconds=max(CLOSING_SECONDS, left))


def build_services(
    settings: Settings,
    database: Database,
    health_sources: tuple[HealthSource, ...] = (),
    background: BackgroundTasks | None = None,
) -> Services:
    current, previous = settings.secret_key, settings.secret_key_previous
    cloudinary = build_cloudinary_store(settings)
    storage = build_storage(settings, cloudinary)
    return Services(
        database=database,
        storage=storage,
        accounts=build_accounts(settings),
        guards=(cloudinary.guard,) if cloudinary else (),
        secrets=Secrets(
            current=(
                current.get_secret_value() if current else ensure_secret_key(settings.data_dir)
            ),
            previous=previous.get_secret_value() if previous else None,
        ),
        clock=lambda: datetime.now(UTC),
        idempotency_ttl=timedelta(hours=settings.idempotency_hours),
        version=settings.app_version,
        health_sources=health_sources,
        disks=disks_of(storage),
        background=background or BackgroundTasks(),
    )


def build_accounts(settings: Settings) -> Accounts:
    return Accounts(
        # One of OWASP's choices for Argon2id: 19 MiB, two passes, one lane.
        passwords=Passwords(PasswordHasher(memory_cost=19_456, time_cost=2, parallelism=1)),
        session_idle_timeout=timedelta(hours=settings.session_idle_hours),
        session_max_age=timedelta(days=settings.session_max_days),
        invitation_lifetime=INVITATION_LIFETIME,
    )


def build_storage(settings: Settings, cloudinary: "CloudinaryStore | None") -> Storage:
    stores: dict[str, DocumentStore] = {
        "folder": FolderStore(settings.document_dir or settings.data_dir / "documents")
    }
    if cloudinary is not None:
        stores["cloudinary"] = cloudinary
    days = {
        RetentionClass.IDENTITY: settings.retention_identity_days,
        RetentionClass.LETTER: settings.retention_letter_days,
        RetentionClass.PAYMENT: settings.retention_payment_days,
        RetentionClass.PHOTO: settings.retention_photo_days,
    }
    inspection = InspectionOptions(
        processes=settings.inspection_processes,
        seconds=settings.inspection_seconds,
        memory_bytes=settings.inspection_memory_bytes,
        patience_seconds=settings.request_timeout_seconds / 3,
    )
    return Storage(
        primary_store=stores[settings.active_document_store],
        stores=stores,
        upload_buffer=UploadBuffer(
            settings.upload_dir or settings.data_dir / "uploads",
            client_bytes=settings.upload_bytes_per_client,
        ),
        ticket_lifetime=timedelta(hours=settings.upload_ticket_hours),
        link_lifetime=timedelta(minutes=settings.link_minutes),
        unclaimed_ttl=timedelta(hours=settings.unclaimed_upload_hours),
        retention={one: timedelta(days=count) for one, count in days.items()},
        inspection=inspection,
        # Time enough for a file that takes as long as it may, after it has waited.
        finish_seconds=max(settings.request_timeout_seconds, 2 * inspection.deadline_seconds),
    )


def disks_of(storage: Storage) -> tuple[DiskProbe, ...]:
    """Of uploads, and of new documents where they are kept in a folder."""
    media = storage.primary_store
    return (
        storage.upload_buffer.space,
        *((media.space,) if isinstance(media, FolderStore) else ()),
    )


def build_cloudinary_store(settings: Settings) -> "CloudinaryStore | None":
    """None without an account: its libraries take a fifth of a second to import."""
    if settings.cloudinary_account is None:
        return None
    from integrations.storage.cloudinary_store import CloudinaryStore  # noqa: PLC0415
    from resilience.circuit_breaker import ServiceGuard, ServiceGuardOptions  # noqa: PLC0415

    seconds = settings.cloudinary_timeout_seconds
    options = ServiceGuardOptions(
        timeout_seconds=seconds,
        attempts=settings.outside_attempts,
        failures=settings.breaker_failures,
        window_seconds=settings.breaker_window_seconds,
        open_seconds=settings.breaker_open_seconds,
    )
    transient, unavailable = CloudinaryStore.TRANSIENT, StorageUnavailable
    guard = ServiceGuard("cloudinary", options, transient=transient, unavailable=unavailable)
    return CloudinaryStore(settings.cloudinary_account, guard, timeout_seconds=seconds)


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


def configure_tracing(settings: Settings) -> None:
    """Begin to send spans where that is asked for. Raises SettingsError."""
    if settings.otel_exporter_otlp_endpoint is None:
        return
    try:
        start_tracing(settings.otel_exporter_otlp_endpoint, version=settings.app_version)
    except ImportError:
        needed = "OTEL_EXPORTER_OTLP_ENDPOINT: needs the extra otel, which is not installed"
        raise SettingsError([needed]) from None
