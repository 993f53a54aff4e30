"""Gauges that are updated when metrics are scraped: connection pool and outbox."""

import asyncio

from observability.metrics import (
    DATABASE_CONNECTIONS,
    OUTBOX_DEAD,
    OUTBOX_LATE_SECONDS,
    OUTBOX_PENDING,
    OUTBOX_UNHANDLED,
)
from persistence.repositories.outbox import Backlog
from resolvers.documents.jobs import HANDLERS
from resolvers.services import Services

TIMEOUT_SECONDS = 1


async def collect(services: Services, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Update the gauges. Those of the outbox keep their values if the database does not answer."""
    connections = services.database.pool_usage()
    DATABASE_CONNECTIONS.clear()
    # Behind PgBouncer the service has no pool and the size is 0.
    if connections.size:
        DATABASE_CONNECTIONS.labels("in_use").set(connections.in_use)
        DATABASE_CONNECTIONS.labels("allowed").set(connections.size)
    services.background.update_gauges()
    backlog = await _backlog(services, timeout_seconds)
    if backlog is None:
        return
    for gauge, counts in (
        (OUTBOX_PENDING, backlog.pending),
        (OUTBOX_UNHANDLED, backlog.unhandled),
        (OUTBOX_DEAD, backlog.dead),
    ):
        gauge.clear()
        for kind, count in counts.items():
            gauge.labels(kind).set(count)
    OUTBOX_LATE_SECONDS.set(backlog.late.total_seconds())


async def _backlog(services: Services, timeout_seconds: float) -> Backlog | None:
    """Return None if it could not be read in time."""
    reading = services.database.read(
        lambda uow: uow.outbox.backlog(kinds=HANDLERS.keys(), now=services.clock())
    )
    task = asyncio.create_task(reading)
    try:
        # `asyncio.timeout` would wait until the cancelled read has ended.
        await asyncio.wait([task], timeout=timeout_seconds)
    finally:
        task.cancel()
    return task.result() if task.done() and task.exception() is None else None
