"""What a resolver finds in `info.context`."""

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


class SignInGuard(Protocol):
    """Where organisers come in."""

    def require_allowed_network(self) -> None:
        """Raises Forbidden where organisers may not work from."""

    async def count_sign_in(self, account: str) -> None:
        """Count a guess at the account's password, before it is judged.

        A client that has signed in to the account before is counted apart from strangers. Raises
        RateLimited, Forbidden.
        """

    async def count_code(self, account: str) -> None:
        """Count a guess at a code of the account's second factor, known clients apart.

        Raises RateLimited.
        """

    async def reset_sign_in_count(self, account: str) -> None:
        """After a right guess: this client's guesses at this account do not count any more."""

    async def uncount_sign_ins(self, account: str) -> None:
        """Count the guesses of this request no longer: nothing has judged them."""

    async def count_token_guess(self, token: str) -> None:
        """Count a token that was wrong, the same one once. Raises RateLimited."""

    def remember_client(self, account: str) -> None:
        """Make the client known, which has signed in to the account."""

    def set_session_cookie(self, token: str, expires_at: datetime) -> None:
        """A browser comes with the token until then."""

    def clear_session_cookie(self) -> None:
        """A browser comes with it no longer."""


class CheckRateLimit(Protocol):
    async def __call__(self, kind: RateLimitKind, count: int = 1) -> None:
        """Count operations of a kind before they run, all or none. Raises RateLimited."""


class Loaders:
    """New for each request; all keys are ids of teams.

    What was read is not kept: a mutation later in the document may have changed it.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    @cached_property
    def histories(self) -> DataLoader[UUID, list[AuditRecord]]:
        return DataLoader(load_fn=partial(queries.team_histories, self._services), cache=False)

    @cached_property
    def same_players(self) -> DataLoader[UUID, list[DuplicatePlayer]]:
        return DataLoader(load_fn=partial(queries.possible_duplicates, self._services), cache=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionOptions:
    """How answers are made, which nobody sees but by the time it takes.

    `compiled`: generated functions complete objects. `rendered`: PostgreSQL prints what it can;
    only together with `compiled`.
    """

    compiled: bool = True
    rendered: bool = True


@dataclass(slots=True, kw_only=True)
class Context:
    """One per request, which nobody changes.

    `idempotency_key` is the header's, `operation_name` the one asked for.
    `manage_token` is a captain's as it came, not checked.
    `may_introspect` is whether `__schema` may be asked for, `wants_cost` whether the answer says
    what the operation costs. `printed` has, by the key of a root field, what PostgreSQL prints its
    teams with. `admit` is asked with the kind of operation before it runs.
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
    sign_in_guard: SignInGuard
    execution: ExecutionOptions = ExecutionOptions()
    json_projections: Mapping[str, JsonSql] = field(default_factory=dict)


Info = StrawberryInfo[Context, None]
