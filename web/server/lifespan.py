"""Start background tasks with the application, and end them with it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette

from observability.tracing import stop_tracing
from resilience.shutdown_deadline import wait_or_cancel
from resolvers.operations.maintenance import run_maintenance_periodically, sweep_periodically
from resolvers.operations.outbox import Handler, run_outbox
from resolvers.services import Services
from web.rate_limiting.limiter import RateLimiter
from web.server.graceful_shutdown import ShutdownState

# Minimum time for closing connections, even when the grace period is over.
CLOSING_SECONDS = 2.0
# A database that answers later than this does not delay the start. Its connections are opened in
# the background, and readiness waits for a ping that is as slow.
WARM_UP_SECONDS = 2.0


@asynccontextmanager
async def lifespan(
    services: Services,
    limits: RateLimiter,
    handlers: Mapping[str, Handler],
    shutdown: ShutdownState,
    grace_seconds: float,
    _app: Starlette,
) -> AsyncGenerator[None]:
    """Run background tasks while the application runs. Without `handlers`, skip outbox and pruning.

    The application starts when a connection of each pool is open, or after WARM_UP_SECONDS.
    At shutdown all tasks have to end before the deadline of `shutdown`. A shutdown without a signal
    has none, and gives them `grace_seconds`.
    """
    database, start = services.database, services.background.start
    warm_up = asyncio.create_task(database.warm_up(), name="warmUp")
    await asyncio.wait([warm_up], timeout=WARM_UP_SECONDS)
    cancel_on_shutdown = [
        warm_up,
        start("sweepUploads", partial(sweep_periodically, services), healthy_after_seconds=None),
    ]
    drain_on_shutdown = []
    if database.options.keep_alive_seconds:
        keep_alive = start("keepAlive", database.keep_alive, healthy_after_seconds=None)
        cancel_on_shutdown.append(keep_alive)
    if limits.is_shared:
        cancel_on_shutdown.append(start("rateLimitStoreProbe", lambda _: limits.probe_store()))
    if handlers:
        prune = partial(run_maintenance_periodically, services)
        cancel_on_shutdown.append(start("prune", prune, healthy_after_seconds=None))
        outbox = run_outbox(services, handlers, shutdown.stopping)
        drain_on_shutdown.append(asyncio.create_task(outbox, name="outbox"))
    try:
        yield
    finally:
        shutdown.stopping.set()
        for task in cancel_on_shutdown:
            task.cancel()
        seconds = shutdown.seconds_left(otherwise=grace_seconds)
        await wait_or_cancel([*cancel_on_shutdown, *drain_on_shutdown], within_seconds=seconds)
        closing = [
            asyncio.create_task(limits.close(), name="rateLimitStore"),
            asyncio.create_task(database.close(), name="database"),
            asyncio.create_task(asyncio.to_thread(stop_tracing), name="tracing"),
        ]
        seconds = shutdown.seconds_left(otherwise=grace_seconds)
        await wait_or_cancel(closing, within_seconds=max(CLOSING_SECONDS, seconds))
