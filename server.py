"""The ASGI application: middleware, routes, lifespan."""

from collections.abc import Callable
from functools import partial

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from bootstrap import build_services, configure_tracing, database_options
from domain.documents import MAX_FILE_BYTES
from persistence.engine.database import Database
from resilience.background_tasks import BackgroundTasks
from resilience.memory import return_freed_blocks_to_system
from resolvers.accounts.known_clients import known_client_id
from resolvers.documents.jobs import HANDLERS
from resolvers.services import Services
from schema.context import ExecutionOptions
from settings import Settings
from web.auth.authentication import AuthenticationConfig
from web.graphql.endpoint import GraphQLEndpoint
from web.graphql.trusted_documents import trusted_documents
from web.middleware.access_log import AccessLog
from web.middleware.body_limit import BodyLimit
from web.middleware.compression import Compression
from web.middleware.cors import CORS
from web.middleware.error_envelope import ErrorEnvelope
from web.middleware.rate_limit import RateLimit, RequestRateLimiter
from web.middleware.request_id import RequestId
from web.middleware.security_headers import SecurityHeaders
from web.middleware.timeout import Timeout
from web.middleware.trusted_host import TrustedHost
from web.rate_limiting.guesses import GuessLimiter
from web.rate_limiting.limiter import RateLimiter
from web.routes import exports, files, health, metrics, pages, uploads
from web.server.graceful_shutdown import ShutdownState
from web.server.lifespan import lifespan


def create_app(
    settings: Settings,
    database_url: str,
    shutdown: ShutdownState | None = None,
    background: BackgroundTasks | None = None,
) -> Starlette:
    """Return the application on a database whose schema is current. It connects at startup."""
    return_freed_blocks_to_system()
    configure_tracing(settings)
    shutdown = shutdown or ShutdownState()
    limits = RateLimiter(
        enabled=settings.enable_rate_limiting,
        mutations_per_minute=settings.rate_limit_requests,
        queries_per_minute=settings.rate_limit_queries,
        uploads_per_10_minutes=settings.rate_limit_uploads,
        sign_ins_per_15_minutes=settings.rate_limit_sign_ins,
        storage_uri=settings.rate_limit_storage.get_secret_value(),
    )
    health_sources = (limits,) if limits.is_shared else ()
    database = Database(database_options(settings, database_url))
    services = build_services(settings, database, health_sources, background)
    handlers = HANDLERS if settings.outbox_in_server else {}
    grace_seconds = settings.shutdown_grace_seconds
    app = Starlette(
        routes=routes(settings, services, limits, shutdown),
        middleware=middleware(settings, limits, partial(known_client_id, services)),
        exception_handlers={404: pages.not_found, 405: pages.method_not_allowed},
        lifespan=partial(lifespan, services, limits, handlers, shutdown, grace_seconds),
    )
    # A path with one slash too many is not found.
    app.router.redirect_slashes = False
    return app


def middleware(
    settings: Settings,
    limits: RateLimiter | None = None,
    known_device: Callable[[str], str | None] = lambda _: None,
) -> list[Middleware]:
    """Return the middleware, outermost first. Each can be left out, and others put anywhere."""
    requests = RequestRateLimiter(
        per_minute=settings.rate_limit_all,
        trusted_proxies=settings.trusted_proxies,
        known_device=known_device,
    )
    is_limited, compresses = settings.enable_rate_limiting, settings.enable_compression
    max_bytes = settings.max_request_size_bytes
    max_bytes_below = {"/graphql": settings.max_json_size_bytes, "/uploads/": MAX_FILE_BYTES}
    seconds, receive_seconds = settings.request_timeout_seconds, settings.receive_timeout_seconds
    return [
        # First, so that the line of the access log has the id.
        Middleware(RequestId),
        Middleware(AccessLog),
        Middleware(SecurityHeaders, hsts=settings.environment == "production"),
        Middleware(
            CORS,
            origins=settings.cors_origins,
            credentials=settings.cors_credentials,
            headers=settings.cors_headers,
            # Counted but never refused: browsers would hide the reason.
            on_preflight=requests.count if is_limited else None,
        ),
        *([Middleware(Compression)] if compresses else []),
        Middleware(ErrorEnvelope, max_unread_bytes=max_bytes),
        # Before what refuses requests, so that refused ones are counted too.
        *([Middleware(RateLimit, limiter=requests, operations=limits)] if is_limited else []),
        Middleware(TrustedHost, allowed_hosts=settings.allowed_hosts),
        Middleware(BodyLimit, max_bytes=max_bytes, max_bytes_below=max_bytes_below),
        Middleware(Timeout, seconds=seconds, receive_seconds=receive_seconds),
    ]


def routes(
    settings: Settings, services: Services, limits: RateLimiter, shutdown: ShutdownState
) -> list[Route]:
    authentication = AuthenticationConfig(
        services,
        limits,
        is_deployed=settings.is_deployed,
        is_development=settings.environment == "development",
        trusted_proxies=settings.trusted_proxies,
        cors_origins=settings.cors_origins,
        allowed_networks=settings.admin_allowed_networks,
    )
    options = ExecutionOptions(
        compiled=settings.compiled_execution, rendered=settings.rendered_plans
    )
    graphql = GraphQLEndpoint(
        services,
        authentication,
        anonymous_introspection=settings.anonymous_introspection,
        trusted=trusted_documents(settings.trusted_documents),
        execution=options,
    )
    readiness = health.Readiness(services, shutdown)
    guesses = GuessLimiter(limits, settings.trusted_proxies)
    upload = uploads.Uploads(services, limits, guesses, stall_seconds=settings.upload_stall_seconds)
    metrics_endpoint = metrics.Metrics(services, guesses, settings.metrics_token)
    return [
        # Without methods: the endpoint refuses and counts the others itself.
        Route("/graphql", graphql),
        Route("/uploads/{ticket}", upload.respond, methods=["PUT", "HEAD"]),
        Route("/files/{link}", files.Files(services, guesses).respond),
        Route("/exports/{link}", exports.Exports(services, guesses).respond),
        Route("/metrics", metrics_endpoint.respond),
        Route("/livez", health.livez),
        Route("/readyz", readiness.respond),
        Route("/health", readiness.respond),
        Route("/errors", pages.errors),
        *([Route("/graphiql", pages.graphiql)] if settings.graphiql else []),
    ]
