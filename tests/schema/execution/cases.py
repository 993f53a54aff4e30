"""Execution cases, and their execution by each executor."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from strawberry.types.graphql import OperationType

from domain.auth.roles import ANONYMOUS, Caller
from schema.compiled.executor import OperationRequest, execute
from schema.compiled.plan_cache import PlanCache
from schema.context import ExecutionOptions
from tests.schema.execution.model import SCHEMA
from tests.schema.executions import Error, errors_of, executions

Way = Literal["compiled", "reexecuted", "interpreted"]
WAYS: tuple[Way, ...] = ("compiled", "reexecuted", "interpreted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A case; `gives` are results of root resolvers, `way` is the executor expected to be used."""

    name: str
    query: str
    gives: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    data: dict[str, Any] | None
    errors: list[Error] = field(default_factory=list)
    way: Way = "compiled"


@dataclass
class Running:
    """The context of resolvers."""

    gives: Mapping[str, Any]
    execution: ExecutionOptions
    caller: Caller = ANONYMOUS
    operation_name: str | None = None
    may_introspect: bool = True
    wants_cost: bool = False
    json_projections: dict[str, Any] = field(default_factory=dict)

    async def check_rate_limit(self, kind: str, count: int) -> None:
        """Allow all operations."""


@dataclass(frozen=True, slots=True)
class Answer:
    data: Any
    errors: list[Error]
    ways: Mapping[Way, int]


def forget_plans() -> None:
    SCHEMA.plans = PlanCache(SCHEMA)


async def answer(case: Case, *, compiled: bool) -> Answer:
    before = {way: executions(way) for way in WAYS}
    result = await execute(
        SCHEMA,
        OperationRequest(
            text=case.query,
            operation_name=None,
            variables=dict(case.variables),
            allowed=(OperationType.QUERY, OperationType.MUTATION),
        ),
        Running(case.gives, ExecutionOptions(compiled=compiled)),
    )
    taken = {way: executions(way) - before[way] for way in WAYS}
    return Answer(
        result.data, errors_of(result.errors), {way: count for way, count in taken.items() if count}
    )
