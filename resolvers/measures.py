"""What is measured when somebody asks for it, not as it happens."""

import asyncio
from functools import partial

from domain.errors import ServiceUnavailable
from persistence import outbox
from resilience.metrics import OUTBOX_DEAD, OUTBOX_LATE, OUTBOX_OWED, POOL
from resolvers.context import Services

# Who asks for measures is not kept waiting by a database that is away.
PATIENCE_SECONDS = 1


async def take(services: Services) -> None:
    """Of the outbox what was there last, while the database is away."""
    connections = services.database.connections()
    POOL.labels("in_use").set(connections.in_use)
    POOL.labels("allowed").set(connections.size)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            backlog = await services.database.read(partial(outbox.backlog, now=services.clock()))
    except (ServiceUnavailable, TimeoutError):
        return
    for gauge, counts in ((OUTBOX_OWED, backlog.owed), (OUTBOX_DEAD, backlog.dead)):
        gauge.clear()
        for kind, count in counts.items():
            gauge.labels(kind).set(count)
    OUTBOX_LATE.set(backlog.late.total_seconds())
