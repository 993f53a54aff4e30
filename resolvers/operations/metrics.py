"""What is measured when somebody asks for it, not as it happens."""

import asyncio
from functools import partial

from observability.metrics import OUTBOX_DEAD, OUTBOX_LATE, OUTBOX_OWED, OUTBOX_UNHANDLED, POOL
from persistence.repositories import outbox
from persistence.repositories.outbox import Backlog
from resolvers.documents.jobs import HANDLERS
from resolvers.services import Services

# Who asks for measures is not kept waiting by a database that is away.
TIMEOUT_SECONDS = 1


async def collect(services: Services, *, within_seconds: float = TIMEOUT_SECONDS) -> None:
    """Of the outbox what was there last, while the database is away."""
    connections = services.database.pool_usage()
    POOL.clear()
    # Behind pgbouncer there is no pool: "as many as allowed" would hold all the time.
    if connections.size:
        POOL.labels("in_use").set(connections.in_use)
        POOL.labels("allowed").set(connections.size)
    backlog = await _backlog(services, within_seconds)
    if backlog is None:
        return
    for gauge, counts in (
        (OUTBOX_OWED, backlog.owed),
        (OUTBOX_UNHANDLED, backlog.unhandled),
        (OUTBOX_DEAD, backlog.dead),
    ):
        gauge.clear()
        for kind, count in counts.items():
            gauge.labels(kind).set(count)
    OUTBOX_LATE.set(backlog.late.total_seconds())


async def _backlog(services: Services, within_seconds: float) -> Backlog | None:
    """None when it could not be read in time."""
    work = partial(outbox.backlog, kinds=HANDLERS.keys(), now=services.clock())
    reading = asyncio.create_task(services.database.read(work))
    try:
        # Not a timeout around it, which would wait for the end of what it cancels.
        await asyncio.wait([reading], timeout=within_seconds)
    finally:
        reading.cancel()
    return reading.result() if reading.done() and reading.exception() is None else None
