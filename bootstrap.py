"""Build `Services` from `Settings`, make the database current, and run commands with both."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from argon2 import PasswordHasher

from config.base import SettingsError
from domain.documents import RetentionClass
from domain.errors.exceptions import StorageUnavailable
from integrations.storage.base import DocumentStore
from integrations.storage.folder import FolderStore
from integrations.storage.inspection.worker_pool import InspectionOptions
from integrations.storage.upload_buffer import UploadBuffer
from observability.tracing import start_tracing
from persistence.engine import migrate
from persistence.engine.database import Database, DatabaseUnavailable
from persistence.engine.engine import DatabaseOptions
from persistence.unit_of_work import UnitOfWork
from resilience.background_tasks import BackgroundTasks
from resolvers.accounts.passwords import Passwords
from resolvers.security.secrets import Secrets
from resolvers.services import Accounts, DiskProbe, HealthSource, Services, Storage
from settings import Settings, ensure_secret_key

if TYPE_CHECKING:
    from integrations.storage.cloudinary_store import CloudinaryStore

INVITATION_LIFETIME = timedelta(days=7)
# A file may wait for its inspection for a third of a request's time, so that the client gets an
# answer before the request is cancelled.
MAX_INSPECTION_WAIT_SHARE = 1 / 3
# Once a file has arrived, its upload may take twice an inspection's time limit: about the same time
# to wait and to be inspected.
FINISH_DEADLINES = 2

T = TypeVar("T")


class DatabaseSetupError(Exception):
    """The database cannot be used; the message says why."""


def prepare(settings: Settings, url: str) -> None:
    """Migrate the database to the current schema, and add a tournament to an empty one.

    Raises DatabaseSetupError.
    """
    if settings.sqlalchemy_url is not None:
        _wait_until_ready(settings, url)
    if asyncio.run(migrate.is_current(url)):
        return
    try:
        migrate.upgrade(url, pgbouncer=settings.database_pgbouncer)
    except migrate.MigrationRefused as error:
        raise DatabaseSetupError(
            f"The database cannot be migrated: {error}. Is it of a newer version?"
        ) from error

    async def create(uow: UnitOfWork) -> bool:
        return await uow.tournaments.add_default(
            capacity=settings.tournament_capacity,
            required_documents=settings.required_documents,
            now=datetime.now(UTC),
        )

    asyncio.run(_with_database(settings, url, lambda database: database.run(create)))


def run_with_services(settings: Settings, url: str, work: Callable[[Services], Awaitable[T]]) -> T:
    """Run a coroutine function with the services of a command."""
    return asyncio.run(
        _with_database(settings, url, lambda database: work(build_services(settings, database)))
    )


def _wait_until_ready(settings: Settings, url: str) -> None:
    """Raises DatabaseSetupError."""
    try:
        asyncio.run(_with_database(settings, url, Database.wait_until_ready))
    except DatabaseUnavailable as error:
        reason = str(error)
        raise DatabaseSetupError(
            f"The database answers, but {reason}. Check DATABASE_URL."
            if reason
            else "The database does not answer. Check DATABASE_URL and that the server is running."
        ) from error


async def _with_database(
    settings: Settings, url: str, work: Callable[[Database], Awaitable[T]]
) -> T:
    database = Database(database_options(settings, url))
    try:
        return await work(database)
    finally:
        await database.close()


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
        outbox_retention=timedelta(days=settings.outbox_retention_days),
        version=settings.app_version,
        health_sources=health_sources,
        disks=disks(storage),
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
        max_wait_seconds=settings.request_timeout_seconds * MAX_INSPECTION_WAIT_SHARE,
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
        retention={kind: timedelta(days=count) for kind, count in days.items()},
        inspection=inspection,
        finish_seconds=max(
            settings.request_timeout_seconds, FINISH_DEADLINES * inspection.deadline_seconds
        ),
    )


def disks(storage: Storage) -> tuple[DiskProbe, ...]:
    """Return the disk of uploads, and that of new documents if they are stored in a folder."""
    store = storage.primary_store
    documents = (store.space,) if isinstance(store, FolderStore) else ()
    return (storage.upload_buffer.space, *documents)


def build_cloudinary_store(settings: Settings) -> "CloudinaryStore | None":
    """Return None without an account: the libraries take a fifth of a second to import."""
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
    """Send spans if OTEL_EXPORTER_OTLP_ENDPOINT is set. Raises SettingsError."""
    if settings.otel_exporter_otlp_endpoint is None:
        return
    try:
        start_tracing(settings.otel_exporter_otlp_endpoint, version=settings.app_version)
    except ImportError:
        problem = "OTEL_EXPORTER_OTLP_ENDPOINT: needs the extra otel, which is not installed"
        raise SettingsError([problem]) from None
