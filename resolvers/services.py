"""Dependencies and options of the use cases, built once at start."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from domain.documents import RetentionClass
from domain.errors.exceptions import StorageUnavailable
from integrations.storage.base import DocumentStore
from integrations.storage.inspection.worker_pool import DEFAULT_OPTIONS, InspectionOptions
from integrations.storage.upload_buffer import UploadBuffer
from persistence.engine.database import Database
from resilience.background_tasks import BackgroundTasks
from resolvers.accounts.passwords import Passwords
from resolvers.security.secrets import Secrets

if TYPE_CHECKING:
    from resilience.circuit_breaker import ServiceGuard


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Document stores, the upload buffer and their time limits.

    New files go to `primary_store`; `stores` holds every store by name. Uploads that no form claims
    are deleted after `unclaimed_ttl`, documents of teams after their `retention`. Inspecting and
    storing a complete upload may take `finish_seconds`; then the client is told to retry.
    """

    primary_store: DocumentStore
    stores: Mapping[str, DocumentStore]
    upload_buffer: UploadBuffer
    ticket_lifetime: timedelta
    link_lifetime: timedelta
    unclaimed_ttl: timedelta
    retention: Mapping[RetentionClass, timedelta]
    inspection: InspectionOptions = DEFAULT_OPTIONS
    finish_seconds: float = 60.0

    def store_named(self, store: str) -> DocumentStore:
        """Raises StorageUnavailable for a store that is not configured in this process."""
        if store not in self.stores:
            raise StorageUnavailable(details={"store": store})
        return self.stores[store]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Password hashing and lifetimes.

    A session ends `session_idle_timeout` after its last use and `session_max_age` after its start.
    """

    passwords: Passwords
    session_idle_timeout: timedelta
    session_max_age: timedelta
    invitation_lifetime: timedelta


class HealthSource(Protocol):
    """A component whose failure degrades the service without stopping it."""

    name: str

    @property
    def is_healthy(self) -> bool: ...


class DiskProbe(Protocol):
    """A disk that reports within about a second of the start whether it is writable."""

    name: str

    def start_probe(self) -> None: ...

    async def is_healthy(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Dependencies of the use cases.

    `clock` returns aware UTC times. Idempotency keys are remembered for `idempotency_ttl`,
    delivered outbox messages for `outbox_retention`. Health reports list `disks` only while they
    are unhealthy.
    """

    database: Database
    secrets: Secrets
    storage: Storage
    accounts: Accounts
    guards: "tuple[ServiceGuard, ...]"
    clock: Callable[[], datetime]
    idempotency_ttl: timedelta
    outbox_retention: timedelta
    version: str
    health_sources: tuple[HealthSource, ...] = ()
    disks: tuple[DiskProbe, ...] = ()
    background: BackgroundTasks = field(default_factory=BackgroundTasks)
