"""What a resolver finds in `info.context`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from strawberry import Info as StrawberryInfo

from domain.roles import Caller
from resolvers.context import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One per request. `idempotency_key` is the header's, `operation_name` the one asked for.

    `may_introspect` is whether `__schema` may be asked for. `admit` is asked with the kind of
    operation before it runs; raises RateLimited.
    """

    services: Services
    caller: Caller
    request_id: str
    idempotency_key: str | None
    operation_name: str | None
    may_introspect: bool
    admit: Callable[[str], Awaitable[None]]


Info = StrawberryInfo[Context, None]
