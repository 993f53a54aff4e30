"""What every use case is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from domain.documents import RetentionClass
from domain.errors.exceptions import StorageUnavailable
from integrations.storage.base import DocumentStore
from integrations.storage.inspection.sanitize import DEFAULT_OPTIONS, InspectionOptions
from integrations.storage.upload_buffer import UploadBuffer
from persistence.engine.database import Database
from resilience.background_tasks import BackgroundTasks
from resolvers.accounts.passwords import Passwords
from resolvers.security.secrets import Secrets

if TYPE_CHECKING:
    from resilience.circuit_breaker import ServiceGuard


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where documents are kept, and for how long.

    `media` takes new files; `stores` has every store that may hold one, by its name. Uploads that
    nobody claims are kept for `unclaimed_kept`, documents of a team for `retention`. A file whose
    last byte has arrived is stored within `finish_seconds`, or its sender told to come back.
    """

    media: DocumentStore
    stores: Mapping[str, DocumentStore]
    spool: UploadBuffer
    ticket_lifetime: timedelta
    link_lifetime: timedelta
    unclaimed_kept: timedelta
    retention: Mapping[RetentionClass, timedelta]
    inspection: InspectionOptions = DEFAULT_OPTIONS
    finish_seconds: float = 60.0

    def store_named(self, store: str) -> DocumentStore:
        """Raises StorageUnavailable for a store that this process has no access to."""
        if store not in self.stores:
            raise StorageUnavailable(details={"store": store})
        return self.stores[store]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """A session ends when it was not used for `idle`, and after `longest` in any case."""

    passwords: Passwords
    idle: timedelta
    max_age: timedelta
    invitation_lifetime: timedelta


class Watched(Protocol):
    """A part that the service can do without, and does worse without."""

    name: str

    @property
    def is_healthy(self) -> bool: ...


class Disk(Protocol):
    """A disk that says within a second or so whether it can be written to."""

    name: str

    async def is_healthy(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """`clock` gives aware UTC times. Idempotency keys are kept for `idempotency_kept`.

    Health names `disks` only while they are not well.
    """

    database: Database
    secrets: Secrets
    storage: Storage
    accounts: Accounts
    guards: "tuple[ServiceGuard, ...]"
    clock: Callable[[], datetime]
    idempotency_kept: timedelta
    version: str
    watched: tuple[Watched, ...] = ()
    disks: tuple[Disk, ...] = ()
    background: BackgroundTasks = field(default_factory=BackgroundTasks)
