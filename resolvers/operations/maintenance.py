"""What an operator does now and then, and the server every hour."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from domain.errors.exceptions import StorageUnavailable
from persistence.repositories import maintenance, normalized_names
from persistence.repositories import sessions as stored_sessions
from persistence.repositories.maintenance import Drift
from resilience.background_tasks import BackgroundTask, Parts, repeat
from resolvers.documents import jobs, stored_files
from resolvers.documents.stored_files import Comparison
from resolvers.operations.outbox import deliver_due
from resolvers.services import Services

INITIAL_DELAY_SECONDS = 60
PRUNE_INTERVAL_SECONDS = 3_600
SWEEP_INTERVAL_SECONDS = 60
COMPARISON_INTERVAL = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneResult:
    """How much of everything is gone. `unfinished_files` were never whole."""

    idempotency_records: int
    unclaimed_uploads: int
    expired_documents: int
    partial_uploads: int
    unfinished_files: int
    credentials: int
    normalized_names: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """`drift` has places that are counted otherwise than there are live teams.

    `comparisons` has one entry for each store that answered. `old_names` counts, for each table,
    names that are compared with characters that show nothing.
    """

    drift: list[Drift]
    store: str
    stores_away: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    old_names: dict[str, int]


async def diagnose(services: Services) -> Diagnosis:
    """Compare counts, and every store that may hold documents with the rows."""
    away, comparisons = [], []
    for name, media in services.storage.stores.items():
        try:
            await media.check()
            comparisons.append(await stored_files.compare(services, media))
        except StorageUnavailable:
            away.append(name)
    return Diagnosis(
        drift=await services.database.read(maintenance.find_drift),
        store=services.storage.primary_store.name,
        stores_away=tuple(away),
        comparisons=tuple(comparisons),
        old_names=await services.database.read(normalized_names.count_outdated),
    )


async def prune(services: Services) -> PruneResult:
    """Delete what has expired, files included, and normalise old names anew. Safe to repeat, and
    to kill at any point.

    Files without a document stay: `stored_files.clear_all` deletes those. A part that fails keeps
    no other from running; its error is raised in the end.
    """
    database, parts, now = services.database, Parts(), services.clock()
    forgotten = await parts.run(
        database.run(partial(maintenance.delete_expired_keys, now=now)), otherwise=0
    )
    idle_since = now - services.accounts.session_idle_timeout
    ended = await parts.run(
        database.run(partial(stored_sessions.delete_expired, now=now, idle_since=idle_since)),
        otherwise=0,
    )
    renewed = await parts.run(normalized_names.renormalize(database), otherwise=0)
    given_up = await jobs.prune(services, parts)
    await parts.run(deliver_due(services, jobs.HANDLERS), otherwise=0)
    unfinished = await parts.run(stored_files.sweep_unfinished(services), otherwise=0)
    upload_buffer = services.storage.upload_buffer
    kept_seconds = services.storage.unclaimed_ttl.total_seconds()
    swept = await parts.run(upload_buffer.sweep_ended(now=services.clock()), otherwise=0)
    swept += await parts.run(upload_buffer.sweep(older_than_seconds=kept_seconds), otherwise=0)
    parts.conclude()
    return PruneResult(
        idempotency_records=forgotten,
        unclaimed_uploads=given_up.unclaimed,
        expired_documents=given_up.expired,
        partial_uploads=swept,
        unfinished_files=unfinished,
        credentials=ended,
        normalized_names=renewed,
    )


async def run_maintenance(services: Services) -> None:
    """Compare the stores and prune. No file is deleted whose document is not known.

    Repeated after a failure, or by another process, it compares the stores once an hour all the
    same: to list them may cost a quota.
    """
    parts, now = Parts(), services.clock()
    take_turn = partial(
        maintenance.acquire_job_lease,
        job="compare_stores",
        now=now,
        until=now + COMPARISON_INTERVAL,
    )
    if await parts.run(services.database.run(take_turn), otherwise=False):
        await parts.run(stored_files.repair_all(services), otherwise=None)
    await parts.run(prune(services), otherwise=None)
    parts.conclude()


async def prune_periodically(
    services: Services,
    task: BackgroundTask,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Prune soon and then every hour. Raises the errors of a run, to be started again soon."""
    work = partial(run_maintenance, services)
    await repeat(
        work, task, first_seconds=INITIAL_DELAY_SECONDS, seconds=PRUNE_INTERVAL_SECONDS, sleep=sleep
    )


async def sweep_periodically(
    services: Services,
    task: BackgroundTask,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Delete uploads soon after their tickets have ended. Raises the errors of a run."""

    async def sweep() -> None:
        await services.storage.upload_buffer.sweep_ended(now=services.clock())

    seconds = SWEEP_INTERVAL_SECONDS
    await repeat(sweep, task, first_seconds=seconds, seconds=seconds, sleep=sleep)
