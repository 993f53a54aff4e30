"""What an operator does now and then, and the server every hour."""

import asyncio
from dataclasses import dataclass
from functools import partial

import structlog

from domain.errors import ServiceUnavailable, StorageUnavailable
from persistence import credentials, upkeep
from persistence.upkeep import Drift
from resolvers import storage, stored_files
from resolvers.context import Services
from resolvers.outbox import deliver_due
from resolvers.stored_files import Comparison

FIRST_PAUSE_SECONDS = 60
PAUSE_SECONDS = 3_600
SWEEP_PAUSE_SECONDS = 60

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How much of everything is gone."""

    idempotency_records: int
    unclaimed_uploads: int
    expired_documents: int
    partial_uploads: int
    orphaned_files: int
    credentials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """`drift` has places that are counted otherwise than there are live teams.

    `comparisons` has one entry for each store that answered.
    """

    drift: list[Drift]
    store: str
    stores_away: tuple[str, ...]
    comparisons: tuple[Comparison, ...]


async def examine(services: Services) -> Findings:
    """Compare counts, and every store that may hold documents with the rows."""
    away, comparisons = [], []
    for name, media in services.storage.stores.items():
        try:
            await media.check()
            comparisons.append(await stored_files.compare(services, media))
        except StorageUnavailable:
            away.append(name)
    return Findings(
        drift=await services.database.read(upkeep.drift),
        store=services.storage.media.name,
        stores_away=tuple(away),
        comparisons=tuple(comparisons),
    )


async def prune(services: Services) -> Pruned:
    """Delete what has expired, files included. Safe to repeat, and to kill at any point."""
    forgotten = await services.database.run(partial(upkeep.forget_keys, now=services.clock()))
    now = services.clock()
    ended = await services.database.run(
        partial(credentials.forget_expired, now=now, idle_since=now - services.accounts.idle)
    )
    given_up = await storage.prune(services)
    await deliver_due(services, storage.HANDLERS)
    orphaned = await stored_files.put_all_right(services)
    swept = await services.storage.spool.sweep_ended(now=services.clock())
    swept += await services.storage.spool.sweep(
        older_than_seconds=services.storage.unclaimed_kept.total_seconds()
    )
    return Pruned(
        idempotency_records=forgotten,
        unclaimed_uploads=given_up.unclaimed,
        expired_documents=given_up.expired,
        partial_uploads=swept,
        orphaned_files=orphaned,
        credentials=ended,
    )


async def prune_forever(services: Services) -> None:
    """Prune soon and then every hour. What is away now is there another time."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        await asyncio.sleep(pause)
        pause = PAUSE_SECONDS
        try:
            await prune(services)
        except (ServiceUnavailable, StorageUnavailable):
            log.warning("prune_postponed")


async def sweep_forever(services: Services) -> None:
    """Delete uploads soon after their tickets have ended, so that others have the room."""
    while True:
        await asyncio.sleep(SWEEP_PAUSE_SECONDS)
        try:
            await services.storage.spool.sweep_ended(now=services.clock())
        except StorageUnavailable:
            log.warning("sweep_postponed")
