"""Diagnosis and pruning, on an operator's command and every hour by the server."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from domain.errors.exceptions import StorageUnavailable
from persistence import normalized_names
from persistence.repositories.maintenance import Drift
from persistence.unit_of_work import UnitOfWork
from resilience.background_tasks import BackgroundTask, ErrorCollector, repeat
from resolvers.documents import jobs, stored_files
from resolvers.documents.stored_files import Comparison
from resolvers.operations.outbox import deliver_due
from resolvers.services import Services

INITIAL_DELAY_SECONDS = 60
PRUNE_INTERVAL_SECONDS = 3_600
SWEEP_INTERVAL_SECONDS = 60
COMPARISON_INTERVAL = timedelta(hours=1)
# Messages deleted in one transaction.
PRUNE_BATCH_SIZE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneResult:
    """Numbers of deleted objects. `unfinished_files` are partial files in the stores."""

    idempotency_records: int
    unclaimed_uploads: int
    expired_documents: int
    partial_uploads: int
    unfinished_files: int
    credentials: int
    outbox_messages: int
    normalized_names: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Inconsistencies.

    `drift` lists slot counters that differ from the number of live teams. `comparisons` has an
    entry for each store that answered, `unavailable_stores` the names of the others. `old_names`
    counts, by table, normalised names that still contain invisible characters.
    """

    drift: list[Drift]
    store: str
    unavailable_stores: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    old_names: dict[str, int]


async def diagnose(services: Services) -> Diagnosis:
    """Check slot counters, normalised names, and all stores against the rows."""
    unavailable, comparisons = [], []
    for name, store in services.storage.stores.items():
        try:
            await store.check()
            comparisons.append(await stored_files.compare(services, store))
        except StorageUnavailable:
            unavailable.append(name)
    return Diagnosis(
        drift=await services.database.read(lambda uow: uow.maintenance.list_drift()),
        store=services.storage.primary_store.name,
        unavailable_stores=tuple(unavailable),
        comparisons=tuple(comparisons),
        old_names=await services.database.read(normalized_names.count_outdated),
    )


async def prune(services: Services) -> PruneResult:
    """Delete expired data and files, and renew outdated normalised names.

    Safe to repeat and to kill at any point. A step that fails does not prevent the others; its
    error is raised at the end. Files without a document are left to `stored_files.clean_up_all`.
    """
    database, errors, now = services.database, ErrorCollector(), services.clock()
    keys = await errors.run(
        database.run(lambda uow: uow.maintenance.delete_expired_keys(now=now)), default=0
    )
    idle_since = now - services.accounts.session_idle_timeout
    credentials = await errors.run(
        database.run(partial(_delete_expired_credentials, now=now, idle_since=idle_since)),
        default=0,
    )
    names = await errors.run(normalized_names.renormalize(database), default=0)
    pruned = await jobs.prune(services, errors)
    await errors.run(deliver_due(services, jobs.HANDLERS), default=0)
    messages = await errors.run(prune_outbox(services), default=0)
    unfinished = await errors.run(stored_files.sweep_unfinished(services), default=0)
    buffer = services.storage.upload_buffer
    ttl_seconds = services.storage.unclaimed_ttl.total_seconds()
    swept = await errors.run(buffer.sweep_ended(now=services.clock()), default=0)
    swept += await errors.run(buffer.sweep(older_than_seconds=ttl_seconds), default=0)
    errors.raise_errors()
    return PruneResult(
        idempotency_records=keys,
        unclaimed_uploads=pruned.unclaimed,
        expired_documents=pruned.expired,
        partial_uploads=swept,
        unfinished_files=unfinished,
        credentials=credentials,
        outbox_messages=messages,
        normalized_names=names,
    )


async def _delete_expired_credentials(
    uow: UnitOfWork, *, now: datetime, idle_since: datetime
) -> int:
    """Delete expired sessions, API tokens and nonces. Returns the number of the first two."""
    sessions = await uow.sessions.delete_expired(now=now, idle_since=idle_since)
    return sessions + await uow.api_tokens.delete_expired(now=now)


async def prune_outbox(services: Services, *, batch_size: int = PRUNE_BATCH_SIZE) -> int:
    """Delete messages delivered longer ago than their retention, in batches. Keep dead ones."""
    before = services.clock() - services.outbox_retention
    deleted = 0
    is_more = True
    while is_more:
        count = await services.database.run(
            lambda uow: uow.outbox.delete_finished(before=before, limit=batch_size)
        )
        deleted += count
        is_more = count == batch_size
    return deleted


async def run_maintenance(services: Services) -> None:
    """Repair the stores, then prune. Files without a document are not deleted.

    Stores are compared at most once an hour over all processes, also after failures: listing a
    store may cost quota.
    """
    errors, now = ErrorCollector(), services.clock()
    until = now + COMPARISON_INTERVAL
    acquisition = services.database.run(
        lambda uow: uow.maintenance.acquire_job_lease("compare_stores", now=now, until=until)
    )
    if await errors.run(acquisition, default=False):
        await errors.run(stored_files.repair_all(services), default=None)
    await errors.run(prune(services), default=None)
    errors.raise_errors()


async def run_maintenance_periodically(
    services: Services,
    task: BackgroundTask,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Run maintenance soon after the start and then every hour. Raises the errors of a run."""
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
    """Delete unfinished uploads soon after their tickets expire. Raises the errors of a run."""

    async def sweep() -> None:
        await services.storage.upload_buffer.sweep_ended(now=services.clock())

    seconds = SWEEP_INTERVAL_SECONDS
    await repeat(sweep, task, first_seconds=seconds, seconds=seconds, sleep=sleep)
