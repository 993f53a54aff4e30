"""What every use case is given."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from persistence.database import Database
from resolvers.secrets import Secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """`clock` gives aware UTC times. Idempotency keys are kept for `idempotency_kept`."""

    database: Database
    secrets: Secrets
    clock: Callable[[], datetime]
    idempotency_kept: timedelta
    version: str
