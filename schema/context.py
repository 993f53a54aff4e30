"""The context of a GraphQL request, as resolvers see it in `info.context`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from typing import Literal, Protocol
from uuid import UUID

from strawberry import Info as StrawberryInfo
from strawberry.dataloader import DataLoader

from domain.auth.roles import Caller
from persistence.fast.json_rendering import JsonSql
from persistence.repositories.audit import AuditRecord
from persistence.repositories.team_stats import DuplicatePlayer
from resolvers.services import Services
from resolvers.teams import queries

RateLimitKind = Literal["query", "mutation", "upload"]


class SignInGate(Protocol):
    """Sign-in and cookie operations for resolvers."""

    def require_allowed_network(self) -> None:
        """Check that organisers may use the client's network. Raises Forbidden."""

    async def count_sign_in(self, account: str) -> None:
        """Count an attempt to sign in to the account, before the password is verified.

        Clients that have signed in to the account before are counted separately. Raises
        RateLimited, Forbidden.
        """

    async def count_code(self, account: str) -> None:
        """Count an attempt at a code of the account's second factor, separately for known clients.

        Raises RateLimited.
        """

    async def clear_sign_ins_after_success(self, account: str) -> None:
        """Clear the client's count for the account, after a successful sign-in."""

    async def cancel_sign_ins(self, account: str) -> None:
        """Cancel this request's attempts, because they were not verified."""

    async def count_token_guess(self, token: str) -> None:
        """Count an invalid token; the same token counts once. Raises RateLimited."""

    def remember_client(self, account: str) -> None:
        """Mark the client as known to the account, to which it has signed in."""

    def set_session_cookie(self, token: str, expires_at: datetime) -> None:
        """Send the session's token to the browser as a cookie."""

    def clear_session_cookie(self) -> None:
        """Delete the session's cookie."""


class CheckRateLimit(Protocol):
    async def __call__(self, kind: RateLimitKind, count: int = 1) -> None:
        """Count operations of a kind before they run, all or none. Raises RateLimited."""


class Loaders:
    """Loaders that batch queries of nested resolvers; keys are team ids. New for each request.

    Results are not cached: a later mutation of the same document may change them.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    @cached_property
    def histories(self) -> DataLoader[UUID, list[AuditRecord]]:
        return DataLoader(load_fn=partial(queries.team_histories, self._services), cache=False)

    @cached_property
    def duplicate_players(self) -> DataLoader[UUID, list[DuplicatePlayer]]:
        return DataLoader(load_fn=partial(queries.duplicate_players, self._services), cache=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionOptions:
    """Execution switches. They affect speed, never results.

    `compiled`: execute repeated operations by generated code. `rendered`: let PostgreSQL render
    JSON where it can; only together with `compiled`.
    """

    compiled: bool = True
    rendered: bool = True


@dataclass(slots=True, kw_only=True)
class Context:
    """The context of one request. Only compiled execution changes it: it sets `json_projections`.

    `idempotency_key` is the header's value, `operation_name` the request's. `manage_token` is a
    captain's token, not verified yet. `may_introspect` allows `__schema`; `wants_cost` adds the
    operation's cost to the response. `json_projections` are SQL expressions that render objects, by
    the keys of root fields. `check_rate_limit` is called before an operation runs.
    """

    services: Services
    loaders: Loaders
    caller: Caller
    manage_token: str | None
    request_id: str
    idempotency_key: str | None
    operation_name: str | None
    may_introspect: bool
    wants_cost: bool
    check_rate_limit: CheckRateLimit
    sign_in_gate: SignInGate
    execution: ExecutionOptions = ExecutionOptions()
    json_projections: Mapping[str, JsonSql] = field(default_factory=dict)


Info = StrawberryInfo[Context, None]
